"""RouterRegistry: published routers as bytes with their hash and card, and which of them serves."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Update, select, update
from sqlalchemy.orm import Session

from core.domain import LLMId, Query, UserId
from core.errors import CorruptArtifact, InvalidInput, NotFound, PromotionRefused
from core.promotion import objection
from db.audit import note
from db.base import utc_now
from db.decisions import Decided, Decisions
from db.engine import Database
from db.models import RouterActivationRow, RouterVersionRow, TrainingRunRow

LONGEST_TEXT = 500  # of a reason or a note


@dataclass(frozen=True, slots=True)
class RouterVersion:
    """A published router without its bytes. `id` is the version number."""

    id: int
    kind: str
    sha256: str
    card: Mapping[str, Any]
    run_id: int | None
    created_at: datetime
    trained_by: str | None
    note: str
    archived_at: datetime | None


@dataclass(frozen=True, slots=True)
class Activation:
    """When a version (None: no router) was made to serve, by whom and why."""

    version: int | None
    rollback: bool
    by: str
    reason: str
    at: datetime


class RouterRegistry:
    """The routers of one database. Versions and activations are only ever added; a version may be put away."""

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
            return _value(row, session.scalar(select(TrainingRunRow.requested_by).where(TrainingRunRow.id == run_id)))

    def promote(self, version: int, by: str) -> None:
        """Let a version serve because its card shows that it is better than what serves now.

        Raises PromotionRefused with the figures where it does not, NotFound, and InvalidInput for an archived one.
        """
        with self._database.write() as session:
            row, history = self._available(session, version), _served(session)
            serving = history[-1] if history else None
            if serving == version:
                return
            if refused := objection(row.card, serving):
                raise PromotionRefused(refused)
            self._append(session, version, by, str(row.card["promotion"]["why"]), rollback=False)

    def activate(self, version: int | None, by: str, reason: str) -> None:
        """Let a version serve, or with None no router, whatever the gate says: for the reason that a person gives.

        Raises NotFound, and InvalidInput without a reason or for an archived version.
        """
        with self._database.write() as session:
            if version is not None:
                self._available(session, version)
            reason = reason.strip()
            if not reason or len(reason) > LONGEST_TEXT:
                raise InvalidInput(
                    f"Give a reason of 1 to {LONGEST_TEXT} characters; it is kept with your name. Nothing was changed."
                )
            history = _served(session)
            if (history[-1] if history else None) != version:
                self._append(session, version, by, reason, rollback=False, override=True)

    def rollback(self, by: str, reason: str) -> None:
        """Let that serve again which served before; repeated, it goes further back. Raises NotFound at the first."""
        with self._database.write() as session:
            history = _served(session)
            if len(history) < 2:
                raise NotFound("No other router served before this one; nothing was changed.")
            if history[-2] is not None:
                session.execute(_of(history[-2]).values(archived_at=None))
            self._append(session, history[-2], by, reason, rollback=True)

    def archive(self, version: int, by: str, *, archived: bool = True) -> None:
        """Put a version away, or fetch it back; its bytes and its card stay. Raises NotFound, and InvalidInput for the
        one in service.
        """
        with self._database.write() as session:
            history = _served(session)
            if archived and history and history[-1] == version:
                raise InvalidInput(
                    f"Version {version} is in service; put another in service first. Nothing was changed."
                )
            self._change(session, version, archived_at=self._clock() if archived else None)
            note(session, self._clock(), by, "archive_router" if archived else "restore_router", str(version))

    def describe(self, version: int, words: str, by: str) -> None:
        """Keep a note with a version. Raises NotFound, and InvalidInput where it is too long."""
        if len(words) > LONGEST_TEXT:
            raise InvalidInput(f"A note has at most {LONGEST_TEXT} characters, not {len(words)}. Nothing was changed.")
        with self._database.write() as session:
            self._change(session, version, note=words.strip())
            note(session, self._clock(), by, "describe_router", str(version))

    def previous(self) -> RouterVersion | None:
        """What a rollback would put in service; None where there is nothing to go back to, or that was no router."""
        with self._database.read() as session:
            history = _served(session)
            before = history[-2] if len(history) > 1 else None
            row = session.execute(_versions().where(RouterVersionRow.id == before)).one_or_none()
        return _value(*row) if row else None

    def activations(self, limit: int = 20) -> list[Activation]:
        """The newest changes of what serves, newest first."""
        it = RouterActivationRow
        statement = select(it.version_id, it.rollback, it.by, it.reason, it.at).order_by(it.id.desc()).limit(limit)
        with self._database.read() as session:
            return [Activation(*row) for row in session.execute(statement)]

    def active(self) -> RouterVersion | None:
        """What serves now, without its bytes; None before the first activation."""
        latest = select(RouterActivationRow.version_id).order_by(RouterActivationRow.id.desc()).limit(1)
        with self._database.read() as session:
            row = session.execute(_versions().where(RouterVersionRow.id == latest.scalar_subquery())).one_or_none()
        return _value(*row) if row else None

    def active_id(self) -> int | None:
        """The number of what serves now: what is asked at every decision."""
        latest = select(RouterActivationRow.version_id).order_by(RouterActivationRow.id.desc()).limit(1)
        with self._database.read() as session:
            return session.scalar(latest)

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

    def get(self, version: int) -> RouterVersion:
        """One version without its bytes. Raises NotFound."""
        with self._database.read() as session:
            row = session.execute(_versions().where(RouterVersionRow.id == version)).one_or_none()
        if row is None:
            raise _unknown(version)
        return _value(*row)

    def versions(self) -> list[RouterVersion]:
        """Every published version, archived ones too, newest first, without bytes."""
        with self._database.read() as session:
            return [_value(*row) for row in session.execute(_versions().order_by(RouterVersionRow.id.desc()))]

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

    def _available(self, session: Session, version: int) -> RouterVersionRow:
        row = session.scalar(select(RouterVersionRow).where(RouterVersionRow.id == version))
        if row is None:
            raise _unknown(version)
        if row.archived_at is not None:
            raise InvalidInput(f"Version {version} is archived; restore it first. Nothing was changed.")
        return row

    def _change(self, session: Session, version: int, **values: Any) -> None:
        if session.scalar(_of(version).values(**values).returning(RouterVersionRow.id)) is None:
            raise _unknown(version)

    def _append(
        self, session: Session, version: int | None, by: str, reason: str, *, rollback: bool, override: bool = False
    ) -> None:
        now = self._clock()
        row = RouterActivationRow(version_id=version, rollback=rollback, by=by, reason=reason, at=now)
        session.add(row)
        action = "rollback_router" if rollback else "override_gate" if override else "promote_router"
        note(session, now, by, action, str(version or "none"))


def _versions() -> Select[RouterVersionRow, str | None]:
    """Each version with who asked for its training; its bytes are deferred."""
    joined = RouterVersionRow.run_id == TrainingRunRow.id
    return select(RouterVersionRow, TrainingRunRow.requested_by).outerjoin(TrainingRunRow, joined)


def _of(version: int) -> Update:
    statement = update(RouterVersionRow).where(RouterVersionRow.id == version)
    return statement.execution_options(synchronize_session=False)


def _value(row: RouterVersionRow, trained_by: str | None) -> RouterVersion:
    return RouterVersion(
        row.id, row.kind, row.sha256, row.card, row.run_id, row.created_at, trained_by, row.note, row.archived_at
    )


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
