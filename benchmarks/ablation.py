"""What each part of the network is worth: the network without it, fitted to the same ratings with the same seeds.

Parts that have no switch are taken out here and not in the product. Calibration is judged without a further fit: the
same predictions at the network's own scale and at the one that validation chooses.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from benchmarks.report import interval, progress, show_table, write_json
from benchmarks.scoring import Score, score_of, summary
from benchmarks.world import Truth, World, load_truth, load_world
from core import optimisation
from core.calibration import inverse_temperature
from core.errors import InvalidInput
from core.evaluation import Estimate, over_users, predict_pairs
from core.luce import Said
from core.network import PosteriorGAT, Ratings
from core.optimisation import TrainConfig
from core.routers.folds import folds_of
from core.routers.gat import GatRouter
from core.routers.gat_ensemble import SEED_STEP, GatEnsemble
from core.routers.vectors import EncodedOnce

HEAD = ("without", "top1", "top1 lost", "utility", "utility lost", "log_loss", "ece", "validation", "fit CPU s")
WHOLE, ENSEMBLE, UNCALIBRATED = "(the whole network)", "(three networks)", "calibration"
EDGES, NODES = "response-aware edges", "traits on LLM nodes"
OF_ANSWERS = (EDGES, NODES)  # a folder without answers has nothing to take away


class WithoutAttention(PosteriorGAT):
    """One prior mean for everyone."""

    def _prior_mean(self, *given: Any) -> tuple[Tensor, Tensor]:
        mean, attention = super()._prior_mean(*given)
        return self.mu.expand_as(mean), attention


class WithoutPosterior(PosteriorGAT):
    """The person's weights are what attention gathered: nothing is solved for."""

    def _newton(self, mu: Tensor, dense: Tensor, said: Said) -> tuple[Tensor, Tensor]:
        _, precision = super()._newton(mu, dense, said)
        return mu, precision


class WithoutSign(PosteriorGAT):
    """Attention hears which LLMs were compared, and not which of them was preferred."""

    def _prior_mean(self, nodes: Any, ratings: Ratings, delta: Tensor, users: int) -> tuple[Tensor, Tensor]:
        return super()._prior_mean(nodes, ratings._replace(label=ratings.label * 0 + 1), delta, users)


class WithoutExpectedTraits(PosteriorGAT):
    """LLM nodes do not say how their LLM writes: traits are on the edges alone."""

    def expected_traits(self, x: Tensor) -> Tensor:
        return super().expected_traits(x) * 0


class WithoutMasking(optimisation.Fit):
    """Every rating is a message and a target."""

    def _masked(self, edges: Ratings, users: int) -> tuple[Ratings, Ratings]:
        return edges, edges


class FitWithoutExpectedTraits(optimisation.Fit):
    """Nor in training."""

    def _learn_traits(self, known: Any) -> Tensor:
        return super()._learn_traits(known) * 0


@dataclass(frozen=True)
class Part:
    """A way to fit without a part: settings, and what stands in `core.optimisation` meanwhile."""

    config: Mapping[str, Any] = field(default_factory=dict)
    instead: Mapping[str, type] = field(default_factory=dict)


PARTS: dict[str, Part] = {
    WHOLE: Part(),
    "attention prior": Part(instead={"PosteriorGAT": WithoutAttention}),
    "posterior": Part(instead={"PosteriorGAT": WithoutPosterior}),
    "sign on messages": Part(instead={"PosteriorGAT": WithoutSign}),
    "masked ratings": Part(instead={"Fit": WithoutMasking}),
    "query noise": Part({"noise": 0.0}),
    EDGES: Part({"response_aware": False}),
    NODES: Part(instead={"PosteriorGAT": WithoutExpectedTraits, "Fit": FitWithoutExpectedTraits}),
    ENSEMBLE: Part(),
}


@dataclass(frozen=True)
class Plan:
    """What to run; `parts` are some of `PARTS`."""

    folder: Path
    users: int
    ratings: int
    seeds: int
    parts: Sequence[str] = ()


class Run(NamedTuple):
    """One fit without a part: its scores, calibrated and not, least validation loss, CPU seconds."""

    score: Score
    uncalibrated: Score
    validation: float
    seconds: float


class Line(NamedTuple):
    """A part's row: scores without it over the seeds, and what was lost by that (paired over users)."""

    part: str
    scores: tuple[Score, ...]
    top1_lost: Estimate
    utility_lost: Estimate
    validation: float
    seconds: float


