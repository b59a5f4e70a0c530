"""What one person said: their ratings a page at a time, one rating with both versions, and how they choose.

Each function sends a number of statements that does not grow with the number of ratings.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, case, func, literal_column, or_, select
from sqlalchemy.orm import Session, aliased

from core.campaigns import Reveal
from core.domain import LLMId, Outcome, Query, QueryId, Response, UserId
from core.errors import NotFound
from core.habits import Habits, PairCount, wilson
from db.engine import Database
from db.events import in_force, latest
from db.models import (
    AssignmentRow,
    AssignmentStatus,
    CampaignRow,
    ComparisonRow,
    DraftRow,
    EventKind,
    LLMRow,
    OptionRow,
    QueryRow,
    ResponseRow,
    RouterVersionRow,
    TaskRow,
    UserRow,
)  # fmt: skip
from db.pools import unrated

_FIRST = aliased(ComparisonRow)  # the first answer to the same assignment; none for imported ratings

Choice = Outcome | Literal["withdrawn"]


@dataclass(frozen=True, slots=True)
class Tally:
    """How much one person did. `rated` and `decisive` are in force; `skipped` may still be rated."""

    rated: int
    decisive: int
    changed: int
    withdrawn: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which ratings to list; None is all. `since` belongs to the span, `until` does not."""

    choice: Choice | None = None
    task: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rated:
    """A line of the list. `key` names the rating through all its versions; `outcome` is None once withdrawn."""

    key: str
    prompt: str
    task: str
    outcome: Outcome | None
    rated_at: datetime | None
    seconds: float | None
    changed: bool


@dataclass(frozen=True, slots=True)
class Version:
    """One event of a rating's history."""

    key: str
    kind: EventKind
    outcome: Outcome | None
    at: datetime
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Rating:
    """One rating with what was shown and all its versions, oldest first; the last is what holds.

    `closed`: its campaign is, so that it stays as it is. `names` of the LLMs, where the campaign tells them now.
    `several`: it is part of a choice among more than two, which is taken back as one.
    """

    query: Query
    response_a: Response
    response_b: Response
    versions: tuple[Version, ...]
    closed: bool = False
    names: tuple[str, str] | None = None
    several: bool = False

    @property
    def now(self) -> Version:
        """The version that holds."""
        return self.versions[-1]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A pair put aside that is still unrated; `token` names its assignment."""

    token: str
    prompt: str
    task: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Unsent:
    """A pair of which something was chosen or written, and not sent."""

    token: str
    prompt: str
    at: datetime


@dataclass(frozen=True, slots=True)
class TrainedVersion:
    """A published router, as it is named to people."""

    version: int
    kind: str
    created_at: datetime


def tally(database: Database, user: UserId) -> Tally:
    """How much this person did; a stranger nothing."""
    rated = ComparisonRow.outcome.is_not(None)
    decided = ComparisonRow.outcome.in_([Outcome.A, Outcome.B])
    changed = and_(rated, ComparisonRow.supersedes_id.is_not(None))
    skipped = select(func.count()).select_from(unrated(func.coalesce(_id_of(user), 0), skipped=True).subquery())
    figures = [_times(condition) for condition in (rated, decided, changed, ~rated)]
    with database.read() as session:
        return Tally(*session.execute(_listed(user, *figures, skipped.scalar_subquery())).one())


def count(database: Database, user: UserId, which: Filter) -> int:
    """How many ratings `ratings` would list over all pages."""
    with database.read() as session:
        return session.scalar(_filtered(_listed(user, func.count()), which)) or 0


def ratings(database: Database, user: UserId, which: Filter, *, limit: int, offset: int = 0) -> list[Rated]:
    """One page of this person's ratings, the last given first. An edit leaves a rating in its place."""
    page = _filtered(
        _listed(
            user, func.coalesce(_FIRST.key, ComparisonRow.key), QueryRow.turns, TaskRow.name, ComparisonRow.outcome,
            _given_at(), func.coalesce(ComparisonRow.dwell_ms, _FIRST.dwell_ms), ComparisonRow.supersedes_id,
        ),
        which,
    )  # fmt: skip
    newest = func.coalesce(_FIRST.id, ComparisonRow.id).desc()
    with database.read() as session:
        rows = session.execute(page.order_by(newest).limit(limit).offset(offset)).all()
    return [
        Rated(key, turns[-1], task or "", outcome, at, _seconds(dwell), before is not None)
        for key, turns, task, outcome, at, dwell, before in rows
    ]


def tasks(database: Database, user: UserId) -> list[str]:
    """The tasks of this person's ratings, by name."""
    with database.read() as session:
        named = _listed(user, TaskRow.name).where(TaskRow.name.is_not(None)).distinct().order_by(TaskRow.name)
        return list(session.scalars(named))


