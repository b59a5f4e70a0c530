"""The shipped router: a ladder of routers, from the population to the GAT, pooled as validation says.

Rungs answer side by side, and their log-probabilities are added with weights >= 0 that depend on how many ratings the
person has given: s = sum_k w_k(n) log p_k. The weights are fitted by Bradley-Terry log-loss on validation, at several
n with everyone's history cut to its first n ratings, and interpolated between. So no rung is believed before
validation has seen it be right, and `rungs` tells which of them made a choice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import LLMId, Query, UserId
from core.encoders import TextEncoder
from core.errors import CorruptArtifact, NotEnoughData
from core.evaluation import predict_pairs
from core.optimisation import Epoch, FitReport, TrainConfig
from core.routers.artifact import pack, unpack
from core.routers.base import Probabilities, softmax
from core.routers.gat_ensemble import GatEnsemble
from core.routers.logistic_per_user import LogisticPerUserRouter
from core.routers.matrix_factorization import MatrixFactorizationRouter
from core.routers.own_ratings import own_ratings
from core.routers.pooling import Pool, fit_pool
from core.routers.task_bradley_terry import TaskBradleyTerryRouter
from core.routers.user_task_best import UserTaskBestRouter
from core.routers.vectors import EncodedOnce
from core.routers.win_rates import Floats

# From the rung that needs least to the one that needs most; the GAT stands above them.
LOWER: tuple[Any, ...] = (
    TaskBradleyTerryRouter, UserTaskBestRouter, MatrixFactorizationRouter, LogisticPerUserRouter,
)  # fmt: skip
NAMES = (*(rung.kind for rung in LOWER), GatEnsemble.kind)
KNOTS = (0, 3, 10, 30)  # numbers of ratings at which weights are fitted, and at everyone's own
PEOPLE = 400  # to fit the weights with, half as many at histories cut short: more only cost time
# A weight this small changes no choice that anyone could see, and its rung need not be asked.
LEAST_WEIGHT = 0.005


class Why(NamedTuple):
    """Why the rungs weigh what they do for a person of so many `ratings`: names, weights and validation log-losses
    [K] at the nearest number of ratings that was fitted, `fitted_at`, and the pool's there.
    """

    ratings: int
    fitted_at: int
    names: tuple[str, ...]
    weights: tuple[float, ...]
    validation_loss: tuple[float, ...]
    pooled_loss: float


@dataclass(frozen=True, eq=False)
class LadderRouter:
    """A finished router. `knots` [B] numbers of ratings, `weights` [B, K] there; `losses` [B, K + 1] on validation, of
    each rung at its own best scale, and of the pool.
    """

    lower: tuple[Any, ...]
    gat: GatEnsemble
    knots: NDArray[np.float64]
    weights: Floats
    losses: Floats
    encoder: TextEncoder

    kind: ClassVar[str] = "ladder"
    names: ClassVar[tuple[str, ...]] = NAMES

    @classmethod
    def fit(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder, *, seed: int = 0
    ) -> Self:
        """See `RouterClass`. The default training settings."""
        return cls.fit_with_report(train_part, validation, encoder, TrainConfig(seed=seed))[0]

    @classmethod
    def fit_with_report(
        cls, train_part: PreferenceDataset, validation: PreferenceDataset, encoder: TextEncoder,
        config: TrainConfig, on_epoch: Callable[[Epoch], None] | None = None,
    ) -> tuple[Self, FitReport]:  # fmt: skip
        """Fit every rung, then the weights. The report is of the GAT's fit, which takes most of the time, and its CPU
        seconds are the GAT's.
        """
        once = EncodedOnce(encoder)
        gat, report = GatEnsemble.fit_with_report(train_part, validation, once, config, on_epoch)
        lower = [rung.fit(train_part, validation, once, seed=config.seed) for rung in LOWER]
        knots, pools = _fit_weights([*lower, gat], train_part, validation)
        weights = np.stack([pool.weights for pool in pools])
        weights[weights < LEAST_WEIGHT] = 0.0
        losses = np.stack([np.append(pool.single, pool.loss) for pool in pools])
        rungs = tuple(_reading(rung, encoder) for rung in lower)
        return cls(rungs, gat.reading(encoder), knots, weights, losses, encoder), report

    @property
    def llms(self) -> tuple[LLMId, ...]:
        return self.gat.llms

    def predict_proba(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None
    ) -> Probabilities:
        """See `Router`. A stranger gets what every rung tells a stranger, pooled as was best for strangers."""
        weights, logs = self._answers(user, queries, history)
        return softmax(np.tensordot(weights, logs, 1))

    def rungs(self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None = None) -> Probabilities:
        """[Q, K]: the share of each rung of `names` in the choice for each query; rows sum to 1.

        A rung's part is its weight times how far it puts the chosen LLM above its own mean log-probability; a rung that
        speaks against the choice has none. Where no rung tells the LLMs apart, the shares are the weights'.
        """
        weights, logs = self._answers(user, queries, history)
        chosen = np.tensordot(weights, logs, 1).argmax(-1)  # [Q]
        above = np.take_along_axis(logs, chosen[None, :, None], -1)[..., 0] - logs.mean(-1)  # [K, Q]
        part = np.maximum(weights[:, None] * above, 0.0).T
        total = part.sum(1, keepdims=True)
        flat = np.broadcast_to(weights / weights.sum(), part.shape)
        return np.asarray(np.divide(part, total, out=flat.copy(), where=total > 1e-12))

    def why(self, user: UserId, history: PreferenceDataset | None = None) -> Why:
        """Why the rungs weigh what they do for this person: what each was worth on validation to people of about as
        many ratings.
        """
        n = len(own_ratings(user, history, self.llms).label)
        nearest = int(np.abs(np.log1p(self.knots) - np.log1p(n)).argmin())
        losses = self.losses[nearest].tolist()
        return Why(
            n, round(self.knots[nearest]), self.names, tuple(self.weights_for(n).tolist()), tuple(losses[:-1]),
            losses[-1],
        )  # fmt: skip

    def weights_for(self, ratings: int) -> Floats:
        """[K]: the rungs' weights for a person of so many ratings, interpolated over log(1 + n)."""
        at = np.log1p(self.knots)
        return np.array([np.interp(np.log1p(ratings), at, column) for column in self.weights.T])

    def predict_draws(
        self,
        user: UserId,
        queries: Sequence[Query],
        history: PreferenceDataset | None = None,
        n: int = 400,
        seed: int = 0,
    ) -> Probabilities:
        """[n, Q, L]: the pool under n draws from the GAT's posterior over the person. The other rungs are held at their
        answers, so that the spread is the GAT's times its weight: none where the GAT has none.
        """
        weights, logs = self._answers(user, queries, history)
        others = np.tensordot(weights[:-1], logs[:-1], 1)  # [Q, L]
        draws = self.gat.predict_draws(user, queries, history, n, seed)
        return softmax(others + weights[-1] * _log(draws))

    def own_ratings(self, user: UserId, history: PreferenceDataset) -> PreferenceDataset:
        """The user's ratings between LLMs that this router knows, in the order given."""
        return self.gat.own_ratings(user, history)

    def attention(self, user: UserId, history: PreferenceDataset) -> Probabilities:
        """[N]: where the GAT looked among `own_ratings`; the other rungs have no attention."""
        return self.gat.attention(user, history)

    def leave_one_out(self, user: UserId, query: Query, history: PreferenceDataset) -> Probabilities:
        """[N, L]: the prediction without the n-th of `own_ratings`: every rung is asked anew without it, with the
        weights for one rating fewer.
        """
        own = self.own_ratings(user, history)
        n, weights = len(own), self.weights_for(max(len(own) - 1, 0))
        score = np.zeros((n, len(self.llms)))
        rungs = self._sharing_texts()
        for weight, rung in zip(weights, rungs, strict=True):
            if weight and n:
                score += weight * _log(_left_out(rung, user, query, own))
        return softmax(score)

    def _answers(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None
    ) -> tuple[Floats, Floats]:
        """The rungs' weights [K] and log-probabilities [K, Q, L]; zeros for a rung without weight, which is not
        asked.
        """
        own = None if history is None else history.of_user(user)
        weights = self.weights_for(len(own_ratings(user, own, self.llms).label))
        logs = np.zeros((len(weights), len(queries), len(self.llms)))
        for k, rung in enumerate(self._sharing_texts()):
            if weights[k]:
                logs[k] = _log(rung.predict_proba(user, queries, own))
        return weights, logs

    def _sharing_texts(self) -> list[Any]:
        """The rungs, encoding every text once between them."""
        once = EncodedOnce(self.encoder)
        return [_reading(rung, once) for rung in (*self.lower, self.gat)]

    def to_bytes(self) -> bytes:
        """An npz of the rungs' own bytes, the knots, the weights and the losses."""
        rungs = {
            f"rung.{name}": np.frombuffer(rung.to_bytes(), np.uint8)
            for name, rung in zip(self.names, (*self.lower, self.gat), strict=True)
        }
        header = {"kind": self.kind, "encoder": self.encoder.id, "rungs": list(self.names)}
        return pack(header, knots=self.knots, weights=self.weights, losses=self.losses, **rungs)

    @classmethod
    def from_bytes(cls, data: bytes, encoder: TextEncoder) -> Self:
        """See `RouterClass`."""
        header, arrays = unpack(data, cls.kind)
        try:
            if tuple(header["rungs"]) != cls.names:
                raise ValueError(header["rungs"])
            lower = tuple(rung.from_bytes(arrays[f"rung.{rung.kind}"].tobytes(), encoder) for rung in LOWER)
            gat = GatEnsemble.from_bytes(arrays[f"rung.{GatEnsemble.kind}"].tobytes(), encoder)
            return cls(lower, gat, arrays["knots"], arrays["weights"], arrays["losses"], encoder)
        except (KeyError, ValueError, TypeError) as error:
            raise CorruptArtifact(
                "This router version's file lacks a rung of its ladder. Other versions and all ratings are untouched: "
                "activate another version or train again."
            ) from error


