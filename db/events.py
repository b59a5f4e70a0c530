"""Comparisons as a log of events: which of them are in force, and how one follows another."""

import secrets
from datetime import datetime

from sqlalchemy import ColumnElement, and_, insert, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from core.answers import Detail
from core.domain import Outcome
from core.errors import InvalidInput, NotAllowed, NotFound
from db.base import table
from db.models import AssignmentRow, CampaignRow, ComparisonRow, EventKind, RatingDetailRow, UserRow
from db.posed import Posed

_LATER = aliased(ComparisonRow)
_APPEND = insert(table(ComparisonRow))
Moment = datetime | ColumnElement[datetime] | InstrumentedAttribute[datetime]

CLOSED = "The campaign is closed, so its ratings are no longer changed. Nothing was stored; ask who runs it to open it."
APP = "app"  # the source of what people do here, in contrast to what a file brought


def latest(upto: Moment | None = None) -> ColumnElement[bool]:
    """Condition: no event (none recorded before `upto`) supersedes this one."""
    superseding = select(_LATER.id).where(_LATER.supersedes_id == ComparisonRow.id)
    if upto is not None:
        superseding = superseding.where(_LATER.recorded_at < upto)
    return ~superseding.correlate_except(_LATER).exists()


def in_force(upto: Moment | None = None) -> ColumnElement[bool]:
    """Condition: this is a rating that counts, now or as the log stood at a moment."""
    conditions = [ComparisonRow.outcome.is_not(None), latest(upto)]
    if upto is not None:
        conditions.append(ComparisonRow.recorded_at < upto)
    return and_(*conditions)


def latest_of_all() -> ColumnElement[bool]:
    """`latest` for statements that read the whole log: what was superseded is listed once, instead of looked up row by
    row, which spares a third or more. Statements about one person or one rating are quicker without.
    """
    return ComparisonRow.id.not_in(select(_LATER.supersedes_id).where(_LATER.supersedes_id.is_not(None)))


def in_force_of_all() -> ColumnElement[bool]:
    """`in_force` for statements that read the whole log."""
    return and_(ComparisonRow.outcome.is_not(None), latest_of_all())


def is_test() -> ColumnElement[bool]:
    """Condition: the answer to a gold item, or the second one to a pair. It tests the person and is not learned from,
    lest a pair count twice.
    """
    purpose = or_(AssignmentRow.gold_id.is_not(None), AssignmentRow.repeats_id.is_not(None))
    test = select(AssignmentRow.id).where(AssignmentRow.id == ComparisonRow.assignment_id, purpose)
    return test.correlate(ComparisonRow).exists()


def last_of(session: Session, assignment_id: int) -> ComparisonRow | None:
    """The end of an assignment's chain: what was said last, or its withdrawal; None where nothing was said."""
    ends = select(ComparisonRow).where(ComparisonRow.assignment_id == assignment_id, latest())
    return session.scalar(ends.order_by(ComparisonRow.id).limit(1))


def lasts_of(session: Session, assignment_id: int) -> list[ComparisonRow]:
    """The ends of all chains of an assignment: one of a pair, several of a choice among more responses."""
    ends = select(ComparisonRow).where(ComparisonRow.assignment_id == assignment_id, latest())
    return list(session.scalars(ends.order_by(ComparisonRow.id)))


