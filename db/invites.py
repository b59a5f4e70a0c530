"""Invites: links that let people in where a name alone is not enough. Shown once; only the hash is kept."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.domain import User, UserId
from core.errors import InvalidInput, NotFound
from db.audit import note
from db.base import insert_missing, utc_now
from db.engine import Database
from db.events import APP
from db.models import AuditEventRow, InviteRow, Role, UserRow
from db.people import Person, as_person, has_admin

# The same for an unknown, an expired and a used link: whoever tries links learns nothing from the answer.
NO_LONGER = "This link no longer works. Ask the person who sent it."
TRIES_A_MINUTE = 10
SETUP = "setup"  # who makes the first administrator's link
SETUP_DAYS = 7
MOST_DAYS, MOST_USES = 365, 1000


@dataclass(frozen=True, slots=True)
class Invite:
    """A link as an administrator sees it: never the link itself."""

    id: int
    role: Role
    person: UserId | None
    uses_left: int
    created_by: str
    created_at: datetime
    expires_at: datetime


class Invites:
    """The invites of one database."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    def create(self, role: Role, *, uses: int, days: int, by: str, person: UserId | None = None) -> str:
        """A new link's token, to be shown once. With `person` it signs that one in on another browser, whatever `role`.

        Raises InvalidInput for numbers out of range, NotFound for a person who is not here.
        """
        if not 1 <= uses <= MOST_USES or not 1 <= days <= MOST_DAYS:
            raise InvalidInput(f"An invite has 1 to {MOST_USES} uses and lasts 1 to {MOST_DAYS} days.")
        now, token = self._clock(), secrets.token_urlsafe(24)
        with self._database.write() as session:
            owner = _known(session, person) if person else None
            row = InviteRow(
                token_hash=_hash(token), role=owner.role if owner else role, user_id=owner.id if owner else None,
                uses_left=uses, created_by=by, created_at=now, expires_at=now + timedelta(days=days),
            )  # fmt: skip
            session.add(row)
            session.flush()
            note(session, now, by, "invite", str(row.id), role=row.role, uses=uses, days=days)
        return token

    def setup(self) -> str | None:
        """A link for the first administrator where there is none, and None where there is; older such links end."""
        now = self._clock()
        with self._database.write() as session:
            if has_admin(session):
                return None
            for row in session.scalars(select(InviteRow).where(InviteRow.created_by == SETUP)):
                row.revoked_at = row.revoked_at or now
        return self.create(Role.ADMIN, uses=1, days=SETUP_DAYS, by=SETUP)

    def redeem(self, token: str, name: str, *, address: str) -> Person:
        """Let someone in: as a new person called `name`, or as the one whom the link names (then `name` is not read).

        Raises InvalidInput: for a link that does not work, for too many tries from one `address` in a minute (only a
        hash of it is kept), and for a name that cannot be or is taken, after which the link still works.
        """
        now, subject = self._clock(), _hash(address)[:16]
        with self._database.write() as session:
            tried = (AuditEventRow.action == "invite_refused", AuditEventRow.at > now - timedelta(minutes=1))
            tries = session.scalar(select(func.count()).where(*tried, AuditEventRow.subject == subject)) or 0
            row = session.scalar(select(InviteRow).where(InviteRow.token_hash == _hash(token)).with_for_update())
            works = row is not None and row.uses_left > 0 and row.revoked_at is None and row.expires_at > now
            if row is not None and works and tries < TRIES_A_MINUTE:
                person = _owner(session, row, now) if row.user_id else _newcomer(session, row.role, name, now)
                row.uses_left -= 1
                note(session, now, person.name, "join", str(row.id), role=person.role)
                return as_person(person)
            note(session, now, "someone", "invite_refused", subject)
        if tries >= TRIES_A_MINUTE:
            raise InvalidInput("Too many tries from here. Wait a minute, then open the link again.")
        raise InvalidInput(NO_LONGER)

    def names_person(self, token: str) -> bool:
        """Whether this link signs in someone who is here already, so that no name need be asked for."""
        with self._database.read() as session:
            row = session.scalar(select(InviteRow).where(InviteRow.token_hash == _hash(token)))
            return row is not None and row.user_id is not None

    def list(self) -> list[Invite]:
        """Links that still work, newest first."""
        statement = (
            select(InviteRow, UserRow.name)
            .outerjoin(UserRow, UserRow.id == InviteRow.user_id)
            .where(InviteRow.revoked_at.is_(None), InviteRow.uses_left > 0, InviteRow.expires_at > self._clock())
            .order_by(InviteRow.id.desc())
        )
        with self._database.read() as session:
            return [
                Invite(row.id, row.role, UserId(name) if name else None, row.uses_left, row.created_by, row.created_at,
                       row.expires_at)
                for row, name in session.execute(statement)
            ]  # fmt: skip

    def revoke(self, invite: int, *, by: str) -> None:
        """End a link. One that ended already stays as it is. Raises NotFound."""
        now = self._clock()
        with self._database.write() as session:
            row = session.get(InviteRow, invite)
            if row is None:
                raise NotFound(f"There is no invite {invite}.")
            if row.revoked_at is None:
                row.revoked_at = now
                note(session, now, by, "revoke_invite", str(invite))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _known(session: Session, name: UserId) -> UserRow:
    row = session.scalar(select(UserRow).where(UserRow.name == name))
    if row is None or row.simulated:
        raise NotFound(f"There is no person '{name}' whom a link could sign in.")
    return row


def _owner(session: Session, invite: InviteRow, now: datetime) -> UserRow:
    row = session.get_one(UserRow, invite.user_id)
    row.last_seen_at = now
    return row


def _newcomer(session: Session, role: Role, name: str, now: datetime) -> UserRow:
    user = User(UserId(" ".join(name.split())))
    values = {"name": user.user_id, "role": role, "simulated": False, "source": APP, "created_at": now}
    made = insert_missing(session, UserRow).values(**values, last_seen_at=now).returning(UserRow.id)
    if session.scalar(made) is None:
        raise InvalidInput(f"The name '{user.user_id}' is taken here. Choose another; the link still works.")
    return session.scalars(select(UserRow).where(UserRow.name == user.user_id)).one()
