"""Flags: what people found unfit to be rated, and why; and the queue of those that nobody has looked at yet."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.answers import MAX_COMMENT
from core.domain import LLMId, Query, QueryId, Response, UserId
from core.errors import InvalidInput, NotFound
from db.audit import note
from db.base import utc_now
from db.choices import ids_of
from db.engine import Database
from db.models import (
    AssignmentRow,
    FlagReason,
    FlagResolution,
    FlagRow,
    LLMRow,
    QueryRow,
    ResponseRow,
    TaskRow,
    UserRow,
)  # fmt: skip
from db.pools import FLAGS_TO_PAUSE

MAX_WHY = 500


@dataclass(frozen=True, slots=True)
class Flag:
    """What one person said is wrong."""

    user: UserId
    reason: FlagReason
    note: str
    flagged_at: datetime


@dataclass(frozen=True, slots=True)
class Flagged:
    """A query with flags that nobody has settled, and the responses that those saw who raised them. `paused` says that
    enough people raised one for it to be shown to nobody meanwhile.
    """

    query: Query
    responses: tuple[Response, ...]
    flags: tuple[Flag, ...]
    paused: bool


@dataclass(frozen=True, slots=True)
class Retired:
    """A query that is shown to nobody any more."""

    query: Query
    by: str
    at: datetime


class Flags:
    """The flags of one database. Every method is one transaction."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database, self._clock = database, clock

    def waiting(self, limit: int = 50) -> list[Flagged]:
        """Queries with unsettled flags, those that most people flagged first."""
        people = func.count(FlagRow.user_id.distinct())
        most = (
            select(FlagRow.query_id, people)
            .where(FlagRow.resolution.is_(None))
            .group_by(FlagRow.query_id)
            .order_by(people.desc(), func.min(FlagRow.id))
            .limit(limit)
        )
        with self._database.read() as session:
            return [_flagged(session, query_id, count) for query_id, count in session.execute(most).all()]

    def retired(self) -> list[Retired]:
        """Queries that were retired, the newest first."""
        row = FlagRow
        rows = (
            select(QueryRow.key, QueryRow.turns, TaskRow.name, row.resolved_by, row.resolved_at)
            .join(QueryRow, QueryRow.id == row.query_id)
            .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
            .where(row.resolution == FlagResolution.RETIRED)
            .order_by(row.resolved_at.desc(), row.id.desc())
        )
        found: dict[str, Retired] = {}
        with self._database.read() as session:
            for key, turns, task, by, at in session.execute(rows):
                assert at is not None  # a constraint  # noqa: S101
                found.setdefault(key, Retired(Query(QueryId(key), tuple(turns), task or ""), by or "", at))
        return list(found.values())

    def settle(self, query: QueryId, resolution: FlagResolution, by: str, why: str) -> None:
        """End the flags of a query: dismissed and fixed let it be shown again, retired keeps it from everybody. What
        was rated stays. Raises InvalidInput without a reason, NotFound where its flags were settled meanwhile.
        """
        self._settle(query, None, FlagResolution(resolution), "flag_settle", by, why)

    def bring_back(self, query: QueryId, by: str, why: str) -> None:
        """Let a retired query be shown again. Raises as `settle` does."""
        self._settle(query, FlagResolution.RETIRED, FlagResolution.DISMISSED, "flag_bring_back", by, why)

    def _settle(
        self, query: QueryId, before: FlagResolution | None, after: FlagResolution, action: str, by: str, why: str
    ) -> None:
        why = " ".join(why.split())
        if not why or len(why) > MAX_WHY or "\x00" in why:
            raise InvalidInput(f"Give a reason of 1 to {MAX_WHY} characters; nothing was changed.")
        now = self._clock()
        of_query = FlagRow.query_id == select(QueryRow.id).where(QueryRow.key == query).scalar_subquery()
        stands = FlagRow.resolution.is_(None) if before is None else FlagRow.resolution == before
        with self._database.write() as session:
            changed = session.scalars(
                update(FlagRow)
                .where(of_query, stands)
                .values(resolution=after, resolved_at=now, resolved_by=by)
                .returning(FlagRow.id)
                .execution_options(synchronize_session=False)
            ).all()
            if not changed:
                raise NotFound("Somebody settled this meanwhile; nothing was changed. Reload to see it.")
            note(session, now, by, action, query, resolution=after.value, reason=why, flags=len(changed))


def raise_flag(session: Session, assignment: AssignmentRow, reason: FlagReason, text: str, now: datetime) -> None:
    """Say what is wrong with what an assignment shows. Raises InvalidInput for an overlong note."""
    if len(text) > MAX_COMMENT or "\x00" in text:
        raise InvalidInput(f"A note has at most {MAX_COMMENT:,} characters; nothing was saved. Shorten it.")
    session.add(
        FlagRow(
            assignment_id=assignment.id,
            user_id=assignment.user_id,
            query_id=assignment.query_id,
            reason=FlagReason(reason),
            note=text.strip(),
            flagged_at=now,
        )
    )


def take_back(session: Session, assignment: AssignmentRow, by: str, now: datetime) -> None:
    """Whoever flagged it looks at it again: their flag no longer counts, and stays in the record."""
    mine = (FlagRow.assignment_id == assignment.id, FlagRow.resolution.is_(None))
    session.execute(
        update(FlagRow)
        .where(*mine)
        .values(resolution=FlagResolution.DISMISSED, resolved_at=now, resolved_by=by)
        .execution_options(synchronize_session=False)
    )


def _flagged(session: Session, query_id: int, people: int) -> Flagged:
    key, turns, task = session.execute(
        select(QueryRow.key, QueryRow.turns, TaskRow.name)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .where(QueryRow.id == query_id)
    ).one()
    rows = session.execute(
        select(FlagRow, UserRow.name, AssignmentRow)
        .join(UserRow, UserRow.id == FlagRow.user_id)
        .join(AssignmentRow, AssignmentRow.id == FlagRow.assignment_id)
        .where(FlagRow.query_id == query_id, FlagRow.resolution.is_(None))
        .order_by(FlagRow.id)
    ).all()
    shown = dict.fromkeys(response for _, _, assignment in rows for response in ids_of(session, assignment))
    said = session.execute(
        select(ResponseRow.id, LLMRow.key, ResponseRow.turns)
        .join(LLMRow, LLMRow.id == ResponseRow.llm_id)
        .where(ResponseRow.id.in_(shown))
    )
    responses = {row: Response(QueryId(key), LLMId(llm), tuple(words)) for row, llm, words in said}
    return Flagged(
        Query(QueryId(key), tuple(turns), task or ""),
        tuple(responses[row] for row in shown),
        tuple(Flag(UserId(name), flag.reason, flag.note, flag.flagged_at) for flag, name, _ in rows),
        people >= FLAGS_TO_PAUSE,
    )
