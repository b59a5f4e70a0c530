"""Database: one SQLite file or one PostgreSQL server, opened once per process and shared by its threads."""

import json
import math
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy import exc as sql
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from core.errors import DatabaseUnavailable, InvalidInput
from db import longs
from db.schema import revisions, stored_revision, upgrade

_BUSY = "The database is busy and this was not saved. Nothing else changed; try again."
_UNOPENED = "The database file cannot be opened. Check that its folder exists and may be written to."
# sqlite3 has one exception for a full disk and a misspelt column: the former is for people, the latter is a bug.
_SQLITE_TROUBLE = {
    "is locked": _BUSY,
    "unable to open": _UNOPENED,
    "readonly database": "The database file may not be written to; nothing was saved. Check who may write to it.",
    "not a database": "The database file is no SQLite database and was not touched. Check DATABASE_URL.",
    "image is malformed": "The database file is damaged; nothing was saved. Restore the last backup.",
    "disk i/o error": "The database file cannot be read or written, so nothing was saved. Check the disk.",
    "disk is full": "The disk is full, so nothing was saved. Free some space and try again.",
}


class Database:
    """Gives short transactions, `read()` and `write()`. Safe to share between threads, and usable in a forked child."""

    def __init__(self, engine: Engine, reading: Engine, patience: float) -> None:
        """Use `Database.open`."""
        self._engine, self._engines = engine, {engine, reading}
        self._patience = patience
        self.dialect = engine.dialect.name
        # REPEATABLE READ gives PostgreSQL's readers what SQLite's have: one state for all statements.
        one_state = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = reading.execution_options(begin="BEGIN", **(one_state if self.dialect == "postgresql" else {}))
        self._writer = engine.execution_options(begin="BEGIN IMMEDIATE")
        self._turn = threading.Lock()
        _OPEN.add(self)

    @classmethod
    def open(cls, url: str, *, migrate: bool = True, patience: float = 30) -> "Database":
        """Open, and bring the tables to this code's revision; with `migrate=False` refuse another one instead.

        `patience` is how many seconds a writer waits for others. Raises InvalidInput for an address that is none,
        NewerDatabase, and DatabaseUnavailable; no message holds the address's password.
        """
        address = _address(url)
        _make_folder(address)
        with _translated(address):
            database = cls(*_engines(address, patience), patience)
            try:
                database._bring_up_to_date(migrate)
            except BaseException:
                database.dispose()
                raise
        return database

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one state of the database and refuses to write."""
        with _translated(self._engine.url), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def glance(self) -> Iterator[Connection]:
        """`read` for the few columns that every request asks for, without what a session around them costs: statements
        name columns of tables, not attributes of rows.
        """
        with _translated(self._engine.url), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self, *, long: bool = False) -> Iterator[Session]:
        """A transaction that commits at the end, or leaves nothing when the block raises. On SQLite all others wait:
        for `patience` seconds, or where it is announced as `long` until it ends, in this process and in others.
        """
        with (
            _translated(self._engine.url),
            self._in_turn(),
            longs.announced(self._engine.url) if long else nullcontext(),
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @property
    def address(self) -> URL:
        """Where it is. Holds the password, so it is for programs and never for the screen."""
        return self._engine.url

    def dispose(self) -> None:
        """Close the connections. The object stays usable: the next transaction opens new ones."""
        for engine in self._engines:
            engine.dispose()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        # SQLite's own waiting is a poll with growing pauses; threads of one process queue here and lose no time.
        if self.dialect != "sqlite":
            yield
            return
        while not self._turn.acquire(timeout=self._patience):
            if not longs.at_work(self._engine.url):
                raise DatabaseUnavailable(_BUSY)
        try:
            yield
        finally:
            self._turn.release()

    def _bring_up_to_date(self, migrate: bool) -> None:
        with self._reader.connect() as connection:
            stored = stored_revision(connection)
        if stored == revisions()[-1]:
            return
        if not migrate:
            raise DatabaseUnavailable(
                f"The database is at revision {stored or 'none'} and this code needs {revisions()[-1]}; "
                "nothing was changed. Start the app once, which upgrades it."
            )
        with self._writer.connect() as connection, _foreign_keys_off(connection), connection.begin():
            upgrade(connection)

    def after_fork(self) -> None:
        """Let go of the parent's connections. Every child of a fork does this by itself."""
        # They must neither be used nor closed here: kept alive, because collecting one would close it.
        for engine in self._engines:
            _INHERITED.append(engine.pool)
            engine.dispose(close=False)
        self._turn = threading.Lock()


_OPEN: "weakref.WeakSet[Database]" = weakref.WeakSet()
_INHERITED: list[Pool] = []


