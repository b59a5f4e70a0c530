"""What one router would change against another: for whom, and from which LLM to which."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from core.dataset import PreferenceDataset
from core.domain import LLMId, UserId
from core.routers.base import Router


class Change(NamedTuple):
    """A user whose pick changes: on how many of the queries they rated, and from which LLM to which how often."""

    user: UserId
    queries: int
    changed: int
    moves: tuple[tuple[LLMId, LLMId, int], ...]


def changed_picks(
    before: Router, after: Router, ratings: PreferenceDataset, reach: Callable[[int, int], None] | None = None
) -> list[Change]:
    """Exactly the users for whom the two routers differ on at least one query that they rated, most changed first.

    Both know all ratings. `reach` is told how many of the users are done; what it raises ends the work.
    """
    found = []
    users = np.unique(ratings.user)
    for done, row in enumerate(users):
        if reach:
            reach(done, len(users))
        user, own = ratings.users[row], ratings.where(ratings.user == row)
        queries = [ratings.queries[i] for i in np.unique(own.query)]
        old, new = (
            [router.llms[i] for i in router.predict_proba(user, queries, own).argmax(axis=1)]
            for router in (before, after)
        )
        moves = Counter((a, b) for a, b in zip(old, new, strict=True) if a != b)
        if moves:
            told = tuple((a, b, n) for (a, b), n in sorted(moves.items(), key=lambda move: (-move[1], move[0])))
            found.append(Change(user, len(queries), sum(moves.values()), told))
    return sorted(found, key=lambda change: (-change.changed / change.queries, change.user))
