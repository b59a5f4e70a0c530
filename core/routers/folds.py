"""Folds by query: what each of several networks learns from, and the queries it is judged on.

One held-out part says little where ratings are few: a score of queries decides when training stops and which rung is
believed. With several networks each holds out queries of its own and learns from all the others, so that together they
have learned from every query, and most queries have an answer by one who never saw them.
"""

from typing import NamedTuple

import numpy as np

from core.dataset import PreferenceDataset

HELD_OUT = 0.15  # of the train part's queries, for each fold after the first
# With more of all ratings than this held out, those who learn from the rest alone learn much less than the others, who
# learn from the validation part too.
TOO_MUCH = 0.4


class Fold(NamedTuple):
    """What is learned from, and what is held out for choosing; no query lies in both."""

    train: PreferenceDataset
    held_out: PreferenceDataset


def folds_of(train_part: PreferenceDataset, validation: PreferenceDataset, folds: int, seed: int) -> list[Fold]:
    """So many folds: first the parts as given, then each with other queries of the train part held out and
    `validation` learned from instead. Where there are too few queries, or the parts are not over the same rows, the
    parts as given stand in for a fold. Where `validation` is much of all there is, every fold is one of the latter
    kind, of both parts' queries.
    """
    given = Fold(train_part, validation)
    same = train_part.users == validation.users and train_part.queries == validation.queries
    if folds == 1 or not same or train_part.llms != validation.llms:
        return [given] * folds
    both = train_part.joined(validation)
    drawn = folds if len(validation) > TOO_MUCH * len(both) else folds - 1
    each = min(HELD_OUT, 1 / folds)
    *apart, _ = (both if drawn == folds else train_part).split("query", (*[each] * drawn, 1 - each * drawn), seed)
    found = [given] * (folds - drawn)
    for held_out in apart:
        rest = both.where(~np.isin(both.query, np.unique(held_out.query)))
        found.append(Fold(rest, held_out) if len(held_out) and len(rest) else given)
    return found
