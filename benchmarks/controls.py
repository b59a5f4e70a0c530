"""What must hold before any figure about persons is believed: opposed users differ, shuffled users gain nothing, null
sets are not hurt.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measurement import ask
from benchmarks.report import interval, progress, show_table, write_json
from benchmarks.scoring import pair_losses
from benchmarks.votes import personal_differences
from benchmarks.world import Truth, World, load_truth, load_world
from core.dataset import PreferenceDataset
from core.domain import OUTCOMES, Outcome, UserId
from core.encoders import TextEncoder
from core.errors import InvalidInput
from core.evaluation import Estimate, over_users
from core.routers import router_class
from core.routers.base import Router

# name -> file, and whether a personal gain is expected there (True), or none (False)
REAL_SETS = {
    "mt_bench_human": ("human_judgments.parquet", False),
    "tulu_human": ("judgments.parquet", False),
    "prd_llm_judges": ("judgments.parquet", True),
}
SAME = 1e-6
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Control:
    """One control: the figure, its 95 % interval, over what it was drawn, what was expected, and whether that held."""

    control: str
    router: str
    value: float
    low: float
    high: float
    over: str
    expected: str
    holds: bool


@dataclass(frozen=True)
class Plan:
    """What to run: one router, on the first users of a simulated world and on real sets by folds of questions."""

    router: str
    world: Path
    users: int
    ratings: int
    data: Path
    sets: tuple[str, ...]
    folds: int = 5
    seed: int = 0


def controls(plan: Plan, encoder: TextEncoder, out: Path | None) -> bool:
    """All controls of one router; `{"rows": [...]}`. False where one does not hold."""
    if unknown := [name for name in plan.sets if name not in REAL_SETS]:
        raise InvalidInput(f"There is no real set '{unknown[0]}'. Known: {', '.join(REAL_SETS)}.")
    world, truth = load_world(plan.world, plan.users, plan.ratings), load_truth(plan.world, plan.users)
    found = in_world(plan.router, world, truth, plan.seed)
    for name in plan.sets:
        write_json(out, {"rows": [asdict(control) for control in found]})
        found += on_real_set(plan, name, encoder)
        progress(f"{name}: done")
    write_json(out, {"rows": [asdict(control) for control in found]})
    head = ("control", "figure", "drawn over", "expected", "verdict")
    show_table(f"Controls of '{plan.router}' (seed {plan.seed})", head, [_cells(control) for control in found])
    return all(control.holds for control in found)


def _cells(control: Control) -> tuple[str, ...]:
    figure = interval(Estimate(control.value, control.low, control.high, 0), 4)
    return (control.control, figure, control.over, control.expected, "holds" if control.holds else "FAILS")


def in_world(name: str, world: World, truth: Truth, seed: int) -> list[Control]:
    """The controls on a simulated world."""
    router = router_class(name).fit(world.train, world.validation, world.encoder, seed=seed)
    same, swapped = _twin(router, world), _swap(router, world)
    lift = _lift(router, world, world.train, truth)
    progress(f"{name}: personal lift {lift.value:.4f}")
    mixed = replace(world, train=shuffled(world.train, seed), validation=shuffled(world.validation, seed + 1))
    retrained = router_class(name).fit(mixed.train, mixed.validation, mixed.encoder, seed=seed)
    gone = _lift(retrained, mixed, mixed.train, truth)
    progress(f"{name}: with shuffled users {gone.value:.4f}")
    return [
        Control("identical histories", name, same, same, same, "-", f"largest difference <= {SAME}", same <= SAME),
        _control("user swap", name, swapped, "users", "over half of the picks change", swapped.low > 0.5),
        _control("personal lift", name, lift, "users", "above 0", lift.low > 0),
        # what is left may not be a gain worth naming: a router that learned from noise may well lose a little
        _control(
            "lift, users shuffled",
            name,
            gone,
            "users",
            "at most 5 % of the lift",
            gone.value <= max(0.05 * lift.value, 0),
        ),
    ]


def shuffled(part: PreferenceDataset, seed: int) -> PreferenceDataset:
    """User ids permuted over the ratings: everyone keeps the number of their ratings, and nobody keeps their own."""
    return replace(part, user=np.random.default_rng(seed).permutation(part.user))


def _twin(router: Router, world: World) -> float:
    """The largest difference between two users, one of them a stranger, who show the same ratings."""
    largest = 0.0
    for user in world.train.users[:20]:
        own = world.train.of_user(user)
        twin = replace(own, users=(UserId("twin"),), user=np.zeros(len(own), np.int32))
        one, other = router.predict_proba(user, world.test, own), router.predict_proba(UserId("twin"), world.test, twin)
        largest = max(largest, float(np.abs(one - other).max()))
    return largest


def _swap(router: Router, world: World) -> Estimate:
    """Share of picks that change when a user says the opposite of everything."""
    opposite = np.arange(len(OUTCOMES))
    a, b = OUTCOMES.index(Outcome.A), OUTCOMES.index(Outcome.B)
    opposite[[a, b]] = b, a
    changed = []
    for user in world.train.users:
        own = world.train.of_user(user)
        inverted = replace(own, outcome=opposite[own.outcome].astype(np.int8))
        picks = [router.predict_proba(user, world.test, said).argmax(axis=1) for said in (own, inverted)]
        changed.append(float((picks[0] != picks[1]).mean()))
    return over_users(np.array(changed), np.ones(len(changed)))


def _lift(router: Router, world: World, history: PreferenceDataset, truth: Truth) -> Estimate:
    """How much lower the log-loss on test queries is with a user's history than without any: the personal part and
    nothing else.
    """
    own = [history.of_user(user) for user in history.users]
    nothing = [part.where(np.zeros(len(part), bool)) for part in own]
    losses = [pair_losses(ask(router, world, shown), truth).mean(axis=(1, 2)) for shown in (own, nothing)]
    return over_users(losses[1] - losses[0], np.ones(len(own)))


def on_real_set(plan: Plan, name: str, encoder: TextEncoder) -> list[Control]:
    """Null sets: personalisation must not hurt beyond its interval. Positive control: it must help."""
    file, gains = REAL_SETS[name]
    found = []
    for each in personal_differences(plan.data / name / file, plan.router, plan.folds, encoder, plan.seed):
        expected, holds = ("below 0", each.figure.high < 0) if gains else ("not above 0", each.figure.low <= 0)
        title = f"{name}: log-loss minus {each.rival}"
        found.append(_control(title, plan.router, each.figure, each.over, expected, holds))
    return found


def _control(name: str, router: str, figure: Estimate, over: str, expected: str, holds: bool) -> Control:
    return Control(name, router, figure.value, figure.low, figure.high, over, expected, bool(holds))
