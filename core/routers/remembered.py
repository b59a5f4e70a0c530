"""What a router worked out from one history or one query, kept in memory: a person who asks twice is not read twice,
and a query that is asked twice does not pass through a network twice.

A history is frozen, so what follows from it never changes; a new rating makes a new history (`db.known.Histories`), and
with it everything anew. Nor does a finished router, or the words of a query. There is one way of working a value out,
whether it is kept or not, so that nothing can drift apart.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.dataset import PreferenceDataset
from core.domain import Query

T = TypeVar("T")

MOST_KEPT = 2_000  # histories; a network's posterior of one takes some 6 kB
QUERIES_KEPT = 5_000  # of each router; ten LLMs' features of one take some 2 kB

Rows = tuple[NDArray[Any], ...]  # what is known of one query, one array a kind

_lock = threading.Lock()
_kept: "OrderedDict[int, tuple[weakref.ref[PreferenceDataset], dict[tuple[int, Hashable], tuple[object, Any]]]]"
_kept = OrderedDict()
_queries: "dict[int, tuple[weakref.ref[Any], OrderedDict[Hashable, Rows]]]" = {}


def remembered(history: PreferenceDataset | None, owner: object, of: Hashable, make: Callable[[], T]) -> T:
    """`make()`, or what it gave before for this very history, owner (a part of the router that is never changed) and
    what it is of, such as a user. Without a history nothing is kept.
    """
    if history is None:
        return make()
    at, key = id(history), (id(owner), of)
    with _lock:
        values = _values(history, at)
        if key in values:
            found: T = values[key][1]
            return found
    made = make()
    with _lock:
        _values(history, at)[key] = owner, made  # the owner is held too, so that its id stays its own
    return made


def remembered_queries(owner: Any, queries: Sequence[Query], make: Callable[[Sequence[Query]], Rows]) -> Rows:
    """`make(queries)`, arrays of one row a query: only queries whose words and task this owner was not asked of lately
    are worked out, all in one call. The owner is a part of the router that is never changed.
    """
    keys = [(query.turns, query.task) for query in queries]
    if len(keys) == 1 and (rows := _known_row(owner, keys[0])):  # the most frequent case, and the one that must be fast
        return tuple(part[None].copy() for part in rows)
    places = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    with _lock:
        known = _rows_of(owner)
        found = {key: known[key] for key in places if key in known}
        for key in found:
            known.move_to_end(key)
    new = {key: query for key, query in zip(keys, queries, strict=True) if key not in found}
    if new or not queries:
        made = make(list(new.values()))
        if len(new) == len(keys):  # nothing is known: as it was made
            _keep(owner, new, made)
            return made
        _keep(owner, new, made)
        found |= {key: tuple(part[i] for part in made) for i, key in enumerate(new)}
    stacked = tuple(np.stack(part) for part in zip(*(found[key] for key in places), strict=True))
    if len(places) == len(keys):
        return stacked
    order = np.array([places[key] for key in keys])
    return tuple(part[order] for part in stacked)


def _known_row(owner: Any, key: Hashable) -> Rows | None:
    with _lock:
        known = _rows_of(owner)
        if key in known:
            known.move_to_end(key)
        return known.get(key)


def _keep(owner: Any, new: "dict[Any, Query]", made: Rows) -> None:
    rows = {key: tuple(part[i].copy() for part in made) for i, key in enumerate(new)}  # a view would hold the batch
    with _lock:
        known = _rows_of(owner)
        known |= rows
        while len(known) > QUERIES_KEPT:
            known.popitem(last=False)


def _rows_of(owner: Any) -> "OrderedDict[Hashable, Rows]":
    at = id(owner)
    if at not in _queries or _queries[at][0]() is not owner:
        # Gone with its owner: a router that serves no more holds no memory.
        _queries[at] = weakref.ref(owner, lambda gone: _forget(at, gone)), OrderedDict()
    return _queries[at][1]


def _forget(at: int, gone: "weakref.ref[Any]") -> None:
    if at in _queries and _queries[at][0] is gone:
        del _queries[at]


def _values(history: PreferenceDataset, at: int) -> dict[tuple[int, Hashable], tuple[object, Any]]:
    known = _kept.get(at)
    if known is None or known[0]() is not history:  # an id is given again when its first owner is gone
        known = _kept[at] = weakref.ref(history), {}
        if len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(at)
    return known[1]