def _forget_inherited_connections() -> None:
    for database in list(_OPEN):
        database.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_forget_inherited_connections)


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except (sql.ArgumentError, ValueError):  # its message would hold the whole address, password included
        raise InvalidInput(
            "DATABASE_URL is not a database address. Use sqlite:///file.db or postgresql+psycopg://..."
        ) from None
    if address.drivername in ("postgres", "postgresql"):  # what hosting services hand out
        address = address.set(drivername="postgresql+psycopg")
    if address.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise InvalidInput(f"DATABASE_URL names '{address.drivername}'; only SQLite and PostgreSQL are supported.")
    if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
        raise InvalidInput("DATABASE_URL names no file; a database in memory would be lost with the process.")
    return address


def _make_folder(address: URL) -> None:
    if address.get_backend_name() != "sqlite":
        return
    try:
        Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailable(_UNOPENED) from error


def _engines(address: URL, patience: float) -> tuple[Engine, Engine]:
    """For writers and for readers. On SQLite each has connections of its own: to switch one between the two makes it
    prepare every statement anew, which takes longer than to run them.
    """
    # The connection used last comes first: it has the statements prepared and, of SQLite, the pages in memory.
    shared: dict[str, Any] = {
        "json_serializer": _json, "pool_size": 10, "max_overflow": 20, "pool_timeout": patience, "pool_use_lifo": True
    }  # fmt: skip
    if address.get_backend_name() == "sqlite":
        shared["connect_args"] = {"timeout": patience, "check_same_thread": False}
        engines = create_engine(address, **shared), create_engine(address, **shared)
        for engine, reads in zip(engines, (False, True), strict=True):
            event.listen(engine, "connect", _prepare_sqlite(patience, reads))
            event.listen(engine, "begin", _begin_sqlite)
        return engines
    engine = create_engine(address, pool_pre_ping=True, connect_args={"connect_timeout": 10}, **shared)
    event.listen(engine, "connect", _prepare_postgres(patience))
    return engine, engine


def _prepare_sqlite(patience: float, reads: bool) -> Any:
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would be a deferred one
        _turn_on_wal(connection, time.monotonic() + patience)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA query_only={'ON' if reads else 'OFF'}")
        try:
            connection.execute("SELECT ln(1)")
        except sqlite3.OperationalError:  # built without its mathematical functions
            connection.create_function("ln", 1, math.log, deterministic=True)

    return prepare


def _turn_on_wal(connection: sqlite3.Connection, deadline: float) -> None:
    """Once in a file's life, and SQLite does not wait here by itself: processes may open an empty file at once."""
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    begin = connection.get_execution_options().get("begin", "BEGIN")
    if begin == "BEGIN":
        driver: Any = connection.connection.driver_connection  # directly: this is done for every decision
        driver.execute(begin)
        return
    begun = False
    while not begun:
        try:
            connection.exec_driver_sql(begin)
            begun = True
        except sql.OperationalError as error:  # SQLite waited as long as it was told to
            if "locked" not in str(error.orig) or not longs.at_work(connection.engine.url):
                raise


def _prepare_postgres(patience: float) -> Any:
    def prepare(connection: Any, _record: object) -> None:
        connection.execute(f"SET lock_timeout = {int(patience * 1000)}")
        connection.commit()  # a SET is undone by the rollback with which a pool greets its connections

    return prepare


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """Of SQLite, which rebuilds a table by dropping it, and takes this switch only outside a transaction."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


@contextmanager
def _translated(address: URL) -> Iterator[None]:
    """What is wrong with the database, and not with us, becomes DatabaseUnavailable; the cause stays for the log."""
    try:
        yield
    except sql.TimeoutError as error:
        raise DatabaseUnavailable(_BUSY) from error
    except sql.DBAPIError as error:
        message = _trouble(error, address)
        if message is None:
            raise
        raise DatabaseUnavailable(message) from error


def _trouble(error: sql.DBAPIError, address: URL) -> str | None:
    """What to tell people, None where the error is ours."""
    if not isinstance(error, sql.OperationalError) and type(error) is not sql.DatabaseError:
        return None
    if address.get_backend_name() == "sqlite":
        said = str(error.orig).lower()
        return next((message for part, message in _SQLITE_TROUBLE.items() if part in said), None)
    if getattr(error.orig, "sqlstate", None) in ("55P03", "40P01", "40001"):  # lock timeout, deadlock, serialization
        return _BUSY
    where = address.host or "the local socket"
    return f"The database server at {where} cannot be reached or refused, so nothing was saved. Try again soon."


def _json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:  # PostgreSQL refuses NaN in JSON, which a diverged training's report may hold
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
