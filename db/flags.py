"""Flags: what people found unfit to be rated, and why."""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from core.answers import MAX_COMMENT
from core.errors import InvalidInput
from db.models import AssignmentRow, FlagReason, FlagResolution, FlagRow


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
