"""Does asking the right pairs save ratings? New simulated users, asked by our rule and at random, by the same router.

A pair that was not recorded has no honest answer: the truth of train queries is not in the folder. So both rules choose
among the pairs that a user did answer (pool-based active learning), mostly one a query. In the app every pair of
every query may be asked, which leaves more to choose from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from benchmarks.measurement import column_order, predicted
from benchmarks.report import interval, progress, show_table, write_json
from benchmarks.world import Truth, World, load_truth, load_world
from core.dataset import PreferenceDataset
from core.errors import InvalidInput
from core.evaluation import BOOTSTRAPS, Estimate, top_one_credit
from core.information import Pairs, worth_asking
from core.matchmaking import Shares
from core.routers import router_class
from core.routers.base import Personal

RECORDED = 200  # pairs of each user in the folder
MARKS = (10, 20, 30, 50)  # ratings at random whose accuracy is to be reached with fewer
GOAL = 0.3
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What to run. Half of the users train the router, with their first `ratings` pairs; the others are new."""

    folder: Path
    users: int
    ratings: int
    steps: int
    seeds: int
    router: str


class Saved(NamedTuple):
    """To reach the accuracy of so many random ratings, `needed` of ours did; `fewer` is the share saved."""

    random: int
    accuracy: float
    needed: Estimate
    fewer: Estimate


def matchmaking(plan: Plan, out: Path | None) -> bool:
    """Run every seed; `{"rows": [...], "curves": {...}}`. Whether the goal was reached at the last mark."""
    if plan.users < 2 or not 1 <= plan.steps <= RECORDED:
        raise InvalidInput(f"At least two users and from 1 to {RECORDED} ratings of a new one are needed.")
    world, truth = load_world(plan.folder, plan.users, RECORDED), load_truth(plan.folder, plan.users)
    curves = [_curves(plan, world, truth, seed) for seed in range(plan.seeds)]
    random, ours = (np.concatenate([curve[i] for curve in curves]) for i in (0, 1))  # [U, steps + 1]
    marks = [n for n in MARKS if n <= plan.steps] or [plan.steps]
    pooled = [saved(random, ours, n) for n in marks]
    rows = [_row(found, plan, "all") for found in pooled]
    rows += [
        _row(saved(*curve, n), plan, seed) for seed, curve in enumerate(curves) for n in marks
    ]  # fmt: skip
    means = {"random": random.mean(0).tolist(), "ours": ours.mean(0).tolist()}
    write_json(out, {"rows": rows, "curves": means, "goal": GOAL, "simulated": True})
    _show(plan, pooled, len(random))
    return pooled[-1].fewer.value >= GOAL


