"""The shipped router: a ladder of routers, from the population to the GAT, pooled as validation says.

Rungs answer side by side, and their log-probabilities are added with weights >= 0 that depend on how many ratings the
person has given: s = sum_k w_k(n) log p_k. The weights are fitted by Bradley-Terry log-loss on held-out queries, at
several n with everyone's history cut to its first n ratings, and interpolated between. So no rung is believed before
held-out queries have seen it be right, and `rungs` tells which of them made a choice. Where it stays in doubt that
persons differ at all, the pool is drawn to the rungs that tell everyone the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import LLM, LLMId, Query, UserId
from core.encoders import RecentTexts, TextEncoder
from core.errors import CorruptArtifact
from core.optimisation import Epoch, FitReport, TrainConfig
from core.routers.artifact import pack, unpack
from core.routers.bag import Bag
from core.routers.base import Probabilities, States, answers, softmax
from core.routers.bradley_terry import BradleyTerryRouter
from core.routers.folds import folds_of
from core.routers.gat_ensemble import GatEnsemble
from core.routers.logistic_per_user import LogisticPerUserRouter
from core.routers.matrix_factorization import MatrixFactorizationRouter
from core.routers.own_ratings import everyones_ratings, own_ratings
from core.routers.rung_weights import fit_weights
from core.routers.task_bradley_terry import TaskBradleyTerryRouter
from core.routers.user_task_best import UserTaskBestRouter
from core.routers.vectors import EncodedOnce
from core.routers.win_rates import Floats

# From the rung that needs least to the one that needs most; the GAT stands above them.
LOWER: tuple[Any, ...] = (
    BradleyTerryRouter, TaskBradleyTerryRouter, UserTaskBestRouter, MatrixFactorizationRouter, LogisticPerUserRouter,
)  # fmt: skip
# How the rungs share the weight before any held-out rating tells: those that tell everyone the same have none of it.
SHARES = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 2.0])
NAMES = (*(rung.kind for rung in LOWER), GatEnsemble.kind)
# Up to so many ratings every network's own fold has its lower rungs fitted too, and the weights rest on all folds. So
# it is at any number where people chose among several: a ridge for each person says as much as the network there, and
# the held-out queries of one fold are too few to tell how the two should share.
CROSS_FITTED = 15_000
LEARNED_FROM = 50  # people, to see how far apart a rung puts LLMs where the GAT puts them one apart
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
    """A finished router. `knots` [B] numbers of ratings, `weights` [B, K] there; `losses` [B, K + 1] on held-out
    queries, of each rung at its own best scale, and of the pool.

    Of an LLM that joined later only the GAT knows; `spread` [K - 1] says how far apart each lower rung puts LLMs where
    the GAT puts them one apart, which is how the GAT's word on the newcomer is told in their terms.
    """

    lower: tuple[Any, ...]
    gat: GatEnsemble
    knots: NDArray[np.float64]
    weights: Floats
    losses: Floats
    spread: Floats
    encoder: TextEncoder

    kind: ClassVar[str] = "ladder"
    calibrated: ClassVar[bool] = True  # its weights are a scale too, fitted on queries that no rung learned from

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
        folds = folds_of(train_part, validation, len(gat.members), config.seed)
        if train_part.items > CROSS_FITTED and not train_part.of_choices:
            folds = folds[:1]
        fitted = [[rung.fit(*fold, once, seed=config.seed) for rung in LOWER] for fold in folds]
        judged = [[*lower, member] for lower, member in zip(fitted, gat.members, strict=False)]
        knots, pools = fit_weights(judged, folds, SHARES)
        weights = np.stack([pool.weights for pool in pools])
        weights[weights < LEAST_WEIGHT] = 0.0
        losses = np.stack([np.append(pool.single, pool.loss) for pool in pools])
        # What was judged was one of each rung; what is served is all of each alike, so that the weights stay fair.
        lower = tuple(_reading(Bag(rungs), encoder) for rungs in zip(*fitted, strict=True))
        return cls(lower, gat.reading(encoder), knots, weights, losses, np.ones(len(lower)), encoder), report

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds of the rungs, lowest first; one published by an earlier release may have fewer."""
        return (*(rung.kind for rung in self.lower), self.gat.kind)

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
        speaks against the choice has none. Where no rung tells the LLMs apart, the shares are the weights'; equal ones
        where held-out ratings gave no rung any.
        """
        weights, logs = self._answers(user, queries, history)
        chosen = np.tensordot(weights, logs, 1).argmax(-1)  # [Q]
        above = np.take_along_axis(logs, chosen[None, :, None], -1)[..., 0] - logs.mean(-1)  # [K, Q]
        part = np.maximum(weights[:, None] * above, 0.0).T
        total = part.sum(1, keepdims=True)
        even = weights / weights.sum() if weights.any() else np.full(len(weights), 1 / len(weights))
        flat = np.broadcast_to(even, part.shape)
        return np.asarray(np.divide(part, total, out=flat.copy(), where=total > 1e-12))

    def why(self, user: UserId, history: PreferenceDataset | None = None) -> Why:
        """Why the rungs weigh what they do for this person: what each was worth on validation to people of about as
        many ratings.
        """
        n = own_ratings(user, history, self.llms).items
        nearest = int(np.abs(np.log1p(self.knots) - np.log1p(n)).argmin())
        losses = self.losses[nearest].tolist()
        return Why(
            n, round(self.knots[nearest]), self.names, tuple(self.weights_for(n).tolist()), tuple(losses[:-1]),
            losses[-1],
        )  # fmt: skip

    def weights_for(self, ratings: int) -> Floats:
        """[K]: the rungs' weights for a person of so many ratings, interpolated over log(1 + n)."""
        place = float(np.interp(np.log1p(ratings), np.log1p(self.knots), np.arange(len(self.knots))))
        below, part = int(place), place % 1
        above = min(below + 1, len(self.knots) - 1)
        weights: Floats = (1 - part) * self.weights[below] + part * self.weights[above]
        return weights

    def predict_draws(
        self,
        user: UserId,
        queries: Sequence[Query],
        history: PreferenceDataset | None = None,
        n: int = 400,
        seed: int = 0,
    ) -> Probabilities:
        """[n, Q, L]: the pool under n draws from the GAT's posterior over the person. The other rungs are held at their
        answers about the LLMs they know, so that the spread is the GAT's times its weight: none where the GAT has none.
        """
        weights, logs = self._answers(user, queries, history)
        draws = _log(self.gat.predict_draws(user, queries, history, n, seed))
        score = weights[-1] * draws
        for k, rung in enumerate(self.lower):
            known = np.broadcast_to(logs[k, :, : len(rung.llms)], (*draws.shape[:-1], len(rung.llms)))
            score += weights[k] * self._widened(k, known, draws)
        return softmax(score)

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
        *lower, gat = self._sharing_texts()
        if not n:
            return softmax(score)
        top = _log(gat.leave_one_out(user, query, own))
        for k, rung in enumerate(lower):
            if weights[k]:
                score += weights[k] * self._widened(k, _log(_left_out(rung, user, query, own)), top)
        return softmax(score + weights[-1] * top)

    def with_llm(self, llm: LLM, history: PreferenceDataset) -> Self:
        """See `Onboards`. The GAT finds the newcomer's place; the lower rungs stay as they are, and what they would say
        of it is told from the GAT's word by `spread`, measured on what people in `history` rated.
        """
        spread = self.spread
        if self.llms == self.lower[0].llms:  # the first that joins: GAT and lower rungs still know the same LLMs
            spread = self._measured_spread(history)
        return replace(self, gat=self.gat.with_llm(llm, history), spread=spread)

    def _measured_spread(self, history: PreferenceDataset) -> Floats:
        """[K - 1]: slope of each lower rung's log-probabilities on the GAT's, both around their mean over LLMs."""
        people = np.unique(history.user)
        shared, squared = np.zeros(len(self.lower)), 0.0
        *lower, gat = self._sharing_texts()
        for row in people[:: -(-len(people) // LEARNED_FROM) or 1]:
            own = history.of_user(history.users[row])
            asked = [history.queries[i] for i in np.unique(own.query)]
            top = _centred(_log(gat.predict_proba(history.users[row], asked, own)))
            squared += float((top * top).sum())
            for k, rung in enumerate(lower):
                shared[k] += (_centred(_log(rung.predict_proba(history.users[row], asked, own))) * top).sum()
        return shared / squared if squared > 0 else self.spread

    def predict_everyone(self, queries: Sequence[Query], history: PreferenceDataset) -> Probabilities:
        """See `Batched`. Every rung is asked once for all."""
        *lower, gat = self._sharing_texts()
        top = _log(gat.predict_everyone(queries, history))  # [U, Q, L]
        weights = np.reshape(
            [self.weights_for(own.items) for own in everyones_ratings(history, self.llms)],
            (len(history.users), len(lower) + 1, 1, 1),
        )
        score = weights[:, -1] * top
        for k, rung in enumerate(lower):
            if weights[:, k].any():
                score += weights[:, k] * self._widened(k, _log(answers(rung, queries, history)), top)
        return softmax(score)

    def states(self, queries: Sequence[Query], history: PreferenceDataset) -> States:
        """See `Embeds`. Those of the GAT: the other rungs have no space of their own."""
        gat: GatEnsemble = self._sharing_texts()[-1]
        return gat.states(queries, history)

    def _answers(
        self, user: UserId, queries: Sequence[Query], history: PreferenceDataset | None
    ) -> tuple[Floats, Floats]:
        """The rungs' weights [K] and log-probabilities [K, Q, L]; zeros for a rung without weight, which is not
        asked.
        """
        own = None if history is None else history.of_user(user)
        weights = self.weights_for(own_ratings(user, own, self.llms).items)
        logs = np.zeros((len(weights), len(queries), len(self.llms)))
        *lower, gat = self._sharing_texts()
        if weights[-1] or self.llms != self.lower[0].llms:
            logs[-1] = _log(gat.predict_proba(user, queries, own))
        for k, rung in enumerate(lower):
            if weights[k]:
                logs[k] = self._widened(k, _log(rung.predict_proba(user, queries, own)), logs[-1])
        return weights, logs if weights[-1] else np.concatenate([logs[:-1], np.zeros_like(logs[-1:])])

    def _widened(self, rung: int, logs: Floats, gat: Floats) -> Floats:
        """[..., L]: log-probabilities [..., L of a lower rung], and for LLMs that joined later as far from the rung's
        mean as the GAT [..., L] puts them from its own, in the rung's terms.
        """
        known = logs.shape[-1]
        if known == gat.shape[-1]:
            return logs
        away = gat[..., known:] - gat[..., :known].mean(-1, keepdims=True)
        return np.concatenate([logs, logs.mean(-1, keepdims=True) + self.spread[rung] * away], -1)

    def _sharing_texts(self) -> list[Any]:
        """The rungs, encoding every text once between them."""
        if isinstance(self.encoder, RecentTexts | EncodedOnce):  # as it is when serving: texts are remembered already
            return [*self.lower, self.gat]
        once = EncodedOnce(self.encoder)
        return [_reading(rung, once) for rung in (*self.lower, self.gat)]

    def to_bytes(self) -> bytes:
        """An npz of the rungs' own bytes, the knots, the weights and the losses."""
        rungs = {
            f"rung.{name}": np.frombuffer(rung.to_bytes(), np.uint8)
            for name, rung in zip(self.names, (*self.lower, self.gat), strict=True)
        }
        header = {"kind": self.kind, "encoder": self.encoder.id, "rungs": list(self.names)}
        arrays = {"knots": self.knots, "weights": self.weights, "losses": self.losses, "spread": self.spread}
        return pack(header, **arrays, **rungs)

    @classmethod
    def from_bytes(cls, data: bytes, encoder: TextEncoder) -> Self:
        """See `RouterClass`."""
        header, arrays = unpack(data, cls.kind)
        try:
            # Those published before have no spread, and fewer rungs.
            *names, top = header["rungs"]
            if top != GatEnsemble.kind:
                raise ValueError(header["rungs"])
            kinds = {rung.kind: rung for rung in LOWER}
            lower = tuple(_lower(arrays[f"rung.{name}"].tobytes(), kinds[name], encoder) for name in names)
            gat = GatEnsemble.from_bytes(arrays[f"rung.{top}"].tobytes(), encoder)
            spread = arrays.get("spread", np.ones(len(lower)))
            return cls(lower, gat, arrays["knots"], arrays["weights"], arrays["losses"], spread, encoder)
        except (KeyError, ValueError, TypeError) as error:
            raise CorruptArtifact(
                "This router version's file lacks a rung of its ladder. Other versions and all ratings are untouched: "
                "activate another version or train again."
            ) from error


def _reading(rung: Any, encoder: TextEncoder) -> Any:
    """The same rung with another encoder of the same vectors; one that reads no texts as it is."""
    if isinstance(rung, GatEnsemble):
        return rung.reading(encoder)
    if isinstance(rung, Bag):
        return Bag(tuple(_reading(member, encoder) for member in rung.members))
    return replace(rung, encoder=encoder) if hasattr(rung, "encoder") else rung


def _lower(data: bytes, kind: Any, encoder: TextEncoder) -> Any:
    """A lower rung; those published before it was several are one router's own bytes."""
    try:
        return Bag.from_bytes(data, kind, encoder)
    except CorruptArtifact:
        return kind.from_bytes(data, encoder)


def _log(probability: Probabilities) -> Floats:
    return np.log(np.maximum(probability, 1e-300))


def _left_out(rung: Any, user: UserId, query: Query, own: PreferenceDataset) -> Probabilities:
    """[N, L]: what a rung predicts without the n-th of a person's ratings."""
    if rung.kind in (BradleyTerryRouter.kind, TaskBradleyTerryRouter.kind):
        return np.tile(rung.predict_proba(user, [query]), (len(own), 1))
    every = np.arange(len(own))
    return np.concatenate([rung.predict_proba(user, [query], own.where(every != i)) for i in every])


def _centred(logs: Floats) -> Floats:
    """[..., L] around its mean over LLMs."""
    return np.asarray(logs - logs.mean(-1, keepdims=True))