def ablation(plan: Plan, out: Path | None) -> None:
    """Fit every part's network for every seed; a table, and `{"rows": [...]}` written after every part.

    Raises InvalidInput for a part that there is not.
    """
    if unknown := sorted(set(plan.parts) - {*PARTS}):
        raise InvalidInput(f"There is no part called '{unknown[0]}'. Known: {', '.join(PARTS)}.")
    world, truth = load_world(plan.folder, plan.users, plan.ratings), load_truth(plan.folder, plan.users)
    answers = (world.train.response_a >= 0).any()
    wanted = [
        part for part in PARTS
        if part == WHOLE or (part in (plan.parts or PARTS) and (answers or part not in OF_ANSWERS))
    ]  # fmt: skip
    lines: list[Line] = []
    whole: list[Run] = []
    for part in wanted:
        runs = [_run(part, world, truth, seed) for seed in range(plan.seeds)]
        if part == WHOLE:
            whole = runs
            lines.append(_line(part, [run.score for run in runs], runs, whole))
            lines.append(_line(UNCALIBRATED, [run.uncalibrated for run in runs], runs, whole))
        else:
            lines.append(_line(part, [run.score for run in runs], runs, whole))
        write_json(out, {"rows": [_row(line, plan) for line in lines], "simulated": True})
    show_table(
        f"{plan.folder.name}: {plan.users} simulated users, {plan.ratings} ratings each, the network without a part, "
        f"mean of {plan.seeds} seed(s), 95 % intervals over users (for these test queries)",
        HEAD,
        [_cells(line) for line in lines],
    )


def _run(part: str, world: World, truth: Truth, seed: int) -> Run:
    began = time.process_time()
    router, validation = fitted(part, world, seed)
    seconds = time.process_time() - began
    probability = router.predict_everyone(world.test, world.train)
    inverse = inverse_temperature(predict_pairs(router, world.validation, world.train))
    found = Run(score_of(probability, inverse, truth), score_of(probability, 1.0, truth), validation, seconds)
    progress(f"without {part}, seed {seed}: top1 {found.score.top1.mean():.4f}, validation {validation:.4f}")
    return found


def fitted(part: str, world: World, seed: int) -> tuple[Any, float]:
    """The router without a part, and its least loss on held-out queries."""
    config, once = TrainConfig(seed=seed, **PARTS[part].config), EncodedOnce(world.encoder)
    if part == ENSEMBLE:
        members = [
            GatRouter.fit_with_report(*fold, once, TrainConfig(seed=seed + SEED_STEP * i))
            for i, fold in enumerate(folds_of(world.train, world.validation, 3, seed))
        ]
        losses = [min(epoch.validation_loss for epoch in report.curve) for _, report in members]
        return GatEnsemble(tuple(router for router, _ in members)), float(np.mean(losses))
    with _without(PARTS[part].instead):
        router, report = GatRouter.fit_with_report(world.train, world.validation, once, config)
    return router, min(epoch.validation_loss for epoch in report.curve)


@contextmanager
def _without(instead: Mapping[str, type]) -> Iterator[None]:
    kept = {name: getattr(optimisation, name) for name in instead}
    for name, stand_in in instead.items():
        setattr(optimisation, name, stand_in)
    try:
        yield
    finally:
        for name, original in kept.items():
            setattr(optimisation, name, original)


def _line(part: str, scores: Sequence[Score], runs: Sequence[Run], whole: Sequence[Run]) -> Line:
    top1, gained = (
        np.mean([getattr(run.score, name) for run in whole], axis=0)
        - np.mean([getattr(score, name) for score in scores], axis=0)
        for name in ("top1", "gained")
    )
    return Line(
        part, tuple(scores), over_users(top1, np.ones(len(top1))), over_users(gained, scores[0].gainable),
        float(np.mean([run.validation for run in runs])), float(np.mean([run.seconds for run in runs])),
    )  # fmt: skip


def _row(line: Line, plan: Plan) -> dict[str, Any]:
    found = summary(line.scores)
    return {
        "without": line.part, "users": plan.users, "ratings": plan.ratings, "seeds": plan.seeds,
        **{name: getattr(found, name).value for name in ("top1", "utility", "log_loss", "ece")},
        "top1_lost": line.top1_lost._asdict(), "utility_lost": line.utility_lost._asdict(),
        "validation": line.validation, "fit_cpu_s": line.seconds,
    }  # fmt: skip


def _cells(line: Line) -> tuple[str, ...]:
    found = summary(line.scores)
    return (
        line.part, interval(found.top1), interval(line.top1_lost), interval(found.utility),
        interval(line.utility_lost), interval(found.log_loss), interval(found.ece), f"{line.validation:.4f}",
        f"{line.seconds:.1f}",
    )  # fmt: skip