def rating(database: Database, user: UserId, key: str) -> Rating:
    """The rating of which `key` names any version. Raises NotFound, for someone else's too."""
    with database.read() as session:
        chain = _chain(session, user, key)
        if not chain:
            raise NotFound("This rating is not among yours. It may have been deleted.")
        a, b, llm_a, llm_b = aliased(ResponseRow), aliased(ResponseRow), aliased(LLMRow), aliased(LLMRow)
        shown = select(OptionRow.position).where(OptionRow.assignment_id == ComparisonRow.assignment_id)
        options = shown.correlate(ComparisonRow).exists()
        query, turns, task, key_a, said_a, key_b, said_b, *rest = session.execute(
            select(QueryRow.key, QueryRow.turns, TaskRow.name, llm_a.key, a.turns, llm_b.key, b.turns)
            .add_columns(llm_a.name, llm_b.name, CampaignRow.open, CampaignRow.reveal, options)
            .select_from(ComparisonRow)
            .join(QueryRow, QueryRow.id == ComparisonRow.query_id)
            .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
            .join(a, a.id == ComparisonRow.response_a_id)
            .join(b, b.id == ComparisonRow.response_b_id)
            .join(llm_a, llm_a.id == a.llm_id)
            .join(llm_b, llm_b.id == b.llm_id)
            .outerjoin(AssignmentRow, AssignmentRow.id == ComparisonRow.assignment_id)
            .outerjoin(CampaignRow, CampaignRow.id == AssignmentRow.campaign_id)
            .where(ComparisonRow.id == chain[-1].id)
        ).one()
    posed = Query(QueryId(query), tuple(turns), task or "")
    left, right = (
        Response(posed.query_id, LLMId(llm), tuple(said)) for llm, said in ((key_a, said_a), (key_b, said_b))
    )
    name_a, name_b, is_open, reveal, several = rest
    told = reveal == Reveal.AT_ONCE or (reveal == Reveal.END and not is_open)
    names = (name_a or key_a, name_b or key_b) if told else None
    return Rating(posed, left, right, tuple(_version(row) for row in chain), is_open is False, names, several)


def skipped(database: Database, user: UserId, limit: int) -> list[Skipped]:
    """The pairs this person put aside and may still rate, the last one first."""
    person = func.coalesce(_id_of(user), 0)
    newest = (
        select(func.max(AssignmentRow.id))
        .where(
            AssignmentRow.user_id == person,
            AssignmentRow.status == AssignmentStatus.SKIPPED,
            AssignmentRow.query_id.in_(unrated(person, skipped=True)),
        )
        .group_by(AssignmentRow.query_id)
    )
    rows = (
        select(AssignmentRow.token, QueryRow.turns, TaskRow.name, AssignmentRow.closed_at)
        .join(QueryRow, QueryRow.id == AssignmentRow.query_id)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .where(AssignmentRow.id.in_(newest))
        .order_by(AssignmentRow.id.desc())
        .limit(limit)
    )
    with database.read() as session:
        return [Skipped(token, turns[-1], task or "", at) for token, turns, task, at in session.execute(rows)]


def drafts(database: Database, user: UserId) -> list[Unsent]:
    """What this person chose or wrote and did not send, the newest first; at most the ten that an undo can leave."""
    rows = (
        select(AssignmentRow.token, QueryRow.turns, DraftRow.saved_at)
        .join(AssignmentRow, AssignmentRow.id == DraftRow.assignment_id)
        .join(QueryRow, QueryRow.id == AssignmentRow.query_id)
        .where(AssignmentRow.user_id == _id_of(user))
        .order_by(DraftRow.saved_at.desc(), AssignmentRow.id)
    )
    with database.read() as session:
        return [Unsent(token, turns[-1], at) for token, turns, at in session.execute(rows)]


def habits(database: Database, user: UserId) -> Habits:
    """How this person chooses, counted where the texts are: only five numbers leave the database."""
    a, b = aliased(ResponseRow), aliased(ResponseRow)
    length_a, length_b = (_reply_length(database.dialect, side.turns) for side in (a, b))
    chose_a, chose_b = ComparisonRow.outcome == Outcome.A, ComparisonRow.outcome == Outcome.B
    longer = or_(and_(chose_a, length_a > length_b), and_(chose_b, length_b > length_a))
    counted = (
        select(func.count(), *(_times(c) for c in (
            chose_a, or_(chose_a, chose_b), longer, and_(or_(chose_a, chose_b), length_a != length_b),
        )))
        .select_from(ComparisonRow)
        .join(a, a.id == ComparisonRow.response_a_id)
        .join(b, b.id == ComparisonRow.response_b_id)
        .where(ComparisonRow.user_id == _id_of(user), in_force())
    )  # fmt: skip
    with database.read() as session:
        n, left, decisive, longer_chosen, different = (int(figure) for figure in session.execute(counted).one())
    return Habits(wilson(left, decisive), wilson(longer_chosen, different), wilson(decisive, n))


