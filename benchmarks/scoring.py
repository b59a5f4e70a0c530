"""A router's probabilities against a simulated world's truth: per user, so that intervals can draw whole users."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.measurement import Measured
from benchmarks.world import Truth
from core.calibration import CalibrationBins, calibrated, calibration_bins, inverse_temperature
from core.evaluation import (
    BOOTSTRAPS,
    EPSILON,
    Estimate,
    Predictions,
    a_over_b,
    over_users,
    top_one_credit,
    utility_gained,
)
from core.routers.base import softmax

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Score:
    """Per user [U]: share of test queries with the best LLM picked, utility gained and gainable, log-loss; bins for
    the ECE.

    **log_loss and ece** are those of P(A over B) = p_a / (p_a + p_b) over all pairs of LLMs on test queries, at a
    temperature fitted on the validation ratings (a courtesy to every router but those that fit their own scale on
    held-out queries), against the *known* probability
    that this user prefers A there: sigma((u_a - u_b) / scale), because what is felt is utility plus Gumbel noise of
    that scale. So both are expectations over fresh ratings without their sampling noise. The other candidates were
    worse: -log p(label) asks pairwise routers to be calibrated as classifiers over N LLMs, which nobody rates;
    noise-free preferences as labels would call every honest doubt an error; label-versus-other pairs are selected by
    their outcome and make the true probabilities look miscalibrated. There are no ties here; in the ratings that
    routers learn from a tie is half for either side, so an honest router is a little too modest here.
    """

    top1: Floats
    gained: Floats
    gainable: Floats
    log_loss: Floats
    bins: CalibrationBins


def score(measured: Measured, truth: Truth) -> Score:
    """Score what a router said."""
    inverse = 1.0 if measured.validation is None else inverse_temperature(measured.validation)
    return score_of(measured.probability, inverse, truth)


def oracle(truth: Truth) -> Score:
    """The noise-free best LLM and the true probabilities: the ceiling."""
    return score_of(softmax(truth.utility / truth.scale), 1.0, truth)


def pair_losses(probability: Floats, truth: Truth, inverse: float = 1.0) -> Floats:
    """[U, Q, pairs]: expected log-loss of P(A over B) for a fresh rating of each pair, at temperature 1 / `inverse`."""
    said, label = pairs(probability, truth, inverse)
    return np.asarray(-(label * np.log(said) + (1 - label) * np.log1p(-said)))


def pairs(probability: Floats, truth: Truth, inverse: float) -> tuple[Floats, Floats]:
    """[U, Q, pairs] both: P(A over B) as said, and as it truly is."""
    first, second = np.triu_indices(probability.shape[-1], 1)
    p_a = a_over_b(probability[..., first], probability[..., second])
    margin = (truth.utility[..., first] - truth.utility[..., second]) / truth.scale
    said = Predictions(np.clip(p_a, EPSILON, 1 - EPSILON), margin, np.zeros(0, np.int32))
    return calibrated(said, inverse).probability, 0.5 * (1 + np.tanh(margin / 2))


def score_of(probability: Floats, inverse: float, truth: Truth) -> Score:
    """Score probabilities [U, Q, L], those of pairs at temperature 1 / `inverse`."""
    gained, gainable = utility_gained(probability, truth.utility)
    said, label = pairs(probability, truth, inverse)
    row = np.repeat(np.arange(len(said), dtype=np.int32), said[0].size)
    return Score(
        top_one_credit(probability, truth.label).mean(axis=1), gained.mean(axis=1), gainable.mean(axis=1),
        pair_losses(probability, truth, inverse).mean(axis=(1, 2)), calibration_bins(said.ravel(), label.ravel(), row),
    )  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """The four figures of one or several seeds with 95 % intervals by bootstrap over users."""

    top1: Estimate
    utility: Estimate
    log_loss: Estimate
    ece: Estimate


def summary(scores: Sequence[Score]) -> Summary:
    """Means over seeds first, then over users: a seed is no further user."""
    top1, gained, gainable, loss = (
        np.mean([getattr(s, name) for s in scores], axis=0) for name in ("top1", "gained", "gainable", "log_loss")
    )
    one = np.ones(len(top1))
    return Summary(over_users(top1, one), over_users(gained, gainable), over_users(loss, one), _ece(scores))


def _ece(scores: Sequence[Score]) -> Estimate:
    users = len(scores[0].top1)
    drawn = np.random.default_rng(0).multinomial(users, np.full(users, 1 / users), size=BOOTSTRAPS).astype(float)
    errors = np.mean([[s.bins.error(weight) for weight in drawn] for s in scores], axis=0)
    low, high = np.quantile(errors, [0.025, 0.975])
    return Estimate(float(np.mean([s.bins.error() for s in scores])), float(low), float(high), users)
