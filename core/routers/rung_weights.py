"""The weights of a ladder's rungs, fitted on held-out ratings at several numbers of ratings a person."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.errors import NotEnoughData
from core.evaluation import predict_pairs
from core.routers.folded import FoldedRouter
from core.routers.folds import Fold
from core.routers.gat import GatRouter
from core.routers.pooling import Pool, fit_trusted_pool
from core.routers.win_rates import Floats

KNOTS = (0, 3, 10, 30)  # numbers of ratings at which weights are fitted, and at everyone's own
PEOPLE = 200  # to fit the weights with, half as many at histories cut short: more only cost time
WIDEST = 20.0  # log-odds of a held-out rating: beyond them a single surprise would outweigh all others


def fit_weights(
    judged: Sequence[Sequence[Any]], folds: Sequence[Fold], shares: Floats
) -> tuple[NDArray[np.float64], list[Pool]]:
    """Numbers of ratings, rising, and the pool fitted at each, with everyone's history cut to its first so many.

    `judged` has for each fold the rungs that were fitted to it: what they say of its held-out queries counts.
    `shares` [K] are those of the prior, 0 for rungs that tell everyone the same.
    """
    if not len(folds[0].held_out):
        raise NotEnoughData("The weights of the ladder's rungs need ratings that are held out for validation.")
    given = folds[0].train
    rated = np.zeros(len(given.users), np.int64)  # how many pairs and choices
    np.maximum.at(rated, given.user, given.item_within_user + 1)
    usual = float(np.median(rated[np.unique(folds[0].held_out.user)]))
    knots = [float(n) for n in KNOTS if n < usual or n == 0]
    pools = []
    for n in knots:
        shown = [fold.train.where(fold.train.item_within_user < n) for fold in folds]
        pools.append(_pool(judged, shares, shown, [_of_people(fold.held_out, PEOPLE // 2) for fold in folds]))
    if usual > 0:
        knots.append(usual)
        everything = [fold.train for fold in folds]
        pools.append(_pool(judged, shares, everything, [_of_people(fold.held_out, PEOPLE) for fold in folds]))
    return np.array(knots), pools


def _pool(
    judged: Sequence[Sequence[Any]],
    shares: Floats,
    histories: Sequence[PreferenceDataset],
    held_out: Sequence[PreferenceDataset],
) -> Pool:
    margins = [
        np.stack([_margins(rung, asked, history) for rung in rungs], 1)
        for rungs, history, asked in zip(judged, histories, held_out, strict=True)
    ]
    label = np.concatenate([asked.label for asked in held_out])
    # All turns of one conversation are one question: they share their luck.
    number: dict[str, int] = {}
    of_query = [np.array([number.setdefault(q.turns[0], len(number)) for q in asked.queries]) for asked in held_out]
    question = np.concatenate([of[asked.query] for of, asked in zip(of_query, held_out, strict=True)])
    return fit_trusted_pool(np.concatenate(margins), label, question, shares, _stages(held_out))


def _stages(parts: Sequence[PreferenceDataset]) -> NDArray[np.int64]:
    """The stages of several parts one after the other, those of each numbered on from those before."""
    found, last = [np.zeros(0, np.int64)], 0
    for part in parts:
        stage = part.stage
        found.append(np.where(stage < 0, -1, stage + last))
        last += int(stage.max(initial=-1)) + 1
    return np.concatenate(found)


def _margins(rung: Any, asked: PreferenceDataset, history: PreferenceDataset) -> Floats:
    if isinstance(rung, GatRouter | FoldedRouter):  # those that solve for a person, of everyone at once
        return np.clip(rung.pair_margins(asked, history), -WIDEST, WIDEST)
    told = predict_pairs(rung, asked, history).probability
    return np.asarray(np.log(told) - np.log1p(-told))


def _of_people(held_out: PreferenceDataset, most: int) -> PreferenceDataset:
    """The ratings of at most so many of the people, evenly spread."""
    people = np.unique(held_out.user)
    return held_out.where(np.isin(held_out.user, people[:: -(-len(people) // most) or 1]))