def _reading(rung: Any, encoder: TextEncoder) -> Any:
    """The same rung with another encoder of the same vectors; one that reads no texts as it is."""
    if isinstance(rung, GatEnsemble):
        return rung.reading(encoder)
    return replace(rung, encoder=encoder) if hasattr(rung, "encoder") else rung


def _log(probability: Probabilities) -> Floats:
    return np.log(np.maximum(probability, 1e-300))


def _left_out(rung: Any, user: UserId, query: Query, own: PreferenceDataset) -> Probabilities:
    """[N, L]: what a rung predicts without the n-th of a person's ratings."""
    if isinstance(rung, GatEnsemble):
        return rung.leave_one_out(user, query, own)  # all in one batch
    if isinstance(rung, TaskBradleyTerryRouter):
        return np.tile(rung.predict_proba(user, [query]), (len(own), 1))
    every = np.arange(len(own))
    return np.concatenate([rung.predict_proba(user, [query], own.where(every != i)) for i in every])


def _fit_weights(
    rungs: Sequence[Any], train_part: PreferenceDataset, validation: PreferenceDataset
) -> tuple[NDArray[np.float64], list[Pool]]:
    """Numbers of ratings, rising, and the pool fitted at each, with everyone's history cut to its first so many."""
    if not len(validation):
        raise NotEnoughData("The weights of the ladder's rungs need ratings that are held out for validation.")
    rated = np.bincount(train_part.user, minlength=len(train_part.users))
    usual = float(np.median(rated[np.unique(validation.user)]))
    knots = [float(n) for n in KNOTS if n < usual or n == 0]
    order = _order_within_user(train_part)
    fewer = _of_people(validation, PEOPLE // 2)
    pools = [_pool(rungs, train_part.where(order < n), fewer) for n in knots]
    if usual > 0:
        knots.append(usual)
        pools.append(_pool(rungs, train_part, _of_people(validation, PEOPLE)))
    return np.array(knots), pools


def _pool(rungs: Sequence[Any], history: PreferenceDataset, held_out: PreferenceDataset) -> Pool:
    probability = np.stack([predict_pairs(rung, held_out, history).probability for rung in rungs], 1)
    return fit_pool(np.log(probability) - np.log1p(-probability), held_out.label)


def _of_people(held_out: PreferenceDataset, most: int) -> PreferenceDataset:
    """The ratings of at most so many of the people, evenly spread."""
    people = np.unique(held_out.user)
    return held_out.where(np.isin(held_out.user, people[:: -(-len(people) // most) or 1]))


def _order_within_user(ratings: PreferenceDataset) -> NDArray[np.int64]:
    """[N]: how many ratings of the same person came before each."""
    order = np.argsort(ratings.user, kind="stable")
    counts = np.bincount(ratings.user, minlength=len(ratings.users))
    place = np.empty(len(ratings), np.int64)
    place[order] = np.arange(len(ratings)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place
