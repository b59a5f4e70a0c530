"""Training end to end: an honest split by query, the fit, the result beside every baseline on ratings neither has seen,
and the verdict on whether it may serve.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from core.dataset import PreferenceDataset
from core.encoders import TextEncoder
from core.evaluation import Estimate, Predictions, Standing, log_loss_gain, predict_pairs, standings
from core.holdout import Holdout, hold_out
from core.optimisation import Epoch, FitReport, TrainConfig
from core.outcomes import OutcomeModel, OutcomeReport
from core.outcomes import report as outcome_report
from core.promotion import Incumbent, Verdict, judge
from core.provenance import code_version
from core.readiness import check_enough
from core.routers import router_class
from core.routers.base import Router
from core.routers.ladder import LadderRouter
from core.routers.vectors import EncodedOnce

# What a trained router must stand beside; those that are rungs of the ladder are fitted once, with it.
BASELINES = (
    "user_bradley_terry", "user_task_best", "matrix_factorization", "logistic_per_user", "user_knn", "knn",
    "task_bradley_terry", "best_llm", "bradley_terry", "uniform",
)  # fmt: skip
SHARES = (0.7, 0.1, 0.2)  # of the rated queries: train, validation, test
WARM_FROM = 20  # ratings from which a person is no longer new to the router


@dataclass(frozen=True)
class Group:
    """Some of the users of the test queries, and every router's standing on their ratings alone."""

    name: str
    ratings: int
    users: int
    standings: tuple[Standing, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a card."""
        return {**asdict(self), "standings": [standing.to_dict() for standing in self.standings]}


@dataclass(frozen=True)
class TrainReport:
    """What a training measured: how the fit went and every router's standing on the test queries (touched once).

    `gains` are the log-loss gains of the trained router over each other one, paired; `groups` are the users that were
    new to the router and those that were not. `outcomes` tells all four outcomes from the router's probabilities, and
    `told` how well.
    """

    fit: FitReport
    standings: tuple[Standing, ...]
    gains: Mapping[str, Estimate]
    groups: tuple[Group, ...]
    outcomes: OutcomeModel
    told: OutcomeReport
    verdict: Verdict
    holdout: Holdout
    sizes: tuple[int, int, int]
    users: int
    fingerprint: str
    config: TrainConfig

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a run's row and a router's card."""
        return {
            "fit": {**asdict(self.fit), "curve": [epoch._asdict() for epoch in self.fit.curve]},
            "standings": [standing.to_dict() for standing in self.standings],
            "gains": {name: gain._asdict() for name, gain in self.gains.items()},
            "groups": [group.to_dict() for group in self.groups],
            "outcomes": {**self.outcomes.to_dict(), "test": self.told.to_dict()},
            "promotion": self.verdict.to_dict(), "holdout": self.holdout._asdict(),
            "ratings": dict(zip(("train", "validation", "test"), self.sizes, strict=True)),
            "users": self.users, "fingerprint": self.fingerprint, "config": self.config.to_dict(),
            "split": "by query", "code": code_version(),
        }  # fmt: skip


class TrainedRouter(NamedTuple):
    """A router ready to publish, and what was measured of it."""

    router: LadderRouter
    report: TrainReport


def train(
    dataset: PreferenceDataset, encoder: TextEncoder, config: TrainConfig | None = None,
    on_epoch: Callable[[Epoch], None] | None = None, incumbent: Incumbent | None = None,
) -> TrainedRouter:  # fmt: skip
    """Split by query, fit on 70 %, stop early on 10 %, measure once on 20 % against the baselines and the incumbent.

    The router returned is the one measured. Raises NotEnoughData, or whatever `on_epoch` raises.
    """
    config, once = config or TrainConfig(), EncodedOnce(encoder)
    check_enough(dataset)
    (fitting, validation, test), holdout = hold_out(dataset, SHARES, config.seed)
    router, fit = LadderRouter.fit_with_report(fitting, validation, once, config, on_epoch)
    rungs: dict[str, Router] = {rung.kind: rung for rung in router.lower}
    others: dict[str, Router] = {
        kind: rungs.get(kind) or router_class(kind).fit(fitting, validation, once, seed=config.seed)
        for kind in BASELINES
    }
    history = dataset.where(~np.isin(dataset.ids, test.ids))
    named: dict[str, Router] = {router.kind: router, "gat": router.gat, **others}
    measured = {name: predict_pairs(each, test, history) for name, each in named.items()}
    gains = {name: log_loss_gain(measured[router.kind], measured[name]) for name in others}
    outcomes = OutcomeModel.fit(router, fitting, validation)
    report = TrainReport(
        fit, standings(measured, "bradley_terry"), gains, _groups(measured, history),
        outcomes, outcome_report(outcomes, router, fitting, test, history),
        judge(router, measured, BASELINES, test, history, incumbent), holdout,
        (len(fitting), len(validation), len(test)), len(np.unique(dataset.user)), dataset.fingerprint(), config,
    )  # fmt: skip
    return TrainedRouter(router, report)


def _groups(measured: Mapping[str, Predictions], history: PreferenceDataset) -> tuple[Group, ...]:
    """Users with few ratings to go by, and those with enough; a group whose ratings prefer no side is left out."""
    rated = np.bincount(history.user, minlength=len(history.users))
    any_of_them = next(iter(measured.values()))
    warm = rated[any_of_them.user] >= WARM_FROM
    names = (f"fewer than {WARM_FROM} ratings", f"{WARM_FROM} ratings or more")
    return tuple(
        Group(name, int(mask.sum()), len(np.unique(any_of_them.user[mask])),
              standings({kind: p.where(mask) for kind, p in measured.items()}, "bradley_terry"))
        for name, mask in zip(names, (~warm, warm), strict=True)
        if (any_of_them.label[mask] != 0.5).any()
    )  # fmt: skip
