"""The audit trail: who did what to which thing, written in the transaction that did it."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from db.base import table
from db.engine import Database
from db.models import AuditEventRow

_NOTE = insert(table(AuditEventRow))


def note(session: Session, at: datetime, actor: str, action: str, subject: str, **detail: object) -> None:
    """Append one event; it is kept only if the transaction is."""
    session.execute(_NOTE, {"at": at, "actor": actor, "action": action, "subject": subject, "detail": detail})


def actions(database: Database) -> list[str]:
    """The kinds of events there are, by name."""
    with database.read() as session:
        return list(session.scalars(select(AuditEventRow.action).distinct().order_by(AuditEventRow.action)))


def events(database: Database, kinds: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """The newest events, of these kinds or of all: `at`, `actor`, `action`, `subject`, and `detail` as JSON text."""
    statement = select(AuditEventRow).order_by(AuditEventRow.id.desc()).limit(limit)
    if kinds:
        statement = statement.where(AuditEventRow.action.in_(kinds))
    with database.read() as session:
        return [
            {"at": row.at, "actor": row.actor, "action": row.action, "subject": row.subject,
             "detail": json.dumps(row.detail, ensure_ascii=False)}
            for row in session.scalars(statement)
        ]  # fmt: skip
