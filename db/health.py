"""How the database is, and a copy of it."""

import shutil
import sqlite3
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select, text

from core.errors import DatabaseUnavailable, InvalidInput
from core.settings import ROOT
from db.audit import note
from db.base import utc_now
from db.engine import Database
from db.models import AuditEventRow, ComparisonRow, RunStatus, TrainingRunRow
from db.schema import revisions


@dataclass(frozen=True, slots=True)
class Health:
    """What an operator asks first. Sizes in bytes; None where it does not apply or never happened."""

    kind: str
    journal: str | None
    size: int
    free_disk: int | None
    revision: str
    last_rating: datetime | None
    last_backup: datetime | None
    waiting_runs: int


def health(database: Database) -> Health:
    """The state of things now, in a few statements."""
    sqlite = database.dialect == "sqlite"
    size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    with database.read() as session:
        return Health(
            kind="SQLite" if sqlite else "PostgreSQL",
            journal=str(session.scalar(text("PRAGMA journal_mode"))).upper() if sqlite else None,
            size=int(session.scalar(text(size if sqlite else "SELECT pg_database_size(current_database())")) or 0),
            free_disk=shutil.disk_usage(_file(database).parent).free if sqlite else None,
            revision=revisions()[-1],
            last_rating=session.scalar(select(func.max(ComparisonRow.recorded_at))),
            last_backup=session.scalar(select(func.max(AuditEventRow.at)).where(AuditEventRow.action == "backup")),
            waiting_runs=session.scalar(
                select(func.count()).where(TrainingRunRow.status.in_([RunStatus.QUEUED, RunStatus.RUNNING]))
            ) or 0,
        )  # fmt: skip


def back_up(database: Database, path: Path, *, by: str) -> int:
    """Copy the whole database to a new file while others go on working; its size in bytes.

    SQLite: a database file of one moment, by SQLite's online backup. PostgreSQL: `pg_dump`'s custom format. Written
    beside its place and renamed when whole. Raises InvalidInput where something is there already, DatabaseUnavailable
    where it cannot be written.
    """
    if path.exists():
        raise InvalidInput(f"'{path.name}' is there already and was left alone. Name another file.")
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (_copy_sqlite if database.dialect == "sqlite" else _dump_postgres)(database, unfinished)
        unfinished.rename(path)
    except (OSError, sqlite3.Error, subprocess.CalledProcessError) as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise DatabaseUnavailable(
            "The backup could not be written; the database is as it was. Check the disk"
            + (", and that pg_dump of the server's version is installed." if database.dialect != "sqlite" else ".")
        ) from error
    with database.write() as session:
        note(session, utc_now(), by, "backup", path.name, bytes=path.stat().st_size)
    return path.stat().st_size


def backup_folder(database: Database) -> Path:
    """Where the app puts its backups: beside the SQLite file, else under data/."""
    return (_file(database).parent if database.dialect == "sqlite" else ROOT / "data") / "backups"


def _file(database: Database) -> Path:
    return Path(str(database.address.database)).resolve()


def _copy_sqlite(database: Database, path: Path) -> None:
    source, copy = sqlite3.connect(_file(database)), sqlite3.connect(path)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()


def _dump_postgres(database: Database, path: Path) -> None:
    address = database.address
    # The password goes by environment: arguments of a process are read by everyone on the machine.
    environment = {"PGPASSWORD": address.password or "", "PATH": "/usr/bin:/usr/local/bin:/bin"}
    where = ["-h", address.host or "", "-p", str(address.port or 5432), "-U", address.username or ""]
    subprocess.run(  # noqa: S603 - no shell, and the address is the operator's own
        ["pg_dump", "-Fc", "-f", str(path), *where, str(address.database)],  # noqa: S607 - found on that PATH
        check=True, capture_output=True, env=environment,
    )  # fmt: skip
