"""Drafts: what a person chose or wrote about a pair on their screen and did not send yet."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.domain import UserId
from db.models import AssignmentRow, DraftRow, UserRow


def keep(session: Session, assignment: AssignmentRow, body: Mapping[str, Any], now: datetime) -> None:
    """The newest draft of an assignment instead of the one before."""
    row = session.get(DraftRow, assignment.id)
    if row is None:
        session.add(DraftRow(assignment_id=assignment.id, body=dict(body), saved_at=now))
    else:
        row.body, row.saved_at = dict(body), now


def of(session: Session, user: UserId, token: str) -> dict[str, Any]:
    """What was kept; empty where nothing was, for someone else's too."""
    kept = (
        select(DraftRow.body)
        .join(AssignmentRow, AssignmentRow.id == DraftRow.assignment_id)
        .join(UserRow, UserRow.id == AssignmentRow.user_id)
        .where(AssignmentRow.token == token, UserRow.name == user)
    )
    return dict(session.scalar(kept) or {})


def drop(session: Session, assignment_id: int) -> None:
    """What is sent needs no draft."""
    session.execute(delete(DraftRow).where(DraftRow.assignment_id == assignment_id))
