"""Bringing a database's tables to this code's revision, once, whoever of several processes comes first.

There is no downgrade: an older schema cannot hold what the newer one stored, so going back would delete people's work.
The way back is the backup taken before the upgrade.
"""

import threading
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError

from core.errors import NewerDatabase

_FOLDER = Path(__file__).resolve().parent / "migrations"
_LOCK = 0x507265665274  # "PrefRt": what several processes agree to lock on PostgreSQL

_ALEMBIC = threading.Lock()  # its context is one global of the process


@cache
def revisions() -> tuple[str, ...]:
    """Every revision this code knows, oldest first: each is the number its file begins with."""
    return tuple(sorted(path.name[:4] for path in (_FOLDER / "versions").glob("[0-9]*.py")))


def stored_revision(connection: Connection) -> str | None:
    """The revision of the tables there, None of an empty database. Raises NewerDatabase for an unknown one."""
    there = inspect(connection).has_table("alembic_version")
    stored = connection.scalar(text("SELECT version_num FROM alembic_version")) if there else None
    if stored is not None and stored not in revisions():
        raise NewerDatabase(
            f"The database was written by a newer release of PrefRoute (its revision is {stored}) and nothing was "
            "changed. Upgrade the code, or restore a backup taken before the upgrade."
        )
    return stored


def upgrade(connection: Connection, to: str = "head") -> None:
    """Migrate within the transaction open on this connection: all or nothing. Waits for a process doing the same."""
    from alembic import (
        command,
    )  # takes as long to import as the app's own code, and most starts have nothing to migrate
    from alembic.config import Config

    if connection.dialect.name == "postgresql":  # on SQLite the transaction itself, BEGIN IMMEDIATE, is the lock
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    stored_revision(connection)
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    with _ALEMBIC:
        command.upgrade(config, to)
    _check_references(connection)


def _check_references(connection: Connection) -> None:
    """Rebuilding a table on SQLite needs its foreign keys off, so that they are proven afterwards."""
    if connection.dialect.name != "sqlite":
        return
    broken = connection.execute(text("PRAGMA foreign_key_check")).first()
    if broken:
        raise IntegrityError(
            "migration", None, RuntimeError(f"{broken[0]} row {broken[1]} refers to nothing in {broken[2]}")
        )
