"""The audit trail: who did what to which thing, written in the transaction that did it."""

from datetime import datetime

from sqlalchemy.orm import Session

from db.models import AuditEventRow


def note(session: Session, at: datetime, actor: str, action: str, subject: str, **detail: object) -> None:
    """Append one event; it is kept only if the transaction is."""
    session.add(AuditEventRow(at=at, actor=actor, action=action, subject=subject, detail=detail))
