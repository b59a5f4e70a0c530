"""People: who is here, and which browser is whose. Sign-in is open: a name is enough."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from core.domain import User, UserId
from core.errors import InvalidInput, NotFound
from core.profile import Profile
from db import removal
from db.audit import note
from db.base import insert_missing, utc_now
from db.engine import Database
from db.events import APP, in_force_of_all
from db.models import BrowserSessionRow, ComparisonRow, ConsentRow, ProfileRow, Role, UserRow
from db.removal import ANONYMISED, LEFT, Erased


@dataclass(frozen=True, slots=True)
class Person:
    """A user as the pages need one."""

    id: int
    name: UserId
    role: Role
    simulated: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A person and how many of their ratings are in force."""

    person: Person
    ratings: int


class People:
    """The users of one database."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    def sign_in(self, name: str) -> Person:
        """Open mode: the person of this name, created as a rater where there is none. White space around it is dropped.

        Raises InvalidInput for an empty or overlong name and for a simulated user's.
        """
        user = User(UserId(" ".join(name.split())))
        now = self._clock()
        with self._database.write() as session:
            values = {"name": user.user_id, "role": Role.RATER, "simulated": False, "source": APP, "created_at": now}
            session.execute(insert_missing(session, UserRow), values)
            row = _row(session, user.user_id)
            if row.simulated:
                raise InvalidInput(
                    f"'{row.name}' is a simulated user, whose ratings were made by a program; choose another name."
                )
            if row.source == ANONYMISED:
                raise InvalidInput(f"'{row.name}' stands for someone who left; choose another name.")
            row.last_seen_at = now
            note(session, now, row.name, "sign_in", row.name)
            return as_person(row)

    def get(self, name: UserId) -> Person:
        """The user of this name, simulated ones too. Raises NotFound."""
        with self._database.read() as session:
            return as_person(_row(session, name))

    def set_role(self, name: UserId, role: Role, *, by: str) -> None:
        """Give a person another role. Raises NotFound, and InvalidInput where nobody would be left to administer."""
        with self._database.write() as session:
            row = _row(session, name)
            if row.role == Role.ADMIN != role and _admins(session) == 1:
                raise InvalidInput(f"'{name}' is the last administrator and stays one. Make someone else one first.")
            note(session, self._clock(), by, "set_role", row.name, before=row.role, after=role)
            row.role = role

    def list(self, *, simulated: bool | None = None) -> list[Listed]:
        """Everybody by name with their number of ratings; with `simulated` only those who are, or are not."""
        ratings = func.count(ComparisonRow.id)
        joined = (ComparisonRow.user_id == UserRow.id) & in_force_of_all()
        statement = (
            select(UserRow, ratings).outerjoin(ComparisonRow, joined).group_by(UserRow.id).order_by(UserRow.name)
        )
        if simulated is not None:
            statement = statement.where(UserRow.simulated == simulated)
        with self._database.read() as session:
            return [Listed(as_person(row), count) for row, count in session.execute(statement)]

    def remember(self, token: str, person: Person) -> None:
        """Let this browser be that person from now on. Only the token's hash is stored."""
        now = self._clock()
        with self._database.write() as session:
            session.execute(delete(BrowserSessionRow).where(BrowserSessionRow.token_hash == _hash(token)))
            session.add(BrowserSessionRow(token_hash=_hash(token), user_id=person.id, created_at=now, last_seen_at=now))

    def recall(self, token: str) -> Person | None:
        """Who this browser is; None for an unknown or forgotten one."""
        with self._database.read() as session:
            row = session.scalar(_signed_in(token))
        return as_person(row) if row else None

    def forget(self, token: str) -> None:
        """Sign this browser out."""
        with self._database.write() as session:
            session.execute(delete(BrowserSessionRow).where(BrowserSessionRow.token_hash == _hash(token)))

    def agree(self, name: UserId, version: int) -> None:
        """Keep that a person agreed to this version of the consent text. Raises NotFound."""
        now = self._clock()
        with self._database.write() as session:
            person = _row(session, name)
            row = session.get(ConsentRow, (person.id, version))
            if row is None:
                session.add(ConsentRow(user_id=person.id, version=version, agreed_at=now))
            elif row.withdrawn_at is not None:
                row.agreed_at, row.withdrawn_at = now, None
            else:
                return
            note(session, now, name, "consent", str(version))

    def has_agreed(self, name: UserId, version: int) -> bool:
        """Whether a person's agreement to this version stands."""
        mine = select(ConsentRow).join(UserRow, UserRow.id == ConsentRow.user_id)
        standing = (UserRow.name == name, ConsentRow.version == version, ConsentRow.withdrawn_at.is_(None))
        with self._database.read() as session:
            return session.scalar(mine.where(*standing)) is not None

    def withdraw_consent(self, name: UserId) -> None:
        """Take every agreement back: the person is asked again before the next rating; past ratings stay. Raises
        NotFound.
        """
        now = self._clock()
        with self._database.write() as session:
            person = _row(session, name)
            standing = (ConsentRow.user_id == person.id, ConsentRow.withdrawn_at.is_(None))
            for row in session.scalars(select(ConsentRow).where(*standing)):
                row.withdrawn_at = now
                note(session, now, name, "withdraw_consent", str(row.version))

    def profile(self, name: UserId) -> Profile | None:
        """What a person said of themselves; None where they were not asked yet."""
        mine = select(ProfileRow).join(UserRow, UserRow.id == ProfileRow.user_id).where(UserRow.name == name)
        with self._database.read() as session:
            row = session.scalar(mine)
            return Profile(row.mostly_for, row.how_often, row.likes_answers) if row else None

    def describe(self, name: UserId, profile: Profile) -> None:
        """Keep what a person says of themselves, in place of what they said before. Raises NotFound."""
        now = self._clock()
        with self._database.write() as session:
            person = _row(session, name)
            row = session.get(ProfileRow, person.id) or ProfileRow(user_id=person.id)
            for answer, said in asdict(profile).items():
                setattr(row, answer, said)
            row.answered_at = now
            session.add(row)

    def erase(self, name: UserId) -> Erased:
        """Delete a person and all that is theirs; that it happened is kept, without the name. Nothing for a stranger.

        Raises InvalidInput for a simulated user, who is removed with the source that brought them.
        """
        with self._database.write() as session:
            row = _leaving(session, name)
            if row is None:
                return Erased()
            erased = removal.erase(session, row)
            note(session, self._clock(), LEFT, "erase", "a person", **asdict(erased))
            return erased

    def anonymise(self, name: UserId) -> bool:
        """Leave a person's ratings under a random name that nothing leads back from; False for a stranger.

        Raises InvalidInput for a simulated user, and for a person of whom a file brought ratings.
        """
        with self._database.write() as session:
            row = _leaving(session, name)
            if row is None:
                return False
            removal.anonymise(session, row)
            note(session, self._clock(), LEFT, "anonymise", "a person")
            return True


