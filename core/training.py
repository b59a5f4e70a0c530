"""Training end to end: an honest split by query, the fit, and the result beside its baselines on ratings neither has
seen.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from core.dataset import PreferenceDataset
from core.encoders import TextEncoder
from core.evaluation import Standing, standings
from core.optimisation import Epoch, FitReport, TrainConfig
from core.readiness import check_enough
from core.routers.base import Router
from core.routers.bradley_terry import BradleyTerryRouter
from core.routers.ladder import LadderRouter
from core.routers.matrix_factorization import MatrixFactorizationRouter
from core.routers.uniform import UniformRouter
from core.routers.user_bradley_terry import UserBradleyTerryRouter
from core.routers.user_task_best import UserTaskBestRouter

RIVALS = (UserTaskBestRouter, MatrixFactorizationRouter)  # rungs that stand beside the ladder in a report
SHARES = (0.7, 0.1, 0.2)  # of the rated queries: train, validation, test


@dataclass(frozen=True)
class TrainReport:
    """What a training measured: how the fit went and every router's standing on the test queries (touched once)."""

    fit: FitReport
    standings: tuple[Standing, ...]
    sizes: tuple[int, int, int]
    users: int
    fingerprint: str
    config: TrainConfig

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a run's row and a router's card."""
        return {
            "fit": {**asdict(self.fit), "curve": [epoch._asdict() for epoch in self.fit.curve]},
            "standings": [standing.to_dict() for standing in self.standings],
            "ratings": dict(zip(("train", "validation", "test"), self.sizes, strict=True)),
            "users": self.users, "fingerprint": self.fingerprint, "config": self.config.to_dict(),
            "split": "by query",
        }  # fmt: skip


class TrainedRouter(NamedTuple):
    """A router ready to publish, and what was measured of it."""

    router: LadderRouter
    report: TrainReport


def train(
    dataset: PreferenceDataset, encoder: TextEncoder, config: TrainConfig | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainedRouter:  # fmt: skip
    """Split by query, fit on 70 %, stop early on 10 %, measure once on 20 % against the baselines.

    The router returned is the one measured. Raises NotEnoughData, or whatever `on_epoch` raises.
    """
    config = config or TrainConfig()
    check_enough(dataset)
    fitting, validation, test = dataset.split("query", SHARES, seed=config.seed)
    router, fit = LadderRouter.fit_with_report(fitting, validation, encoder, config, on_epoch)
    population = BradleyTerryRouter.fit(fitting, validation, encoder)
    rivals: list[tuple[str, Router]] = [
        ("ladder", router),
        ("gat", router.gat),
        ("user_bradley_terry", UserBradleyTerryRouter.fit(fitting, validation, encoder)),
        *((rung.kind, rung) for rung in router.lower if isinstance(rung, RIVALS)),
        ("bradley_terry", population),
        ("uniform", UniformRouter.fit(fitting, validation, encoder)),
    ]
    measured = standings(rivals, population, test, history=_without(dataset, test))
    sizes = (len(fitting), len(validation), len(test))
    return TrainedRouter(
        router, TrainReport(fit, measured, sizes, len(np.unique(dataset.user)), dataset.fingerprint(), config)
    )


def _without(dataset: PreferenceDataset, part: PreferenceDataset) -> PreferenceDataset:
    return dataset.where(~np.isin(dataset.ids, part.ids))
