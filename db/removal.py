"""Removing what one source brought, and what one person left. The only place where people's rows are deleted."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    String,
    Update,
    cast,
    delete,
    exists,
    false,
    or_,
    select,
    text,
    update,
)  # fmt: skip
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from core.errors import InvalidInput
from db.bundles import mark_rateable
from db.events import APP
from db.models import (
    AdjudicationRow,
    ApiKeyRow,
    AssignmentRow,
    AuditEventRow,
    AutoTrainingRow,
    BrowserSessionRow,
    ComparisonRow,
    ConsentRow,
    DraftRow,
    DriftChoiceRow,
    FlagRow,
    GoldRow,
    InviteRow,
    LLMRow,
    MeasureRow,
    OptionRow,
    ProfileRow,
    QueryRow,
    RatingDetailRow,
    ResponseRow,
    RouterActivationRow,
    RoutingDecisionRow,
    TaskRow,
    TrainingRunRow,
    UserRow,
)  # fmt: skip

Column = InstrumentedAttribute[Any]

ANONYMISED = "anonymised"  # the source of a user who was a person and can no longer be told
LEFT = "former user"  # stands where a person's name stood outside their ratings
_OF_ACCESS = ("sign_in", "join", "consent", "withdraw_consent")
_OF_RATINGS = (
    "rate", "tradeoff", "thumbs", "too_quick", "skip", "flag", "undo", "edit", "withdraw", "resume",
    "drift_newer_only", "drift_ignore", "drift_taken_back",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Removed:
    """How many rows of each kind are gone."""

    users: int
    comparisons: int
    queries: int
    responses: int
    llms: int


def remove(session: Session, source: str) -> Removed:
    """Delete a source's simulated users with all they did, its ratings, and its texts and LLMs that nothing else uses.

    A person's rating keeps its query, responses and LLMs, whoever brought those. Kept are also an imported rating that
    a person edited since, and the account of an imported person who signed in or rated here.
    """
    if session.get_bind().dialect.name == "postgresql":  # else a rating given meanwhile could refer to what goes
        session.execute(text("LOCK TABLE assignments, comparisons IN SHARE ROW EXCLUSIVE MODE"))
    queries = session.scalars(select(ResponseRow.query_id).distinct().where(ResponseRow.source == source)).all()
    tasks = session.scalars(select(QueryRow.task_id).distinct().where(QueryRow.source == source)).all()
    comparisons = _remove_ratings(session, source)
    _remove_unanswered(session, source)
    _remove_verdicts(session, source)
    users = _remove_users(session, source)
    responses = _run(session, delete(ResponseRow).where(ResponseRow.source == source, ~_used(*_RESPONSE_USES)))
    removed_queries = _remove_queries(session, source)
    llms = _run(session, delete(LLMRow).where(LLMRow.source == source, ~_used(*_LLM_USES)))
    _run(
        session, delete(TaskRow).where(TaskRow.id.in_([t for t in tasks if t]), ~_used((QueryRow.task_id, TaskRow.id)))
    )
    mark_rateable(session, queries)
    return Removed(users, comparisons, removed_queries, responses, llms)


Use = tuple[Column, Column]
_RESPONSE_USES: tuple[Use, ...] = tuple(
    (column, ResponseRow.id)
    for column in (
        *(side for row in (ComparisonRow, AssignmentRow, GoldRow) for side in (row.response_a_id, row.response_b_id)),
        OptionRow.response_id,
    )
)
_QUERY_USES: tuple[Use, ...] = tuple(
    (row.query_id, QueryRow.id) for row in (ResponseRow, ComparisonRow, AssignmentRow, GoldRow)
)
_LLM_USES: tuple[Use, ...] = (
    (ResponseRow.llm_id, LLMRow.id),
    (RoutingDecisionRow.llm_id, LLMRow.id),
    (OptionRow.llm_id, LLMRow.id),
    *((column, LLMRow.id) for row in (ComparisonRow, AssignmentRow) for column in (row.llm_a_id, row.llm_b_id)),
)
_USER_USES: tuple[Use, ...] = ((ComparisonRow.user_id, UserRow.id), (AssignmentRow.user_id, UserRow.id))


def _used(*uses: Use) -> ColumnElement[bool]:
    return or_(*(exists().where(column == owner).correlate(owner.class_) for column, owner in uses))


def _run(session: Session, statement: Delete | Update) -> int:
    result: Any = session.execute(statement.execution_options(synchronize_session=False))
    return int(result.rowcount)


def _remove_ratings(session: Session, source: str) -> int:
    simulated = select(UserRow.id).where(UserRow.source == source, UserRow.simulated)
    change = aliased(ComparisonRow)
    edited_here = exists().where(change.supersedes_id == ComparisonRow.id, change.source != source)
    brought = (ComparisonRow.source == source) & ~edited_here.correlate(ComparisonRow)
    gone = select(ComparisonRow.id).where(or_(ComparisonRow.user_id.in_(simulated), brought))
    _run(session, delete(RatingDetailRow).where(RatingDetailRow.comparison_id.in_(gone)))
    return _run(session, delete(ComparisonRow).where(ComparisonRow.id.in_(gone)))


def _remove_unanswered(session: Session, source: str) -> None:
    """Pairs of this source that were shown to someone and never rated, so that they do not keep it."""
    of_source = or_(
        AssignmentRow.query_id.in_(select(QueryRow.id).where(QueryRow.source == source)),
        *(
            side.in_(select(ResponseRow.id).where(ResponseRow.source == source))
            for side in (AssignmentRow.response_a_id, AssignmentRow.response_b_id)
        ),
        AssignmentRow.user_id.in_(select(UserRow.id).where(UserRow.source == source, UserRow.simulated)),
    )
    rated = exists().where(ComparisonRow.assignment_id == AssignmentRow.id).correlate(AssignmentRow)
    gone = select(AssignmentRow.id).where(of_source, ~rated)
    _remove_beside(session, gone)
    _run(session, delete(AssignmentRow).where(AssignmentRow.id.in_(gone)))


def _remove_beside(session: Session, assignments: Select[int]) -> None:
    for row in (DraftRow, FlagRow, OptionRow):
        _run(session, delete(row).where(row.assignment_id.in_(assignments)))


def _remove_verdicts(session: Session, source: str) -> None:
    """Verdicts about this source's responses, and its gold items but those somebody answered, which they keep."""
    brought = select(ResponseRow.id).where(ResponseRow.source == source)
    for row in (AdjudicationRow, GoldRow):
        of_source = or_(row.response_a_id.in_(brought), row.response_b_id.in_(brought))
        asked = exists().where(AssignmentRow.gold_id == row.id) if row is GoldRow else false()
        _run(session, delete(row).where(of_source, ~asked))


