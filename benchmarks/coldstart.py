"""Strangers and newcomers: what a router knows of a new user after few ratings, and of a new LLM after few
comparisons.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from benchmarks.matchmaking import RECORDED, interview, worth_most
from benchmarks.measurement import ask, column_order, predicted
from benchmarks.report import interval, progress, show_table, write_json
from benchmarks.world import Truth, World, load_truth, load_world
from core.dataset import PreferenceDataset
from core.domain import LLMId
from core.errors import InvalidInput
from core.evaluation import BOOTSTRAPS, Estimate, over_users, top_one_credit
from core.routers import router_class
from core.routers.base import Onboards, Personal, Router, answers

FIRST_RATINGS = (0, 5, 10, 20, 50)
PLANNED = (5, 10, 20)
INTERVIEWED = 120  # new users, drawn at random, who are asked planned pairs: a decision each takes its time
FIRST_COMPARISONS = (0, 20, 100, 500)
ROUNDS = (20, 60, 100, 200, 300, 400, 500)  # comparisons after which those that are planned next are planned anew
PARTS = ("users", "llms")
ALL = "all"
RECALLS = ("recall", "recall_full")
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
    recorded, truth = load_world(plan.folder, plan.users, RECORDED), load_truth(plan.folder, plan.users)
    world = replace(recorded, train=recorded.train.where(recorded.train.place_within_user < plan.ratings))
    newcomers = _newcomers(plan, world, truth)
    rows: list[Row] = []
    for name in plan.routers:
        for seed in range(plan.seeds):
            found = new_users(name, world, recorded.train, truth, seed) if "users" in plan.parts else []
            if "llms" in plan.parts:
                found += new_llms(name, world, recorded.train, truth, newcomers, seed)
            cell: Row = {"router": name, "seed": seed, "users": plan.users, "ratings": plan.ratings}
            rows += [{**cell, **row} for row in found]
            write_json(out, {"rows": rows})
    _show(plan, rows)


def _newcomers(plan: Plan, world: World, truth: Truth) -> tuple[LLMId, ...]:
    """The LLMs named, or the two most often felt best: a newcomer nobody wants cannot show whether it is found."""
    known = [m.llm_id for m in world.train.llms]
    if plan.newcomers == (ALL,):
        return tuple(known)
    if unknown := [name for name in plan.newcomers if name not in known]:
        raise InvalidInput(f"There is no LLM '{unknown[0]}' in '{plan.folder}'. Known: {', '.join(known)}.")
    liked = np.argsort(-np.bincount(truth.label.ravel(), minlength=len(known)), kind="stable")
    return tuple(LLMId(name) for name in plan.newcomers) or tuple(known[i] for i in liked[:2])


def new_users(name: str, world: World, recorded: PreferenceDataset, truth: Truth, seed: int) -> list[Row]:
    """Fit on a random half of the users; the others come with their first ratings only, so many pairs at random. Where
    the router has a posterior to plan with, some of them come once more: each of their ratings is the answer to the
    pair that the app's own rule chose, from the answers before it, among those that they answered in `recorded`.

    `share`: top-1 of the new users as a share of that of trained users who show the router equally many ratings at
    random (what having been in the training set is worth). `share_of_full`: of trained users who show all of theirs
    (how far n ratings get a stranger; the issue's figure).
    """
    users = len(world.train.users)
    trained = np.zeros(users, bool)
    trained[np.random.default_rng(seed).permutation(users)[: max(users // 2, 1)]] = True
    known, checked = (part.where(trained[part.user]) for part in (world.train, world.validation))
    router = router_class(name).fit(known, checked, world.encoder, seed=seed)
    longest = int(np.bincount(world.train.user, minlength=users).max())
    full = _top_one(router, world, truth, longest)[trained]
    at_random = {n: _top_one(router, world, truth, n) for n in FIRST_RATINGS if n <= longest}
    found = [("random", n, top1[~trained]) for n, top1 in at_random.items()]
    if isinstance(router, Personal):
        planned = _planned_top_one(router, world, recorded, truth, np.flatnonzero(~trained), seed)
        found += [("planned", n, top1) for n, top1 in planned.items() if n in at_random]
    rows: list[Row] = []
    for how, n, top1 in found:
        same = at_random[n][trained]
        share, share_of_full = _ratio(top1, same), _ratio(top1, full)
        rows.append({
            "part": "new_users", "how": how, "shown": n, "new": len(top1), "top1": float(top1.mean()),
            "trained_top1": float(same.mean()), **_named("share", share), **_named("share_of_full", share_of_full),
        })  # fmt: skip
        said = f"{n} {how} ratings of {len(top1)} new users"
        progress(f"{name} seed {seed}: {said}: {share.value:.3f}, of full {share_of_full.value:.3f}")
    return rows


def _planned_top_one(
    router: Personal, world: World, recorded: PreferenceDataset, truth: Truth, new: NDArray[np.intp], seed: int
) -> dict[int, Floats]:
    """[U] top-1 of new users after so many planned ratings, for each of `PLANNED` that they all recorded."""
    some = np.sort(np.random.default_rng(seed).permutation(new)[:INTERVIEWED])
    fewest = int(np.bincount(recorded.user, minlength=len(recorded.users))[some].min())
    marks = [n for n in PLANNED if n <= fewest]
    found = {n: np.zeros(len(some)) for n in marks}
    columns = column_order(router, world.train.llms)
    for place, user in enumerate(some.tolist()):
        own, rng = recorded.of_user(recorded.users[user]), Random(f"{seed}-{user}")
        for n, history in enumerate(interview(router, own, max(marks, default=0), rng, informed=True)):
            if n in found:
                told = predicted(router, world, user, world.test, history)[:, columns]
                found[n][place] = top_one_credit(told, truth.label[user]).mean()
    return found


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


def new_llms(
    name: str, world: World, recorded: PreferenceDataset, truth: Truth, newcomers: Sequence[LLMId], seed: int
) -> list[Row]:
    """Leave one LLM out of training, then show its first comparisons: to the router and in users' histories. Drawn at
    random over what all users said for training; or planned, where the router has a posterior to plan with: who is
    asked is drawn, and what they are asked is a pair with the newcomer that they answered in `recorded`.

    `ratio`: top-1 as a share of a router trained on everything. Never choosing the newcomer already gives most of it
    (the row `never`), so `recall` stands beside it: of the user-query pairs whose best LLM it is, how many get it
    (`recall_full`: after training on everything). With several newcomers there are rows of their mean.
    """
    full = router_class(name).fit(world.train, world.validation, world.encoder, seed=seed)
    asked = ask(full, world, [world.train.of_user(user) for user in world.train.users])
    rows: list[Row] = []
    several: dict[tuple[str, int], list[tuple[Floats, Row]]] = {}
    for newcomer in newcomers:
        column = [m.llm_id for m in world.train.llms].index(newcomer)
        router = router_class(name).fit(
            _without(world.train, column), _without(world.validation, column), world.encoder, seed=seed
        )
        it = _Newcomer(world, recorded, truth, column, asked)
        found = [(it.asked_without(router), "never", 0)]
        if isinstance(router, Onboards):
            found += [(it.asked_with(router, its), how, shown) for how, shown, its in it.comparisons(router, seed)]
        for probability, how, shown in found:
            top1, row = it.row(probability, how, shown)
            rows.append(row)
            several.setdefault((how, shown), []).append((top1, row))
            progress(f"{name} seed {seed}: {newcomer}, {how} {shown}: {_spread(row, 'ratio')}, {row['recall']:.3f}")
        if len(found) == 1:
            rows.append({"part": "new_llm", "llm": newcomer, "shown": None, "note": "not supported"})
    if len(newcomers) > 1:
        everything = top_one_credit(asked, truth.label).mean(axis=1)
        rows += [_mean_row(how, shown, their, everything) for (how, shown), their in several.items()]
    return rows


def _mean_row(how: str, shown: int, found: Sequence[tuple[Floats, Row]], full: Floats) -> Row:
    top1 = np.mean([top for top, _ in found], axis=0)  # [U]
    recall, recall_full = (float(np.mean([float(row[key] or 0) for _, row in found])) for key in RECALLS)
    return {
        "part": "new_llm", "llm": f"mean of {len(found)}", "how": how, "shown": shown, "top1": float(top1.mean()),
        "full_top1": float(full.mean()), **_named("ratio", over_users(top1, full)), "recall": recall,
        "recall_full": recall_full,
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Newcomer:
    """One LLM left out, all pairs that people answered (in the order of `world.train`, and more), and what the full
    router said [U, Q, L].
    """

    world: World
    recorded: PreferenceDataset
    truth: Truth
    column: int
    full: Floats

    def comparisons(self, router: Onboards, seed: int) -> Iterator[tuple[str, int, PreferenceDataset]]:
        """Its first comparisons, at random and planned: at most so many, as far as there are."""
        train = self.world.train
        order = np.random.default_rng(seed).permutation(self._involved(train))
        for shown in FIRST_COMPARISONS:
            yield "random", shown, train.where(np.sort(order[:shown]))
        if isinstance(router, Personal):
            planned = self._planned(router, seed)
            for shown in FIRST_COMPARISONS[1:]:
                yield "planned", shown, self.recorded.where(planned[:shown])

    def _involved(self, part: PreferenceDataset) -> NDArray[np.intp]:
        return np.flatnonzero((part.llm_a == self.column) | (part.llm_b == self.column))

    def _planned(self, router: Onboards, seed: int) -> NDArray[np.intp]:
        """Rows of `recorded` in the order asked. What was answered counts from the next round on, for everyone."""
        rng, asked = Random(seed), np.zeros(0, np.intp)
        left = self._involved(self.recorded)
        for until in ROUNDS:
            history = self.history(self.recorded.where(asked))
            onboarded = router.with_llm(self.recorded.llms[self.column], history)
            if not isinstance(onboarded, Personal):
                break
            people = np.unique(self.recorded.user[left]).tolist()
            drawn = rng.sample(people, len(people)) * (-(-until // max(len(people), 1)))
            for user in drawn[: until - len(asked)]:
                theirs = left[self.recorded.user[left] == user]
                if len(theirs):
                    told, offered = history.of_user(self.recorded.users[user]), self.recorded.where(theirs)
                    row = theirs[worth_most(onboarded, offered, told, rng, seed=rng.randrange(2**31))]
                    asked, left = np.append(asked, row), left[left != row]
        return asked

    def history(self, its: PreferenceDataset) -> PreferenceDataset:
        """What people said for training of the others, and these comparisons of the newcomer."""
        train = self.world.train
        return train.where(np.setdiff1d(np.arange(len(train)), self._involved(train))).joined(its)

    def asked_without(self, router: Router) -> Floats:
        """What a router that has never heard of it says; its column is 0."""
        train = _without(self.world.train, self.column)
        known = [i for i in range(len(self.world.train.llms)) if i != self.column]
        found = np.zeros_like(self.full)
        columns = column_order(router, train.llms)
        for row, user in enumerate(train.users):
            found[row][:, known] = predicted(router, self.world, row, self.world.test, train.of_user(user))[:, columns]
        return found

    def asked_with(self, router: Onboards, its: PreferenceDataset) -> Floats:
        """What it says once it has seen these comparisons of the newcomer."""
        history = self.history(its)
        onboarded = router.with_llm(history.llms[self.column], history)
        return ask(onboarded, self.world, [history.of_user(user) for user in history.users])

    def row(self, probability: Floats, how: str, shown: int) -> tuple[Floats, Row]:
        """Top-1 of each user [U], and the row."""
        label, is_newcomer = self.truth.label, self.truth.label == self.column
        top1, full = (top_one_credit(p, label) for p in (probability, self.full))
        wanted = max(int(is_newcomer.sum()), 1)
        return top1.mean(axis=1), {
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
    asked = ("router", "ratings shown", "new users", "top1 new", "top1 trained", "share, same number", "share of all")
    users = [_user_cells(row) for row in rows if row["part"] == "new_users"]
    if users:
        show_table(f"{title}, half of them new; share of all: of trained users with all of theirs", asked, users)
    head = ("router", "new LLM", "comparisons", "top1 / full router's", "recall", "recall of full")
    llms = [_llm_cells(row) for row in rows if row["part"] == "new_llm"]
    if llms:
        show_table(f"{title}, one LLM left out of training", head, llms)


def _user_cells(row: Row) -> tuple[str, ...]:
    figures = (_figure(row, "top1"), _figure(row, "trained_top1"), _spread(row, "share"), _spread(row, "share_of_full"))
    shown = f"{row['shown']} {row['how']}"
    return (f"{row['router']} seed {row['seed']}", shown, str(row["new"]), *figures)


def _llm_cells(row: Row) -> tuple[str, ...]:
    names = (f"{row['router']} seed {row['seed']}", str(row["llm"]))
    if "note" in row:
        return (*names, "-", str(row["note"]), "-", "-")
    shown = "never chosen" if row["how"] == "never" else f"{row['shown']} {row['how']}"
    return (*names, shown, _spread(row, "ratio"), _figure(row, "recall"), _figure(row, "recall_full"))


def _figure(row: Row, name: str) -> str:
    return f"{row[name]:.3f}"


def _spread(row: Row, name: str) -> str:
    value, low, high = (float(row[key] or 0) for key in (name, f"{name}_low", f"{name}_high"))
    return interval(Estimate(value, low, high, 0))
