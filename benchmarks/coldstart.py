"""Strangers and newcomers: what a router knows of a new user after few ratings, and of a new LLM after few
comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measurement import ask, column_order, predicted
from benchmarks.report import interval, progress, show_table, write_json
from benchmarks.world import Truth, World, load_truth, load_world
from core.dataset import PreferenceDataset
from core.domain import LLMId
from core.errors import InvalidInput
from core.evaluation import BOOTSTRAPS, Estimate, over_users, top_one_credit
from core.routers import router_class
from core.routers.base import Onboards, Router, answers

FIRST_RATINGS = (0, 5, 10, 20, 50)
FIRST_COMPARISONS = (0, 20, 100, 500)
PARTS = ("users", "llms")
Floats = NDArray[np.float64]
Row = dict[str, str | int | float | None]


@dataclass(frozen=True)
class Plan:
    """What to run."""

    folder: Path
    users: int
    ratings: int
    seeds: int
    routers: tuple[str, ...]
    newcomers: tuple[str, ...]
    parts: tuple[str, ...] = PARTS


def coldstart(plan: Plan, out: Path | None) -> None:
    """The parts asked for, for every router and seed; `{"rows": [...]}`, each row naming its `part`.

    Raises InvalidInput for a part or an LLM that there is not.
    """
    if unknown := [name for name in plan.parts if name not in PARTS]:
        raise InvalidInput(f"There is no part '{unknown[0]}'. There are: {', '.join(PARTS)}.")
    world, truth = load_world(plan.folder, plan.users, plan.ratings), load_truth(plan.folder, plan.users)
    newcomers = _newcomers(plan, world, truth)
    rows: list[Row] = []
    for name in plan.routers:
        for seed in range(plan.seeds):
            found = new_users(name, world, truth, seed) if "users" in plan.parts else []
            if "llms" in plan.parts:
                found += new_llms(name, world, truth, newcomers, seed)
            cell: Row = {"router": name, "seed": seed, "users": plan.users, "ratings": plan.ratings}
            rows += [{**cell, **row} for row in found]
            write_json(out, {"rows": rows})
    _show(plan, rows)


def _newcomers(plan: Plan, world: World, truth: Truth) -> tuple[LLMId, ...]:
    """The LLMs named, or the two most often felt best: a newcomer nobody wants cannot show whether it is found."""
    known = [m.llm_id for m in world.train.llms]
    if unknown := [name for name in plan.newcomers if name not in known]:
        raise InvalidInput(f"There is no LLM '{unknown[0]}' in '{plan.folder}'. Known: {', '.join(known)}.")
    liked = np.argsort(-np.bincount(truth.label.ravel(), minlength=len(known)), kind="stable")
    return tuple(LLMId(name) for name in plan.newcomers) or tuple(known[i] for i in liked[:2])


def new_users(name: str, world: World, truth: Truth, seed: int) -> list[Row]:
    """Fit on a random half of the users; the others come with their first ratings only.

    `share`: top-1 of the new users as a share of that of trained users who show the router equally many ratings (what
    having been in the training set is worth). `share_of_full`: of trained users who show all of theirs (how far n
    ratings get a stranger; the issue's figure).
    """
    users = len(world.train.users)
    trained = np.zeros(users, bool)
    trained[np.random.default_rng(seed).permutation(users)[: max(users // 2, 1)]] = True
    known, checked = (part.where(trained[part.user]) for part in (world.train, world.validation))
    router = router_class(name).fit(known, checked, world.encoder, seed=seed)
    longest = int(np.bincount(world.train.user, minlength=users).max())
    full = _top_one(router, world, truth, longest)[trained]
    rows: list[Row] = []
    for n in (n for n in FIRST_RATINGS if n <= longest):
        top1 = _top_one(router, world, truth, n)
        share, share_of_full = _ratio(top1[~trained], top1[trained]), _ratio(top1[~trained], full)
        rows.append({
            "part": "new_users", "shown": n, "top1": float(top1[~trained].mean()),
            "trained_top1": float(top1[trained].mean()),
            **_named("share", share), **_named("share_of_full", share_of_full),
        })  # fmt: skip
        progress(f"{name} seed {seed}: {n} ratings of a new user: {share.value:.3f}, of full {share_of_full.value:.3f}")
    return rows


def _top_one(router: Router, world: World, truth: Truth, first: int) -> Floats:
    """[U] top-1 of every user who has shown their first ratings."""
    history = world.train.where(world.train.place_within_user < first)
    told = answers(router, world.test, history)[..., column_order(router, world.train.llms)]
    return np.asarray(top_one_credit(told, truth.label).mean(axis=1))


def _ratio(top: Floats, bottom: Floats) -> Estimate:
    """Mean over mean of two groups of users, each drawn anew by itself."""
    random = np.random.default_rng(0)
    means = [x[random.integers(len(x), size=(BOOTSTRAPS, len(x)))].mean(axis=1) for x in (top, bottom)]
    low, high = np.quantile(means[0] / np.maximum(means[1], 1e-12), [0.025, 0.975])
    return Estimate(float(top.mean() / max(bottom.mean(), 1e-12)), float(low), float(high), len(top))


def new_llms(name: str, world: World, truth: Truth, newcomers: Sequence[LLMId], seed: int) -> list[Row]:
    """Leave one LLM out of training, then show its first comparisons, drawn over all users: to the router and in
    users' histories.

    `ratio`: top-1 as a share of a router trained on everything. Never choosing the newcomer already gives most of it
    (`ratio_never`), so `recall` stands beside it: of the user-query pairs whose best LLM it is, how many get it
    (`recall_full`: after training on everything).
    """
    full = router_class(name).fit(world.train, world.validation, world.encoder, seed=seed)
    asked = ask(full, world, [world.train.of_user(user) for user in world.train.users])
    rows: list[Row] = []
    for newcomer in newcomers:
        column = [m.llm_id for m in world.train.llms].index(newcomer)
        router = router_class(name).fit(
            _without(world.train, column), _without(world.validation, column), world.encoder, seed=seed
        )
        found = _Newcomer(world, truth, column, asked)
        rows.append(found.row(found.asked_without(router), "never", 0))
        if not isinstance(router, Onboards):
            rows.append({"part": "new_llm", "llm": newcomer, "shown": None, "note": "not supported"})
            continue
        for shown in FIRST_COMPARISONS:
            row = found.row(found.asked_with(router, shown, seed), "onboarded", shown)
            rows.append(row)
            progress(
                f"{name} seed {seed}: {newcomer} after {shown}: {_spread(row, 'ratio')}, recall {row['recall']:.3f}"
            )
    return rows


@dataclass(frozen=True, eq=False)
class _Newcomer:
    """One LLM left out, and what the full router said [U, Q, L]."""

    world: World
    truth: Truth
    column: int
    full: Floats

    def asked_without(self, router: Router) -> Floats:
        """What a router that has never heard of it says; its column is 0."""
        train = _without(self.world.train, self.column)
        known = [i for i in range(len(self.world.train.llms)) if i != self.column]
        found = np.zeros_like(self.full)
        columns = column_order(router, train.llms)
        for row, user in enumerate(train.users):
            found[row][:, known] = predicted(router, self.world, row, self.world.test, train.of_user(user))[:, columns]
        return found

    def asked_with(self, router: Onboards, shown: int, seed: int) -> Floats:
        """What it says once it has seen `shown` comparisons of the newcomer."""
        train = self.world.train
        involved = (train.llm_a == self.column) | (train.llm_b == self.column)
        drawn = np.random.default_rng(seed).permutation(np.flatnonzero(involved))[:shown]
        history = train.where(np.sort(np.concatenate([np.flatnonzero(~involved), drawn])))
        onboarded = router.with_llm(train.llms[self.column], history)
        return ask(onboarded, self.world, [history.of_user(user) for user in train.users])

    def row(self, probability: Floats, how: str, shown: int) -> Row:
        label, is_newcomer = self.truth.label, self.truth.label == self.column
        top1, full = (top_one_credit(p, label) for p in (probability, self.full))
        wanted = max(int(is_newcomer.sum()), 1)
        return {
            "part": "new_llm", "llm": self.world.train.llms[self.column].llm_id, "how": how, "shown": shown,
            "top1": float(top1.mean()), "full_top1": float(full.mean()),
            **_named("ratio", over_users(top1.mean(axis=1), full.mean(axis=1))),
            "recall": float(top1[is_newcomer].sum() / wanted), "recall_full": float(full[is_newcomer].sum() / wanted),
        }  # fmt: skip


def _without(part: PreferenceDataset, column: int) -> PreferenceDataset:
    """The ratings in which an LLM has no side, over the other LLMs."""
    kept = part.where((part.llm_a != column) & (part.llm_b != column))
    down = [(x - (x > column)).astype(np.int32) for x in (kept.llm_a, kept.llm_b)]
    return replace(kept, llms=part.llms[:column] + part.llms[column + 1 :], llm_a=down[0], llm_b=down[1])


def _named(name: str, estimate: Estimate) -> Row:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _show(plan: Plan, rows: Sequence[Row]) -> None:
    title = f"{plan.folder.name}: {plan.users} simulated users x {plan.ratings}"
    head = ("router", "ratings shown", "top1 new", "top1 trained", "share, same number", "share of trained with all")
    users = [_user_cells(row) for row in rows if row["part"] == "new_users"]
    if users:
        show_table(f"{title}, half of them new", head, users)
    head = ("router", "new LLM", "comparisons", "top1 / full router's", "recall", "recall of full")
    llms = [_llm_cells(row) for row in rows if row["part"] == "new_llm"]
    if llms:
        show_table(f"{title}, one LLM left out of training", head, llms)


def _user_cells(row: Row) -> tuple[str, ...]:
    figures = (_figure(row, "top1"), _figure(row, "trained_top1"), _spread(row, "share"), _spread(row, "share_of_full"))
    return (f"{row['router']} seed {row['seed']}", str(row["shown"]), *figures)


def _llm_cells(row: Row) -> tuple[str, ...]:
    names = (f"{row['router']} seed {row['seed']}", str(row["llm"]))
    if "note" in row:
        return (*names, "-", str(row["note"]), "-", "-")
    shown = "never" if row["how"] == "never" else str(row["shown"])
    return (*names, shown, _spread(row, "ratio"), _figure(row, "recall"), _figure(row, "recall_full"))


def _figure(row: Row, name: str) -> str:
    return f"{row[name]:.3f}"


def _spread(row: Row, name: str) -> str:
    value, low, high = (float(row[key] or 0) for key in (name, f"{name}_low", f"{name}_high"))
    return interval(Estimate(value, low, high, 0))
