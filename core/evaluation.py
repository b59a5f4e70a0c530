"""How good a router is on ratings it has not seen, with intervals by bootstrap over users, never over ratings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.errors import InvalidInput, NotEnoughData
from core.routers.base import Router

Floats = NDArray[np.float64]
BOOTSTRAPS = 1000
EPSILON = 1e-9


class Estimate(NamedTuple):
    """A figure with its 95 % interval and the number of users it rests on."""

    value: float
    low: float
    high: float
    users: int


@dataclass(frozen=True, eq=False)
class Predictions:
    """P(A over B) [N] of one router for N held-out ratings, with their labels and user rows: what every metric is
    computed from.
    """

    probability: Floats
    label: Floats
    user: NDArray[np.int32]

    def where(self, mask: NDArray[np.bool_]) -> "Predictions":
        """Those of some of the ratings, by a mask [N]."""
        return Predictions(self.probability[mask], self.label[mask], self.user[mask])


@dataclass(frozen=True)
class Evaluation:
    """Pairwise accuracy (decisive ratings; an even call counts half) and log-loss (a tie is half for either side), over
    all ratings together; and as means over users, where each counts once however much they rated.
    """

    accuracy: Estimate
    log_loss: Estimate
    user_accuracy: Estimate
    user_log_loss: Estimate
    ratings: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a card."""
        return {name: x._asdict() if isinstance(x, Estimate) else x for name, x in vars(self).items()}


def predict_pairs(router: Router, held_out: PreferenceDataset, history: PreferenceDataset | None) -> Predictions:
    """Ask the router about every held-out rating, knowing only `history`. One call a user.

    Raises InvalidInput for a rating of an LLM that the router has no column for.
    """
    column = {llm: i for i, llm in enumerate(router.llms)}
    to_column = np.array([column.get(m.llm_id, -1) for m in held_out.llms])
    if len(held_out) and min(to_column[held_out.llm_a].min(), to_column[held_out.llm_b].min()) < 0:
        raise InvalidInput("A held-out rating is of an LLM that this router does not know; leave those ratings out.")
    probability = np.empty(len(held_out))
    for row in np.unique(held_out.user):
        picked = np.flatnonzero(held_out.user == row)
        asked, position = np.unique(held_out.query[picked], return_inverse=True)
        p = router.predict_proba(held_out.users[row], [held_out.queries[i] for i in asked], history)  # [Q, L]
        p_a = p[position, to_column[held_out.llm_a[picked]]]
        p_b = p[position, to_column[held_out.llm_b[picked]]]
        probability[picked] = a_over_b(p_a, p_b)
    return Predictions(np.clip(probability, EPSILON, 1 - EPSILON), held_out.label, held_out.user)


def a_over_b(p_a: Floats, p_b: Floats) -> Floats:
    """p_a / (p_a + p_b), 1/2 where both are 0.

    Two LLMs far from the top have tiny probabilities whose ratio still counts.
    """
    total = p_a + p_b
    return np.asarray(np.divide(p_a, total, out=np.full(np.shape(total), 0.5), where=total > 0))


def evaluate(predictions: Predictions, seed: int = 0) -> Evaluation:
    """Accuracy and log-loss with intervals. Raises NotEnoughData when not one held-out rating prefers a side."""
    hit, decisive = _hits(predictions)
    if not decisive.any():
        raise NotEnoughData("No held-out rating prefers a side, so nothing can be measured. Rate more pairs.")
    loss, one = _losses(predictions), np.ones(len(decisive))
    group = np.unique(predictions.user, return_inverse=True)[1]
    # A user's ratings share a weight of 1, those that prefer a side likewise: the ratio of sums is the mean over users.
    each, each_decisive = 1 / np.bincount(group)[group], decisive / np.maximum(np.bincount(group, decisive), 1)[group]
    columns = ((hit * decisive, decisive), (loss, one), (hit * each_decisive, each_decisive), (loss * each, each))
    accuracy, log_loss, user_accuracy, user_log_loss = _ratios(columns, predictions.user, seed)
    return Evaluation(accuracy, log_loss, user_accuracy, user_log_loss, len(loss))


