"""RouterRegistry: published routers as bytes with their hash and card, and which of them serves."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from core.domain import LLMId, Query, UserId
from core.errors import CorruptArtifact, InvalidInput, NotFound
from db.audit import note
from db.base import utc_now
from db.decisions import Decided, Decisions
from db.engine import Database
from db.models import RouterActivationRow, RouterVersionRow


@dataclass(frozen=True, slots=True)
class RouterVersion:
    """A published router without its bytes. `id` is the version number."""

    id: int
    kind: str
    sha256: str
    card: Mapping[str, Any]
    run_id: int | None
    created_at: datetime


class RouterRegistry:
    """The routers of one database. Versions and activations are only ever added."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    def publish(self, kind: str, data: bytes, card: Mapping[str, Any], run_id: int | None = None) -> RouterVersion:
        """Store a router as the next version. It does not serve until it is activated."""
        if not data:
            raise InvalidInput("A router without bytes cannot be published.")
        row = RouterVersionRow(
            kind=kind, artifact=data, sha256=hashlib.sha256(data).hexdigest(), card=dict(card), run_id=run_id,
            created_at=self._clock(),
        )  # fmt: skip
        with self._database.write() as session:
            session.add(row)
            session.flush()
            return RouterVersion(row.id, kind, row.sha256, row.card, run_id, row.created_at)

    def activate(self, version: int | None, by: str, reason: str) -> None:
        """Let a version serve, or with None no router. Raises NotFound."""
        with self._database.write() as session:
            if version is not None and session.scalar(_versions().where(RouterVersionRow.id == version)) is None:
                raise _unknown(version)
            history = _served(session)
            if (history[-1] if history else None) != version:
                self._append(session, version, by, reason, rollback=False)

    def rollback(self, by: str, reason: str) -> None:
        """Let that serve again which served before; repeated, it goes further back. Raises NotFound at the first."""
        with self._database.write() as session:
            history = _served(session)
            if len(history) < 2:
                raise NotFound("No other router served before this one; nothing was changed.")
            self._append(session, history[-2], by, reason, rollback=True)

    def active(self) -> RouterVersion | None:
        """What serves now, without its bytes; None before the first activation."""
        latest = select(RouterActivationRow.version_id).order_by(RouterActivationRow.id.desc()).limit(1)
        with self._database.read() as session:
            row = session.scalar(_versions().where(RouterVersionRow.id == latest.scalar_subquery()))
        return _value(row) if row else None

    def load(self, version: int) -> bytes:
        """The bytes of a version, proven by their SHA-256. Raises NotFound and CorruptArtifact."""
        stored = select(RouterVersionRow.artifact, RouterVersionRow.sha256).where(RouterVersionRow.id == version)
        with self._database.read() as session:
            row = session.execute(stored).one_or_none()
        if row is None:
            raise _unknown(version)
        data, sha256 = row
        if hashlib.sha256(data).hexdigest() != sha256:
            raise CorruptArtifact(
                f"Router version {version} is damaged in the database (its SHA-256 differs) and was not loaded. "
                "Ratings and other versions are untouched: roll back to another version, or train again."
            )
        return bytes(data)

    def versions(self) -> list[RouterVersion]:
        """Every published version, newest first, without bytes."""
        with self._database.read() as session:
            return [_value(row) for row in session.scalars(_versions().order_by(RouterVersionRow.id.desc()))]

    def record_decision(
        self,
        user: UserId,
        query: Query,
        llm: LLMId,
        probabilities: Mapping[LLMId, float],
        *,
        version: int | None,
        propensity: float,
        history_count: int,
        source: str,
        alpha: float | None = None,
    ) -> str:
        """Keep what was routed where, and name it; an unknown user or query becomes null. Raises NotFound for an
        unknown LLM.
        """
        decided = Decided(
            user, query.query_id, llm, probabilities, version, propensity, history_count, source, alpha
        )  # fmt: skip
        Decisions(self._database, self._clock).keep([decided])
        return decided.key

    def _append(self, session: Session, version: int | None, by: str, reason: str, *, rollback: bool) -> None:
        now = self._clock()
        row = RouterActivationRow(version_id=version, rollback=rollback, by=by, reason=reason, at=now)
        session.add(row)
        note(session, now, by, "rollback_router" if rollback else "activate_router", str(version or "none"))


def _versions() -> Select[RouterVersionRow]:
    return select(RouterVersionRow)  # its bytes are deferred


def _value(row: RouterVersionRow) -> RouterVersion:
    return RouterVersion(row.id, row.kind, row.sha256, row.card, row.run_id, row.created_at)


def _served(session: Session) -> list[int | None]:
    """What served, oldest first, without what was rolled back: a rollback goes to the last but one."""
    served: list[int | None] = []
    rows = select(RouterActivationRow.version_id, RouterActivationRow.rollback).order_by(RouterActivationRow.id)
    for version, rollback in session.execute(rows):
        if rollback:
            served.pop()
        else:
            served.append(version)
    return served


def _unknown(version: int) -> NotFound:
    return NotFound(f"There is no router version {version}.")
