"""ApiKeys: which programs may use the endpoint, for what, and how often."""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, select

from core.domain import MAX_NAME
from core.errors import InvalidInput, NotFound
from db.audit import note
from db.base import table, utc_now
from db.engine import Database
from db.models import ApiKeyRow

PREFIX = "pr-"
HINT = 8  # characters of a key that stay readable: enough to find it, far too few to guess it
MOST_PER_MINUTE = 1_000_000


class Scope(StrEnum):
    """What a key is for."""

    ROUTE = "route"  # decisions, and the list of what can be asked
    CHAT = "chat"  # answers, which may cost money
    FEEDBACK = "feedback"  # ratings in people's names


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without the key."""

    id: int
    name: str
    hint: str
    scopes: tuple[Scope, ...]
    per_minute: int
    created_by: str
    created_at: datetime
    revoked_at: datetime | None


class ApiKeys:
    """The keys of one database. A key is shown once, when it is made; only its hash is kept."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database, self._clock = database, clock

    def create(self, name: str, scopes: Sequence[str], per_minute: int, by: str) -> tuple[str, ApiKey]:
        """A new key, as text and as it is listed. Raises InvalidInput: a name taken, no scope, a limit below 1."""
        name = " ".join(name.split())
        if not name or len(name) > MAX_NAME:
            raise InvalidInput(f"A key needs a name of at most {MAX_NAME} characters. No key was made.")
        unknown = sorted(set(scopes) - set(Scope))
        if unknown or not scopes:
            raise InvalidInput(f"A key is for one or more of {', '.join(Scope)}. No key was made.")
        if not 1 <= per_minute <= MOST_PER_MINUTE:
            raise InvalidInput(f"A key's limit is 1 to {MOST_PER_MINUTE:,} requests a minute. No key was made.")
        key = PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        with self._database.write() as session:
            if session.scalar(select(ApiKeyRow.id).where(ApiKeyRow.name == name)):
                raise InvalidInput(f"There is a key called '{name}' already. Choose another name. No key was made.")
            row = ApiKeyRow(
                name=name, key_hash=_hash(key), hint=key[:HINT], scopes=[s for s in Scope if s in set(scopes)],
                per_minute=per_minute, created_by=by, created_at=now,
            )  # fmt: skip
            session.add(row)
            session.flush()
            note(session, now, by, "create_key", name, scopes=list(row.scopes), per_minute=per_minute)
            return key, _value(row)

    def list(self) -> list[ApiKey]:
        """Every key, newest first, revoked ones too."""
        with self._database.read() as session:
            return [_value(row) for row in session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.id.desc()))]

    def revoke(self, name: str, by: str) -> None:
        """Let a key open nothing from the next request on. One that is revoked stays so. Raises NotFound."""
        now = self._clock()
        with self._database.write() as session:
            row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.name == name).with_for_update())
            if row is None:
                raise NotFound(f"There is no key called '{name}'.")
            if row.revoked_at is None:
                row.revoked_at = now
                note(session, now, by, "revoke_key", name)

    def find(self, key: str) -> ApiKey | None:
        """The key of this text; None where there is none or it is revoked."""
        return self.find_all([key])[0]

    def find_all(self, keys: Sequence[str]) -> tuple[ApiKey | None, ...]:
        """`find` for several at once, in their order."""
        hashes = [_hash(key) for key in keys]
        with self._database.glance() as connection:
            found = {row.key_hash: _value(row) for row in connection.execute(_OPEN, {"hashes": list(set(hashes))})}
        return tuple(found.get(each) for each in hashes)


def _hash(key: str) -> str:
    # 256 random bits: a fast hash cannot be searched backwards, and a slow one would be paid at every request.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


_KEYS = table(ApiKeyRow)
_OPEN = select(_KEYS).where(_KEYS.c.key_hash.in_(bindparam("hashes", expanding=True)), _KEYS.c.revoked_at.is_(None))


def _value(row: Any) -> ApiKey:
    scopes = tuple(Scope(scope) for scope in row.scopes)
    return ApiKey(
        row.id, row.name, row.hint, scopes, row.per_minute, row.created_by, row.created_at, row.revoked_at
    )  # fmt: skip
