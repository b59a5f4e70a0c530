"""A kind of router put to every honest test on the ratings there are: splits, newcomers, a new LLM, calibration, cost,
contamination and controls. Every figure rests on ratings that the fit behind it has not seen.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.costs import (
    average_gap_recovered,
    call_curve,
    call_share_for,
    deferral_area,
    deferral_curve,
    pick_entropy,
    quality_improvement,
    quality_neutral_cost,
    value_over_best,
    zero_router,
)
from core.dataset import PreferenceDataset, SplitBy
from core.domain import UserId
from core.encoders import TextEncoder
from core.errors import InvalidInput, NotEnoughData
from core.evaluation import Estimate, Predictions, evaluate, log_loss_gain, over_users, predict_pairs
from core.readiness import check_enough
from core.routers import ROUTERS, router_class
from core.routers.base import Router
from core.routers.bradley_terry import BradleyTerryRouter
from core.routers.vectors import EncodedOnce, query_vectors

Floats = NDArray[np.float64]
Reach = Callable[[str, int, int], None]
SHARES = (0.7, 0.1, 0.2)
SPLITS: tuple[tuple[SplitBy, str], ...] = (
    ("query", "Unseen queries"), ("time", "Latest ratings"), ("task", "Unseen topics"), ("user", "Unseen users"),
)  # fmt: skip
NEWCOMER_STEPS = (0, 5, 10, 20)
NEW_LLM_STEPS = (0, 20, 100)
LEAST_OF_A_PAIR = 20  # held-out ratings of two LLMs below which nothing is said of them
SAME_TEXT = 0.95  # cosine from which two queries are as good as the same
BINS = 10
SAME_SCORE = 1e-6
STRANGER = UserId("a stranger")
STEPS = ("splits", "newcomers", "new LLM", "calibration and cost", "controls")


def check_kind(kind: str) -> str:
    """The kind of router to examine. Raises InvalidInput for one that is not known."""
    if kind not in ROUTERS:
        raise InvalidInput(f"There is no kind of router called '{kind}'. Known: {', '.join(ROUTERS)}.")
    return kind


def examine(
    ratings: PreferenceDataset, encoder: TextEncoder, kind: str, reach: Reach | None = None, seed: int = 0
) -> dict[str, Any]:
    """Everything as plain values. `reach(step, number, of)` is told before each step; what it raises ends the work.

    Raises NotEnoughData. What cannot be measured on these ratings carries a `reason` in place of its figures.
    """
    check_enough(ratings)
    it = _Examination(ratings, EncodedOnce(encoder), check_kind(kind), seed)
    found: dict[str, Any] = {
        "router": kind,
        "seed": seed,
        "ratings": len(ratings),
        "fingerprint": ratings.fingerprint(),
    }
    parts: tuple[Callable[[], dict[str, Any]], ...] = (
        it.splits, it.newcomers, it.new_llm, it.calibration_and_cost, it.controls,
    )  # fmt: skip
    for number, (name, part) in enumerate(zip(STEPS, parts, strict=True)):
        if reach:
            reach(name, number, len(STEPS))
        found |= part()
    return found


class _Examination:
    """One kind of router on one set of ratings. The split by query is fitted once and used by most parts."""

    def __init__(self, ratings: PreferenceDataset, encoder: TextEncoder, kind: str, seed: int) -> None:
        self.ratings, self.encoder, self.kind, self.seed = ratings, encoder, kind, seed
        self.train, self.validation, self.test = ratings.split("query", SHARES, seed)
        self.history = ratings.where(~np.isin(ratings.ids, self.test.ids))
        self.router = self.fit(self.train, self.validation)
        self.population = BradleyTerryRouter.fit(self.train, self.validation, encoder)
        self.own = predict_pairs(self.router, self.test, self.history)
        self.everyones = predict_pairs(self.population, self.test, self.history)

    def fit(self, train: PreferenceDataset, validation: PreferenceDataset) -> Router:
        return router_class(self.kind).fit(train, validation, self.encoder, seed=self.seed)

    def lift(self) -> Estimate:
        """What knowing the person adds: the log-loss gain over what the same router tells a stranger."""
        return log_loss_gain(self.own, predict_pairs(self.router, self.test, None))

    def splits(self) -> dict[str, Any]:
        """Whether persons differ, and the gain over one ranking for all under every split.

        Personal routing is separable where it beats one ranking for all and its own answer to a stranger, both beyond
        the interval: a router that only knows the tasks beats the one and not the other.
        """
        lift, ranking = self.lift(), log_loss_gain(self.own, self.everyones)
        separable = bool(lift.low > 0 and ranking.low > 0)
        personal = {"lift": lift._asdict(), "ratings": len(self.test), "separable": separable}
        return {"personal": personal, "splits": [{"by": by, "what": what, **self._split(by)} for by, what in SPLITS]}

    def _split(self, by: SplitBy) -> dict[str, Any]:
        try:
            if by == "query":
                return _against(self.own, self.everyones)
            train, validation, test = self.ratings.split(by, SHARES, self.seed)
            if not len(train) or not len(validation) or not len(test):
                return {"reason": "too few groups to leave some out"}
            history = self.ratings.where(~np.isin(self.ratings.ids, test.ids))
            if by == "user":  # what they said earlier is known, their later half is asked
                order = _order(test)
                later = order >= np.bincount(test.user, minlength=len(test.users))[test.user] / 2
                history, test = self.ratings.where(~np.isin(self.ratings.ids, test.ids[later])), test.where(later)
            fitted = self.fit(train, validation)
            population = BradleyTerryRouter.fit(train, validation, self.encoder)
            return _against(predict_pairs(fitted, test, history), predict_pairs(population, test, history))
        except NotEnoughData as error:
            return {"reason": str(error)}

    def newcomers(self) -> dict[str, Any]:
        """Users unknown to the fit after so many ratings, always on the same later ratings of theirs."""
        train, validation, test = self.ratings.split("user", SHARES, self.seed)
        order, most = _order(test), NEWCOMER_STEPS[-1]
        asked = test.where(order >= most)
        if not len(train) or not len(validation) or not (asked.label != 0.5).any():
            return {"newcomers": {"reason": f"no left-out user has more than {most} ratings"}}
        try:
            fitted = self.fit(train, validation)
        except NotEnoughData as error:
            return {"newcomers": {"reason": str(error)}}
        reference = predict_pairs(BradleyTerryRouter.fit(train, validation, self.encoder), asked, None)
        points = [
            {"known": n, **_against(predict_pairs(fitted, asked, test.where(order < n)), reference)}
            for n in NEWCOMER_STEPS
        ]
        return {"newcomers": {"points": points}}

    def new_llm(self) -> dict[str, Any]:
        """The most rated LLM left out of the fit, then with its first comparisons: how often it is put first where it
        won. Never choosing it can look good in accuracy, so that this recall stands beside it.
        """
        counts = np.bincount(np.concatenate([self.ratings.llm_a, self.ratings.llm_b]), minlength=len(self.ratings.llms))
        row = int(counts.argmax())
        if (counts > 0).sum() < 3:
            return {"new_llm": {"reason": "leaving one of two LLMs out leaves nothing to compare"}}
        its = (self.train.llm_a == row) | (self.train.llm_b == row)
        won = _won_by(self.test, row)
        if not won.any():
            return {"new_llm": {"reason": "it won no held-out rating"}}
        points = []
        for n in NEW_LLM_STEPS:
            kept = ~its
            kept[np.flatnonzero(its)[:n]] = True
            try:
                fitted = self.fit(self.train.where(kept), self._without(self.validation, row))
            except NotEnoughData:
                continue
            others = (self.history.llm_a != row) & (self.history.llm_b != row)
            known = self.history.where(others | np.isin(self.history.ids, self.train.ids[kept]))
            if self.ratings.llms[row].llm_id in fitted.llms:
                asked = predict_pairs(fitted, self.test, known)
                points.append({"ratings": n, **_of_newcomer(asked, self.test, won, row)})
        full = _of_newcomer(self.own, self.test, won, row)
        return {"new_llm": {"llm": self.ratings.llms[row].llm_id, "points": points, "full": full}}

    def _without(self, part: PreferenceDataset, row: int) -> PreferenceDataset:
        return part.where((part.llm_a != row) & (part.llm_b != row))

    def calibration_and_cost(self) -> dict[str, Any]:
        """How far a probability can be trusted, what routing is worth, and whether held-out queries were seen."""
        return {
            "calibration": calibration_table(self.own), "pairs": list(self._pairs()), "cost": self._cost(),
            "picks": self._picks(), "contamination": self._contamination(),
        }  # fmt: skip

    def _pairs(self) -> Iterator[dict[str, Any]]:
        """APGR and CPT of each pair of LLMs on the held-out ratings between them; the stronger won more of them."""
        llms = self.ratings.llms
        for i in range(len(llms)):
            for j in range(i + 1, len(llms)):
                straight = (self.test.llm_a == i) & (self.test.llm_b == j)
                turned = (self.test.llm_a == j) & (self.test.llm_b == i)
                mask = straight | turned
                if mask.sum() < LEAST_OF_A_PAIR:
                    continue
                first = np.where(straight, self.own.label, 1 - self.own.label)[mask]
                p = np.where(straight, self.own.probability, 1 - self.own.probability)[mask]
                strong, weak = (i, j) if first.mean() >= 0.5 else (j, i)
                if strong == j:
                    first, p = 1 - first, 1 - p
                if first.mean() == 0.5:
                    continue  # equally good: there is no gap to recover
                curve = call_curve(p, first, 1 - first)
                yield {
                    "strong": llms[strong].llm_id, "weak": llms[weak].llm_id, "ratings": int(mask.sum()),
                    "apgr": average_gap_recovered(curve), "cpt50": _number(call_share_for(curve, 0.5)),
                    "cpt80": _number(call_share_for(curve, 0.8)),
                    "calls": curve.cost.tolist(), "quality": curve.quality.tolist(),
                }  # fmt: skip

    def _cost(self) -> dict[str, Any]:
        """The deferral curve over the pairs that were shown: of two responses take one, at its LLM's output price."""
        price = np.array([np.nan if m.output_price is None else m.output_price for m in self.ratings.llms], float)
        cost = np.stack([price[self.test.llm_a], price[self.test.llm_b]], 1)
        usable = np.isfinite(cost).all(axis=1)
        if not usable.any() or not np.ptp(cost[usable], axis=1).any():
            return {"reason": "the LLMs' prices are not known, or all the same"}
        cost = cost[usable]
        p, label = self.own.probability[usable], self.own.label[usable]
        predicted, quality = np.stack([p, 1 - p], 1), np.stack([label, 1 - label], 1)
        curve = deferral_curve(predicted, quality, cost, steps=40)
        rows, cheap = np.arange(len(cost)), cost.argmin(axis=1)
        ends, alone = (np.array([x[rows, pick].mean() for pick in (cheap, 1 - cheap)]) for x in (cost, quality))
        plain = zero_router(ends, alone)
        low, high = float(min(ends)), float(max(ends))
        return {
            "ratings": int(usable.sum()), "curve": {"cost": curve.cost.tolist(), "quality": curve.quality.tolist()},
            "zero": {"cost": plain.cost.tolist(), "quality": plain.quality.tolist()},
            "aiq": quality_improvement(curve, low, high), "aiq_zero": quality_improvement(plain, low, high),
            "area": deferral_area(curve, low, high), "qnc": quality_neutral_cost(curve, ends, alone),
        }  # fmt: skip

    def _picks(self) -> dict[str, Any]:
        """V_B, of the two shown, against one ranking for all; E_p over the picks among all LLMs."""
        quality = [_taken(each) for each in (self.own, self.everyones)]
        picks = np.concatenate([pick for _, pick, _ in self._asked(self.router)])
        return {
            "value_over_best": value_over_best(quality[0], np.array([quality[1]])) if quality[1] > 0 else None,
            "entropy": pick_entropy(picks, len(self.router.llms)), "most": float(np.log2(len(self.router.llms))),
        }  # fmt: skip

    def _asked(self, router: Router) -> Iterator[tuple[int, Any, Any]]:
        """(user row, picks [Q], probabilities [Q, L]) of everyone with held-out ratings, on their held-out queries."""
        for row in np.unique(self.test.user):
            queries = [self.ratings.queries[i] for i in np.unique(self.test.query[self.test.user == row])]
            p = router.predict_proba(self.ratings.users[row], queries, self.history)
            yield int(row), p.argmax(axis=1), p

    def _contamination(self) -> dict[str, Any]:
        """Held-out queries that are as good as the same as one that was fitted on."""
        seen, held = (np.unique(part.query) for part in (self.train, self.test))
        vectors = query_vectors(self.ratings.queries, self.encoder)
        closest = (vectors[held] @ vectors[seen].T).max(axis=1)
        close = [self.ratings.queries[i].query_id for i in held[closest >= SAME_TEXT]]
        return {"queries": len(held), "close": len(close), "highest": float(closest.max()), "examples": close[:10]}

    def controls(self) -> dict[str, Any]:
        """Identical histories, swapped histories, shuffled users."""
        same, swapped = self._swap()
        random = np.random.default_rng(self.seed)
        mixed = [replace(part, user=random.permutation(part.user)) for part in (self.train, self.validation)]
        known = replace(self.history, user=random.permutation(self.history.user))
        fitted = self.fit(*mixed)
        gone = log_loss_gain(predict_pairs(fitted, self.test, known), predict_pairs(fitted, self.test, None))
        lift = self.lift()
        return {"controls": [
            {"name": "Identical histories get identical answers", "figure": same, "holds": same <= SAME_SCORE,
             "expected": f"largest difference at most {SAME_SCORE:g}"},
            {"name": "With someone else's history the pick changes", **_estimate(swapped), "holds": swapped.low > 0,
             "expected": "share of picks above 0, beyond the interval"},
            {"name": "With users shuffled the personal gain is gone", **_estimate(gone),
             "holds": gone.low <= 0 or gone.value <= 0.05 * max(lift.value, 0),
             "expected": f"not above 0 beyond the interval, or at most a twentieth of {lift.value:.3f}"},
        ]}  # fmt: skip

    def _swap(self) -> tuple[float, Estimate]:
        """The largest difference when a stranger shows someone's history, and the share of picks that change when
        everyone answers from the history of a user half the list away.
        """
        users = np.unique(self.test.user)
        changed, asked, largest = np.zeros(len(users)), np.zeros(len(users)), 0.0
        for i, (row, picks, p) in enumerate(self._asked(self.router)):
            queries = [self.ratings.queries[q] for q in np.unique(self.test.query[self.test.user == row])]
            for owner in (row, int(users[(i + len(users) // 2) % len(users)])):
                own = self.history.where(self.history.user == owner)
                shown = replace(own, users=(STRANGER,), user=np.zeros(len(own), np.int32))
                found = self.router.predict_proba(STRANGER, queries, shown)
                if owner == row:
                    largest = max(largest, float(np.abs(found - p).max()))
                else:
                    changed[i], asked[i] = (found.argmax(axis=1) != picks).sum(), len(queries)
        return largest, over_users(changed, np.maximum(asked, 1))


def calibration_table(predictions: Predictions) -> dict[str, Any]:
    """The favoured side's probability in equal bins against how often it won (ties half), with 95 % intervals over
    users, and the expected calibration error.
    """
    favoured = np.maximum(predictions.probability, 1 - predictions.probability)
    won = np.where(predictions.probability >= 0.5, predictions.label, 1 - predictions.label)
    place = np.minimum(((favoured - 0.5) * 2 * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for b in range(BINS):
        inside = place == b
        if n := int(inside.sum()):
            users, group = np.unique(predictions.user[inside], return_inverse=True)
            observed = _share(won[inside], group)
            predicted = float(favoured[inside].mean())
            error += n / len(place) * abs(predicted - observed.value)
            bins.append({"predicted": predicted, **_estimate(observed), "ratings": n, "users": len(users)})
    return {"bins": bins, "ece": error, "ratings": len(place)}


def _against(own: Predictions, population: Predictions) -> dict[str, Any]:
    measured = evaluate(own)
    gain = log_loss_gain(own, population)
    return {**measured.to_dict(), "gain": gain._asdict(), "separable": gain.low > 0}


def _order(ratings: PreferenceDataset) -> Any:
    """[N]: how many ratings of the same person came before each."""
    order = np.argsort(ratings.user, kind="stable")
    counts = np.bincount(ratings.user, minlength=len(ratings.users))
    place = np.empty(len(ratings), np.int64)
    place[order] = np.arange(len(ratings)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place


def _won_by(ratings: PreferenceDataset, row: int) -> Any:
    return ((ratings.llm_a == row) & (ratings.label == 1)) | ((ratings.llm_b == row) & (ratings.label == 0))


def _of_newcomer(predictions: Predictions, test: PreferenceDataset, won: Any, row: int) -> dict[str, Any]:
    """How often an LLM is put first of the two where it `won` [N], and the accuracy on all held-out ratings, which can
    be high without ever choosing it.
    """
    is_a, p = test.llm_a[won] == row, predictions.probability[won]
    first = np.where(is_a, p > 0.5, p < 0.5).astype(float)
    _, group = np.unique(predictions.user[won], return_inverse=True)
    recall = _share(first, group)
    return {"recall": recall._asdict(), "won": len(first), "accuracy": evaluate(predictions).accuracy._asdict()}


def _share(values: Floats, group: NDArray[np.integer]) -> Estimate:
    """The mean of values [N] with an interval over the groups (users) they belong to."""
    ones = np.ones(len(values))
    total, count = np.bincount(group, values), np.bincount(group, ones)
    return over_users(np.asarray(total, np.float64), np.asarray(count, np.float64))


def _taken(predictions: Predictions) -> float:
    """Mean quality of the response taken of two: 1 where it won, a half for a tie."""
    p, label = predictions.probability, predictions.label
    return float(np.where(p == 0.5, 0.5, np.where(p > 0.5, label, 1 - label)).mean())


def _estimate(found: Estimate) -> dict[str, Any]:
    return {"figure": found.value, "low": found.low, "high": found.high, "users": found.users}


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
