"""What can be counted in the words of responses, kept beside them: counting takes longer than reading what was counted.

Ratings carry it into training and into every decision, so that taste in style is learned from what was read
(`core.responses`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, or_, select, union, update
from sqlalchemy.orm import Session

from core.domain import content_hash
from core.traits import TRAITS, traits
from db.base import parts
from db.engine import Database
from db.models import ComparisonRow, ResponseRow

STORED_FLOAT = np.dtype("<f4")
SIZE = len(TRAITS) * STORED_FLOAT.itemsize
AT_ONCE = 500  # texts counted between two writes: raters wait for none of it
BLANK = content_hash("")

Table = NDArray[np.float32]
Rows = NDArray[np.int32]


def counted(text: str) -> bytes | None:
    """What is stored of a judged reply; None where it has no words, as imports of bare choices."""
    return traits(text).astype(STORED_FLOAT).tobytes() if text.strip() else None


def count_missing(database: Database) -> int:
    """Count the responses that were stored by a release that did not, or counted other things. How many there were."""
    missing = or_(ResponseRow.traits.is_(None), func.length(ResponseRow.traits) != SIZE)
    last = done = 0
    while True:
        with database.read() as session:
            found = session.execute(
                select(ResponseRow.id, ResponseRow.turns)
                .where(ResponseRow.id > last, ResponseRow.text_hash != BLANK, missing)
                .order_by(ResponseRow.id)
                .limit(AT_ONCE)
            ).all()
        if not found:
            return done
        rows = [{"id": row.id, "traits": counted(row.turns[-1])} for row in found]
        with database.write() as session:
            session.execute(update(ResponseRow), rows)
        last, done = found[-1].id, done + len(found)


def of(session: Session, shown: NDArray[np.int64], only: Sequence[int] | None) -> tuple[Table, Rows]:
    """A table [R, T] of responses, and for each of `shown` [2, N], which are ids, its row there, -1 where nothing is
    known. `only` are the users whose ratings show them, None for everyone's.
    """
    ids, data = _stored(session, shown, only)
    kept = np.isin(ids, shown)
    ids = ids[kept]
    if not len(ids):
        return np.zeros((0, 0), np.float32), np.full(shown.shape, -1, np.int32)
    place = np.minimum(np.searchsorted(ids, shown), len(ids) - 1)
    return data[kept], np.where(ids[place] == shown, place, -1).astype(np.int32)


def _stored(session: Session, shown: NDArray[np.int64], only: Sequence[int] | None) -> tuple[NDArray[np.int64], Table]:
    """Ids, rising, and traits of stored responses, at least of those shown that have any."""
    known = select(ResponseRow.id, ResponseRow.traits).where(func.length(ResponseRow.traits) == SIZE)
    if only is None:
        found = session.execute(known).all()
    elif len(only) == 1:  # one statement however much this user rated
        it, mine = ComparisonRow, ComparisonRow.user_id == only[0]
        read = union(select(it.response_a_id).where(mine), select(it.response_b_id).where(mine))
        found = session.execute(known.where(ResponseRow.id.in_(read))).all()
    else:
        wanted = np.unique(shown).tolist()
        found = [row for part in parts(wanted) for row in session.execute(known.where(ResponseRow.id.in_(part)))]
    found = sorted(found)
    data = np.frombuffer(b"".join(row.traits for row in found), STORED_FLOAT).reshape(-1, len(TRAITS))
    return np.array([row.id for row in found], np.int64), data.astype(np.float32)