def _leaving(session: Session, name: UserId) -> UserRow | None:
    # Held against rows that would refer to it, too: a sign-in or a rating under way waits, and then finds nobody.
    row = session.scalar(select(UserRow).where(UserRow.name == name).with_for_update())
    if row is not None and row.simulated:
        raise InvalidInput(f"'{name}' is a simulated user, who is removed with the source that brought them.")
    return row


def has_admin(session: Session) -> bool:
    """Whether anybody administers this PrefRoute."""
    return session.scalar(select(UserRow.id).where(UserRow.role == Role.ADMIN).limit(1)) is not None


def _admins(session: Session) -> int:
    """How many there are, held until the transaction ends: two who step down at once must not both succeed."""
    return len(session.scalars(select(UserRow.id).where(UserRow.role == Role.ADMIN).with_for_update()).all())


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _signed_in(token: str) -> Select[UserRow]:
    session = BrowserSessionRow
    return select(UserRow).join(session, session.user_id == UserRow.id).where(session.token_hash == _hash(token))


def _row(session: Session, name: UserId) -> UserRow:
    row = session.scalar(select(UserRow).where(UserRow.name == name))
    if row is None:
        raise NotFound(f"There is no user '{name}'.")
    return row


def as_person(row: UserRow) -> Person:
    """A row as the pages need it."""
    return Person(row.id, UserId(row.name), row.role, row.simulated)