def append_rating(session: Session, posed: Posed, outcome: Outcome, now: datetime, dwell: float, detail: Detail) -> str:
    """A rating of what was shown, with what was said beside it; its key.

    After an undo it supersedes the withdrawal, so that the chain stays one line.
    """
    before = last_of(session, posed.id) if posed.closed_at else None
    key = secrets.token_hex(16)
    session.execute(_APPEND, {
        "key": key, "user_id": posed.user_id, "query_id": posed.query_id, "response_a_id": posed.response_a_id,
        "response_b_id": posed.response_b_id, "llm_a_id": posed.llm_a_id, "llm_b_id": posed.llm_b_id,
        "assignment_id": posed.id, "supersedes_id": before.id if before else None, "kind": EventKind.RATING,
        "outcome": outcome, "rated_at": now, "recorded_at": now, "dwell_ms": round(dwell * 1000), "source": APP,
    })  # fmt: skip
    if not detail.empty:
        session.add(
            RatingDetailRow(
                comparison_id=session.scalars(select(ComparisonRow.id).where(ComparisonRow.key == key)).one(),
                strength=detail.strength,
                reasons=[str(reason) for reason in detail.reasons],
                criteria={name: dict(stars) for name, stars in detail.criteria.items()},
                comment=detail.comment.strip(),
            )
        )
    return key


def append_change(session: Session, before: ComparisonRow, outcome: Outcome | None, now: datetime) -> None:
    """An edit, or with None a withdrawal, of an event that nothing supersedes yet."""
    copied = (
        "user_id", "query_id", "response_a_id", "response_b_id", "llm_a_id", "llm_b_id", "assignment_id",
    )  # fmt: skip
    session.add(
        ComparisonRow(
            **{name: getattr(before, name) for name in copied},
            key=secrets.token_hex(16),
            supersedes_id=before.id,
            kind=EventKind.EDIT if outcome else EventKind.WITHDRAWAL,
            outcome=outcome,
            rated_at=now,
            recorded_at=now,
            source=APP,
        )
    )


def may_change(session: Session, event: ComparisonRow) -> bool:
    """Whether the campaign that asked is open still. What a file brought belongs to none."""
    if event.assignment_id is None:
        return True
    asked = select(CampaignRow.open).join(AssignmentRow, AssignmentRow.campaign_id == CampaignRow.id)
    return bool(session.scalar(asked.where(AssignmentRow.id == event.assignment_id)))


def _of_choice(session: Session, event: ComparisonRow) -> list[ComparisonRow]:
    """What a file brought as one choice with this: the ends of their chains; the event alone where there is none."""
    choice = session.scalar(select(RatingDetailRow.choice).where(RatingDetailRow.comparison_id == event.id))
    if choice is None:
        return [event]
    of_choice = (RatingDetailRow.choice == choice, ComparisonRow.user_id == event.user_id, latest())
    ends = select(ComparisonRow).join(RatingDetailRow, RatingDetailRow.comparison_id == ComparisonRow.id)
    return list(session.scalars(ends.where(*of_choice).order_by(ComparisonRow.id)))


def change(session: Session, author: UserRow, key: str, outcome: Outcome | None, now: datetime) -> bool:
    """Edit or withdraw the rating called `key`; False where that was done already, as by a double click.

    Raises NotFound, NotAllowed for anyone but its author, InvalidInput where it was changed otherwise meanwhile.
    """
    event = session.scalar(select(ComparisonRow).where(ComparisonRow.key == key))
    if event is None:
        raise NotFound("This rating does not exist.")
    if event.user_id != author.id:
        raise NotAllowed("This rating is someone else's; only its author may change it.")
    if not may_change(session, event):
        raise NotAllowed(CLOSED)
    after = session.scalar(select(ComparisonRow).where(ComparisonRow.supersedes_id == event.id))
    done = event if after is None else after
    if done.outcome == outcome and (after is None or after.kind != EventKind.RATING):
        return False
    if after is not None or event.outcome is None:
        raise InvalidInput("Changed elsewhere; reload to see it. Nothing was stored now.")
    together = lasts_of(session, event.assignment_id) if event.assignment_id else _of_choice(session, event)
    if len(together) > 1 and outcome is not None:
        raise InvalidInput(
            "This is part of a choice among several responses, which cannot be changed in part. Nothing was stored; "
            "withdraw it, or undo it while it is among your last ten."
        )
    for part in together:  # a choice is withdrawn as it was made: as one
        if part.outcome is not None:
            append_change(session, part, outcome, now)
    return True
