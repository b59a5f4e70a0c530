"""Folds by query: what each of several networks learns from, and the queries it is judged on.

One held-out part says little where ratings are few: a score of queries decides when training stops and which rung is
believed. With several networks each holds out queries of its own and learns from all the others, so that together they
have learned from every query, and most queries have an answer by one who never saw them.
"""

from typing import NamedTuple

import numpy as np

from core.dataset import PreferenceDataset

HELD_OUT = 0.15  # of the train part's queries, for each fold after the first


class Fold(NamedTuple):
    """What is learned from, and what is held out for choosing; no query lies in both."""

    train: PreferenceDataset
    held_out: PreferenceDataset


def folds_of(train_part: PreferenceDataset, validation: PreferenceDataset, folds: int, seed: int) -> list[Fold]:
    """So many folds: first the parts as given, then each with other queries of the train part held out and
    `validation` learned from instead. Where there are too few queries, or the parts are not over the same rows, the
    parts as given stand in for a fold.
    """
    given = Fold(train_part, validation)
    same = train_part.users == validation.users and train_part.queries == validation.queries
    if folds == 1 or not same or train_part.llms != validation.llms:
        return [given] * folds
    each = min(HELD_OUT, 1 / folds)
    apart = train_part.split("query", (*[each] * (folds - 1), 1 - each * (folds - 1)), seed)
    found = [given]
    for held_out in apart[:-1]:
        rest = train_part.where(~np.isin(train_part.query, np.unique(held_out.query)))
        found.append(Fold(rest.joined(validation), held_out) if len(held_out) and len(rest) else given)
    return found