def _remove_users(session: Session, source: str) -> int:
    signed_in = UserRow.last_seen_at.is_not(None)
    gone = select(UserRow.id).where(UserRow.source == source, ~signed_in, ~_used(*_USER_USES))
    for row in (
        RoutingDecisionRow, BrowserSessionRow, ConsentRow, ProfileRow, InviteRow, MeasureRow, DriftChoiceRow
    ):  # fmt: skip
        _run(session, delete(row).where(row.user_id.in_(gone)))
    return _run(session, delete(UserRow).where(UserRow.id.in_(gone)))


def _remove_queries(session: Session, source: str) -> int:
    gone = select(QueryRow.id).where(QueryRow.source == source, ~_used(*_QUERY_USES))
    # What was decided stays, with the key of its query; only the reference goes.
    decided = RoutingDecisionRow.query_id.in_(gone)
    _run(session, update(RoutingDecisionRow).where(decided).values(query_id=None))
    return _run(session, delete(QueryRow).where(QueryRow.id.in_(gone)))


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows of a person went; all zero where the person was gone already."""

    events: int = 0
    assignments: int = 0
    decisions: int = 0
    sessions: int = 0


def erase(session: Session, person: UserRow) -> Erased:
    """Delete a person with all they rated, were shown, were routed, and the browsers that knew them.

    Queries and responses that others use stay, and others' rows. The caller holds the row locked.
    """
    _forget_in_logs(session, person.name, None)
    _forget_access(session, person.id)
    rated = select(ComparisonRow.id).where(ComparisonRow.user_id == person.id)
    _run(session, delete(RatingDetailRow).where(RatingDetailRow.comparison_id.in_(rated)))
    _remove_beside(session, select(AssignmentRow.id).where(AssignmentRow.user_id == person.id))
    for row in (MeasureRow, DriftChoiceRow):
        _run(session, delete(row).where(row.user_id == person.id))
    mine = [_run(session, delete(row).where(row.user_id == person.id)) for row in _OWNED]  # in the order of references
    session.delete(person)
    # What they typed and had answered for them: nobody else was shown it, so nothing else uses it.
    _run(session, delete(ResponseRow).where(ResponseRow.source == APP, ~_used(*_RESPONSE_USES)))
    _remove_queries(session, APP)
    return Erased(*mine)


def anonymise(session: Session, person: UserRow) -> None:
    """Leave a person's ratings under a random name and forget who gave them: sign-ins, decisions, every mention.

    Raises InvalidInput where a file brought ratings of theirs, because the file still tells whose those are.
    """
    brought = select(ComparisonRow.id).where(ComparisonRow.user_id == person.id, ComparisonRow.source != APP)
    if session.scalar(brought.limit(1)) is not None:
        raise InvalidInput(
            "Some of these ratings came from a file that still names their author, so they cannot be made anonymous. "
            "Nothing was changed; erase them instead."
        )
    _forget_words(session, person.id)
    pseudonym = f"anonymous-{secrets.token_hex(8)}"
    _forget_in_logs(session, person.name, pseudonym)
    _forget_access(session, person.id)
    _run(session, delete(BrowserSessionRow).where(BrowserSessionRow.user_id == person.id))
    routed = RoutingDecisionRow.user_id == person.id
    _run(session, update(RoutingDecisionRow).where(routed).values(user_id=None))
    person.name, person.source, person.last_seen_at = pseudonym, ANONYMISED, None
    # To the day, the first sign-in would point at whoever came then.
    person.created_at = person.created_at.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    session.flush()


def _forget_access(session: Session, person: int) -> None:
    for row in (ConsentRow, ProfileRow, InviteRow):  # what they said of themselves may say who they are
        _run(session, delete(row).where(row.user_id == person))


def _forget_words(session: Session, person_id: int) -> None:
    """What a person wrote in their own words may say who they are: notes, comments, drafts. Reasons and stars stay."""
    mine = select(AssignmentRow.id).where(AssignmentRow.user_id == person_id)
    _run(session, delete(DraftRow).where(DraftRow.assignment_id.in_(mine)))
    _run(session, update(FlagRow).where(FlagRow.user_id == person_id).values(note=""))
    rated = select(ComparisonRow.id).where(ComparisonRow.user_id == person_id)
    commented = select(RatingDetailRow).where(RatingDetailRow.comparison_id.in_(rated), RatingDetailRow.comment != "")
    for row in session.scalars(commented).all():  # a detail is never changed: it goes, and one without words comes
        kept = {name: getattr(row, name) for name in ("comparison_id", "choice", "strength", "reasons", "criteria")}
        session.delete(row)
        session.flush()
        session.add(RatingDetailRow(**kept))
    session.flush()


_OWNED = (ComparisonRow, AssignmentRow, RoutingDecisionRow, BrowserSessionRow)
_NAMING: tuple[Column, ...] = (
    AuditEventRow.actor, AuditEventRow.subject, TrainingRunRow.requested_by, RouterActivationRow.by,
    InviteRow.created_by, RouterActivationRow.reason, ApiKeyRow.created_by, FlagRow.resolved_by, GoldRow.set_by,
    GoldRow.retired_by, AdjudicationRow.by, MeasureRow.by, MeasureRow.lifted_by, DriftChoiceRow.by,
    DriftChoiceRow.lifted_by, AutoTrainingRow.set_by,
)  # fmt: skip


def _forget_in_logs(session: Session, name: str, rater: str | None) -> None:
    """Forget sign-ins; what was done to ratings becomes `rater`'s or is forgotten too; other mentions are nobody's."""
    event = AuditEventRow
    _run(session, delete(event).where(event.action.in_(_OF_ACCESS), or_(event.actor == name, event.subject == name)))
    of_ratings = (event.actor == name, event.action.in_(_OF_RATINGS))
    _run(session, update(event).where(*of_ratings).values(actor=rater) if rater else delete(event).where(*of_ratings))
    for column in _NAMING:
        _run(session, update(column.class_).where(column == name).values({column: LEFT}))
    mentions = select(event).where(cast(event.detail, String).contains(json.dumps(name), autoescape=True))
    for row in session.scalars(mentions):
        row.detail = {key: LEFT if value == name else value for key, value in row.detail.items()}
    session.flush()