def log_loss_gain(better: Predictions, baseline: Predictions, seed: int = 0) -> Estimate:
    """How much lower the first router's log-loss is than the second's on the same ratings, by paired bootstrap over
    users.
    """
    difference = _losses(baseline) - _losses(better)
    return _ratio(difference, np.ones(len(difference)), better.user, seed)


def _hits(predictions: Predictions) -> tuple[Floats, Floats]:
    p, label = predictions.probability, predictions.label
    hit = np.where(p == 0.5, 0.5, ((p > 0.5) == (label > 0.5)).astype(float))
    return hit, (label != 0.5).astype(float)


def _losses(predictions: Predictions) -> Floats:
    p, label = predictions.probability, predictions.label
    return -(label * np.log(p) + (1 - label) * np.log1p(-p))


def _ratio(numerator: Floats, denominator: Floats, user: NDArray[np.int32], seed: int) -> Estimate:
    """sum(numerator) / sum(denominator) with a percentile bootstrap that draws whole users."""
    return _ratios([(numerator, denominator)], user, seed)[0]


def _ratios(columns: Sequence[tuple[Floats, Floats]], user: NDArray[np.int32], seed: int) -> list[Estimate]:
    """`_ratio` of several numerators and denominators [N] under the same draws."""
    _, group = np.unique(user, return_inverse=True)
    users = int(group.max(initial=-1)) + 1
    counts = np.random.default_rng(seed).multinomial(users, np.full(users, 1 / users), size=BOOTSTRAPS)  # [B, users]
    found = []
    for numerator, denominator in columns:
        top, bottom = np.bincount(group, numerator), np.bincount(group, denominator)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = (counts @ top) / (counts @ bottom)
        low, high = np.nanquantile(drawn, [0.025, 0.975])
        found.append(Estimate(float(top.sum() / bottom.sum()), float(low), float(high), int((bottom > 0).sum())))
    return found


@dataclass(frozen=True)
class Standing:
    """One router's place in a comparison on the same held-out ratings; `gain` is its log-loss gain over the
    population router.
    """

    router: str
    evaluation: Evaluation
    gain: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a card."""
        return {"router": self.router, **self.evaluation.to_dict(), "gain": self.gain._asdict()}


def standings(measured: Mapping[str, Predictions], population: str) -> tuple[Standing, ...]:
    """Several routers on the same ratings, by name, each also against `population` by paired bootstrap."""
    reference = measured[population]
    return tuple(
        Standing(name, evaluate(predictions), log_loss_gain(predictions, reference))
        for name, predictions in measured.items()
    )


def over_users(numerator: Floats, denominator: Floats, seed: int = 0) -> Estimate:
    """sum(numerator) / sum(denominator) of one value each per user, with a percentile bootstrap over the users."""
    return _ratio(numerator, denominator, np.arange(len(numerator), dtype=np.int32), seed)


def top_one_credit(probability: Floats, label: NDArray[np.integer]) -> Floats:
    """[...]: 1 where the most probable LLM is the labelled best, 0 where not. k LLMs level at the top share the pick:
    1/k each.

    `probability` [..., L], `label` [...]. Without the sharing, a router that knows nothing would be scored by the
    order of columns.
    """
    return np.asarray(np.take_along_axis(_picks(probability), np.asarray(label, np.int64)[..., None], -1)[..., 0])


def utility_gained(probability: Floats, utility: Floats) -> tuple[Floats, Floats]:
    """([...], [...]): utility of the pick minus that of a random LLM, and what an oracle gains over it. [..., L] both.

    The ratio of their sums is the utility between random (0) and oracle (1).
    """
    random = utility.mean(axis=-1)
    picked = (_picks(probability) * utility).sum(axis=-1)
    return np.asarray(picked - random), np.asarray(utility.max(axis=-1) - random)


def _picks(probability: Floats) -> Floats:
    """[..., L]: each LLM's share of the pick."""
    top = probability >= probability.max(axis=-1, keepdims=True)
    return np.asarray(top / top.sum(axis=-1, keepdims=True))
