"""What a router worked out from one history, kept while that history lives: a person who asks twice is not read twice.

A history is frozen, so what follows from it never changes; a new rating makes a new history (`db.known.Histories`), and
with it everything anew. There is one way of working a value out, whether it is kept or not.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from core.dataset import PreferenceDataset
from core.domain import UserId

T = TypeVar("T")

MOST_KEPT = 2_000  # histories; a network's posterior of one takes some 6 kB

_lock = threading.Lock()
_kept: "OrderedDict[int, tuple[weakref.ref[PreferenceDataset], dict[tuple[int, UserId], tuple[object, Any]]]]"
_kept = OrderedDict()


def remembered(history: PreferenceDataset | None, owner: object, user: UserId, make: Callable[[], T]) -> T:
    """`make()`, or what it gave before for this very history, owner (a part of the router that is never changed) and
    user. Without a history nothing is kept.
    """
    if history is None:
        return make()
    at, key = id(history), (id(owner), user)
    with _lock:
        values = _values(history, at)
        if key in values:
            found: T = values[key][1]
            return found
    made = make()
    with _lock:
        _values(history, at)[key] = owner, made  # the owner is held too, so that its id stays its own
    return made


def _values(history: PreferenceDataset, at: int) -> dict[tuple[int, UserId], tuple[object, Any]]:
    known = _kept.get(at)
    if known is None or known[0]() is not history:  # an id is given again when its first owner is gone
        known = _kept[at] = weakref.ref(history), {}
        if len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(at)
    return known[1]