def _curves(plan: Plan, world: World, truth: Truth, seed: int) -> tuple[Floats, Floats]:
    """Top-1 on test queries of each new user after 0, 1, ... ratings, [U, steps + 1]: at random, and by our rule."""
    users = len(world.train.users)
    order = np.random.default_rng(seed).permutation(users)
    trained, new = np.isin(np.arange(users), order[: users // 2]), np.sort(order[users // 2 :])
    first = world.train.place_within_user < plan.ratings
    known = world.train.where(trained[world.train.user] & first)
    checked = world.validation.where(trained[world.validation.user])
    router = router_class(plan.router).fit(known, checked, world.encoder, seed=seed)
    if not isinstance(router, Personal):
        raise InvalidInput(f"'{plan.router}' has no posterior to ask from; take 'ladder' or 'gat'.")
    columns = column_order(router, world.train.llms)
    curves = np.zeros((2, len(new), plan.steps + 1))
    for row, user in enumerate(new):
        own = world.train.of_user(world.train.users[user])
        for rule in (0, 1):
            rng = Random(f"{seed}-{user}-{rule}")
            for step, history in enumerate(interview(router, own, plan.steps, rng, informed=bool(rule))):
                p = predicted(router, world, int(user), world.test, history)[:, columns]
                curves[rule, row, step] = top_one_credit(p, truth.label[user]).mean()
        if row % 10 == 9 or row == len(new) - 1:
            at = curves[:, : row + 1, -1].mean(1)
            progress(f"seed {seed}: {row + 1} of {len(new)} new users; top-1 random {at[0]:.3f}, ours {at[1]:.3f}")
    return curves[0], curves[1]


def interview(
    router: Personal, own: PreferenceDataset, questions: int, rng: Random, *, informed: bool
) -> Iterator[PreferenceDataset]:
    """What a user has said after 0, 1, ..., `questions` of the pairs in `own`, those that they recorded. Each is chosen
    from the answers before it, its own unseen.
    """
    asked: list[int] = []
    for left in range(questions, -1, -1):
        yield own.where(np.array(asked, np.int64))
        if left:
            asked.append(next_asked(router, own, asked, rng, informed=informed))


def next_asked(
    router: Personal, own: PreferenceDataset, asked: Sequence[int], rng: Random, *, informed: bool
) -> int:  # fmt: skip
    """Which of a user's recorded pairs is asked next. Tests of the person cost both rules the same and are left out."""
    left = np.setdiff1d(np.arange(len(own)), asked)
    if not informed or rng.random() < Shares().uniform:
        return int(rng.choice(left))
    history = own.where(np.array(asked, np.int64))
    return int(left[worth_most(router, own.where(left), history, rng, seed=len(asked))])


def worth_most(
    router: Personal, offered: PreferenceDataset, history: PreferenceDataset, rng: Random, seed: int
) -> int:  # fmt: skip
    """Which of the pairs `offered` to one user the app would ask for what it tells; any where none tells anything."""
    user = offered.users[int(offered.user[0])]
    rated, query = np.unique(offered.query, return_inverse=True)
    pairs = Pairs(query, offered.llm_a.astype(np.int64), offered.llm_b.astype(np.int64))
    found = worth_asking(router, user, [offered.queries[i] for i in rated], pairs, history, seed=seed)
    if not len(found.positions):
        return rng.randrange(len(offered))
    return int(rng.choices(found.positions.tolist(), found.weights.tolist())[0])


def saved(random: Floats, ours: Floats, mark: int) -> Saved:
    """How many of our ratings reach the mean accuracy of `mark` random ones; intervals by bootstrap over users.

    Curves are made to rise (isotonic regression) and read between the steps. Where ours never gets there, all steps and
    one more are counted.
    """
    drawn = np.random.default_rng(0).integers(len(random), size=(BOOTSTRAPS // 4, len(random)))
    found = np.array([_needed(random[rows].mean(0), ours[rows].mean(0), mark) for rows in drawn])
    needed, accuracy = _needed(random.mean(0), ours.mean(0), mark), float(_rising(random.mean(0))[mark])
    low, high = np.quantile(found, [0.025, 0.975])
    n = len(random)
    return Saved(
        mark, accuracy, Estimate(needed, float(low), float(high), n),
        Estimate(1 - needed / mark, float(1 - high / mark), float(1 - low / mark), n),
    )  # fmt: skip


def _rising(curve: Floats) -> Floats:
    return np.asarray(IsotonicRegression().fit_transform(np.arange(len(curve)), curve))


def _needed(random: Floats, ours: Floats, mark: int) -> float:
    target, curve = _rising(random)[mark], _rising(ours)
    after = int(np.argmax(curve >= target - 1e-12)) if curve[-1] >= target - 1e-12 else len(curve)
    if after in (0, len(curve)):
        return float(after)
    below, above = curve[after - 1], curve[after]
    return after - 1 + float((target - below) / (above - below))


def _row(found: Saved, plan: Plan, seed: int | str) -> dict[str, str | int | float]:
    return {
        "router": plan.router, "seed": seed, "users": plan.users, "random_ratings": found.random,
        "accuracy": found.accuracy, "needed": found.needed.value, "fewer": found.fewer.value,
        "fewer_low": found.fewer.low, "fewer_high": found.fewer.high,
    }  # fmt: skip


def _show(plan: Plan, pooled: Sequence[Saved], new: int) -> None:
    title = (
        f"{plan.folder.name}: {new} new simulated users over {plan.seeds} seed(s), router {plan.router}; "
        "95 % intervals over users"
    )
    head = ("random ratings", "top-1 there", "ours needed", "fewer", f"goal {GOAL:.0%}")
    rows = [
        (
            str(s.random), f"{s.accuracy:.3f}", interval(s.needed, 1), interval(s.fewer, 2),
            "reached" if s.fewer.value >= GOAL else "missed",
        )
        for s in pooled
    ]  # fmt: skip
    show_table(title, head, rows)
