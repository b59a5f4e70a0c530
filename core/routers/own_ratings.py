"""What one person said, as a router without anybody's parameters reads it from the history."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import LLMId, Query, UserId
from core.routers.remembered import remembered

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

# To choose a knob with: beyond them the choice hardly moves and only costs time.
ENOUGH_PEOPLE, ENOUGH_RATINGS = 100, 20_000


class OwnRatings(NamedTuple):
    """N ratings of one person over just the queries they rated.

    `query` [N] is a row of `queries`; `a`, `b` [N] are columns of the router's LLMs; `label` [N] is 1 for A, 0 for B,
    1/2 for neither; `stage` and `weight` [N] are the dataset's. `items` is how many choices that were, each pair one.
    """

    queries: tuple[Query, ...]
    query: Rows
    a: Rows
    b: Rows
    label: Floats
    stage: Rows
    weight: Floats
    items: int

    def __bool__(self) -> bool:
        return len(self.label) > 0


def own_ratings(user: UserId, history: PreferenceDataset | None, llms: Sequence[LLMId]) -> OwnRatings:
    """The ratings of `user` between LLMs in `llms`, in the order given; none for a stranger or without a history."""
    nothing = np.zeros(0, np.int64)
    if history is None or user not in history.user_row:
        return OwnRatings((), nothing, nothing, nothing, np.zeros(0), nothing, np.zeros(0), 0)
    if history.users == (user,):  # one person's own history: every rung of a ladder asks it the same
        return remembered(history, own_ratings, (user, tuple(llms)), lambda: _read(user, history, llms))
    return _read(user, history, llms)


def _read(user: UserId, history: PreferenceDataset, llms: Sequence[LLMId]) -> OwnRatings:
    own = history.of_user(user)
    return everyones_ratings(replace(own, users=(user,), user=np.zeros(len(own), np.int32)), llms)[0]


def everyones_ratings(history: PreferenceDataset, llms: Sequence[LLMId]) -> list[OwnRatings]:
    """`own_ratings` of each of `history.users`, all over the same queries: those that any of them rated."""
    column = {llm: i for i, llm in enumerate(llms)}
    to_column = np.array([column.get(m.llm_id, -1) for m in history.llms], np.int64)
    a, b = to_column[history.llm_a], to_column[history.llm_b]
    rows = np.flatnonzero((a >= 0) & (b >= 0))
    rows = rows[np.argsort(history.user[rows], kind="stable")]
    rated, query = np.unique(history.query[rows], return_inverse=True)
    queries, known = tuple(history.queries[i] for i in rated), history.where(rows)
    bounds = np.searchsorted(known.user, np.arange(1, len(history.users)))
    given = (query, a[rows], b[rows], known.label, known.stage, known.weight, known.item_within_user)
    columns = zip(*(np.split(values, bounds) for values in given), strict=True)
    own = [
        OwnRatings(queries, query, a, b, label, stage, weight, int(place.max(initial=-1)) + 1)
        for query, a, b, label, stage, weight, place in columns
    ]
    return own[: len(history.users)]


class Person(NamedTuple):
    """One person of a fit: what they said in the train part, and in the part that is held out for choosing."""

    own: OwnRatings
    held_out: OwnRatings


def people(train_part: PreferenceDataset, held_out: PreferenceDataset, llms: Sequence[LLMId]) -> Iterator[Person]:
    """Those who have held-out ratings, evenly spread, in order of the dataset's users: at most `ENOUGH_PEOPLE` of them,
    and about as many as gave `ENOUGH_RATINGS`.
    """
    rows = np.unique(held_out.user)
    each = max(len(train_part) / max(len(rows), 1), 1)
    enough = max(min(ENOUGH_PEOPLE, round(ENOUGH_RATINGS / each)), 1)
    for row in rows[:: -(-len(rows) // enough) or 1]:
        user = held_out.users[row]
        yield Person(own_ratings(user, train_part, llms), own_ratings(user, held_out, llms))