def pair_counts(database: Database, user: UserId) -> list[PairCount]:
    """What this person said about each pair of LLMs, counted: as many rows as there are pairs, not ratings."""
    a, b = aliased(LLMRow), aliased(LLMRow)
    counted = (
        select(a.key, b.key, ComparisonRow.outcome, func.count())
        .select_from(ComparisonRow)
        .join(a, a.id == ComparisonRow.llm_a_id)
        .join(b, b.id == ComparisonRow.llm_b_id)
        .where(ComparisonRow.user_id == _id_of(user), in_force())
        .group_by(a.id, b.id, ComparisonRow.outcome)
        .order_by(a.id, b.id, ComparisonRow.outcome)
    )
    with database.read() as session:
        return [PairCount(a, b, said, n) for a, b, said, n in session.execute(counted) if said is not None]


def routers_trained_on(database: Database, user: UserId) -> list[TrainedVersion]:
    """The versions published while ratings of this person were in force, newest first."""
    here = select(ComparisonRow.id).where(
        ComparisonRow.user_id == _id_of(user), in_force(RouterVersionRow.created_at)
    ).correlate(RouterVersionRow).exists()  # fmt: skip
    rows = select(RouterVersionRow.id, RouterVersionRow.kind, RouterVersionRow.created_at).where(here)
    with database.read() as session:
        return [TrainedVersion(*row) for row in session.execute(rows.order_by(RouterVersionRow.id.desc()))]


def _id_of(user: UserId) -> Any:
    return select(UserRow.id).where(UserRow.name == user).scalar_subquery()


def _times(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _listed(user: UserId, *columns: Any) -> Select[*tuple[Any, ...]]:
    """The last version of each of this person's ratings, withdrawn ones too. What an undo put back on the screen is no
    rating: it is being asked again.
    """
    return (
        select(*columns)
        .select_from(ComparisonRow)
        .join(QueryRow, QueryRow.id == ComparisonRow.query_id)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .outerjoin(
            _FIRST,
            and_(
                _FIRST.assignment_id == ComparisonRow.assignment_id,
                _FIRST.response_a_id == ComparisonRow.response_a_id,  # an assignment of several has several ratings
                _FIRST.response_b_id == ComparisonRow.response_b_id,
                _FIRST.supersedes_id.is_(None),
            ),
        )
        .outerjoin(AssignmentRow, AssignmentRow.id == ComparisonRow.assignment_id)
        .where(
            ComparisonRow.user_id == _id_of(user),
            latest(),
            or_(
                ComparisonRow.outcome.is_not(None),
                AssignmentRow.id.is_(None),
                AssignmentRow.status == AssignmentStatus.RATED,
            ),
        )
    )


def _filtered(statement: Select[*tuple[Any, ...]], which: Filter) -> Select[*tuple[Any, ...]]:
    if which.choice is not None:
        wanted = None if which.choice == "withdrawn" else which.choice
        statement = statement.where(ComparisonRow.outcome.is_not_distinct_from(wanted))
    if which.task is not None:
        statement = statement.where(TaskRow.name == which.task)
    if which.since is not None:
        statement = statement.where(_given_at() >= which.since)
    if which.until is not None:
        statement = statement.where(_given_at() < which.until)
    return statement


def _given_at() -> ColumnElement[datetime]:
    return func.coalesce(_FIRST.rated_at, ComparisonRow.rated_at)


def _seconds(dwell_ms: int | None) -> float | None:
    return None if dwell_ms is None else dwell_ms / 1000


def _chain(session: Session, user: UserId, key: str) -> list[ComparisonRow]:
    """All versions of the rating of which `key` names one, oldest first."""
    mine = ComparisonRow.user_id == _id_of(user)
    chain = (
        select(ComparisonRow.id, ComparisonRow.supersedes_id).where(ComparisonRow.key == key, mine).cte(recursive=True)
    )
    link = or_(ComparisonRow.supersedes_id == chain.c.id, ComparisonRow.id == chain.c.supersedes_id)
    chain = chain.union(select(ComparisonRow.id, ComparisonRow.supersedes_id).join(chain, link))
    rows = select(ComparisonRow).where(ComparisonRow.id.in_(select(chain.c.id))).order_by(ComparisonRow.id)
    return list(session.scalars(rows))


def _version(row: ComparisonRow) -> Version:
    return Version(row.key, row.kind, row.outcome, row.rated_at or row.recorded_at, _seconds(row.dwell_ms))


def _reply_length(dialect: str, turns: Any) -> ColumnElement[int]:
    """Characters of the reply that is judged, the last turn."""
    if dialect == "postgresql":
        return func.length(turns.op("->>")(literal_column("-1")))
    return func.length(func.json_extract(turns, literal_column("'$[#-1]'")))
