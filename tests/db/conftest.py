"""Every test of the store runs on SQLite and on PostgreSQL, each with an empty database."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session

from core.domain import UserId
from db.base import Base
from db.engine import Database
from db.models import CampaignRow
from db.people import People
from db.preferences import PreferenceStore
from tests.db.worlds import NOON, Clock, world

KINDS = [pytest.param("sqlite"), pytest.param("postgresql", marks=pytest.mark.postgres)]


def new_postgres(server: str) -> str:
    """The URL of a database nobody has used."""
    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def shared_postgres(postgres_url) -> Iterator[Database]:
    """Migrated once; each test gets it emptied, which takes a tenth of the time of a new one."""
    database = Database.open(new_postgres(postgres_url), patience=20)
    yield database
    database.dispose()


def empty(session: Session) -> None:
    """Take out what the last test left, and count from 1 again; to TRUNCATE every table takes ten times as long."""
    names = [table.name for table in Base.metadata.sorted_tables]
    asks = [f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in names]  # noqa: S608  our own names
    filled = session.scalars(text(" UNION ALL ".join(asks))).all()
    session.execute(text("SET LOCAL session_replication_role = replica"))  # no trigger, no order of keys
    for name in filled:
        session.execute(text(f"DELETE FROM {name}"))  # noqa: S608
    session.execute(text("SET LOCAL session_replication_role = origin"))
    again = "SELECT setval(sequencename::regclass, 1, false) FROM pg_sequences WHERE last_value IS NOT NULL"
    session.execute(text(again))


@pytest.fixture(params=KINDS)
def empty_url(request, tmp_path) -> Callable[[], str]:
    """Gives addresses of databases that hold nothing, not even tables."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path / uuid.uuid4().hex / 'test.db'}"
    server = request.getfixturevalue("postgres_url")
    return lambda: new_postgres(server)


@pytest.fixture(params=KINDS)
def database(request, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_world"), tmp_path / "test.db")
        database = Database.open(f"sqlite:///{tmp_path / 'test.db'}", patience=20)
        yield database
        database.dispose()
        return
    database = request.getfixturevalue("shared_postgres")
    with database.write() as session:
        empty(session)
        session.add(CampaignRow(name="Everything", tasks=[], criteria=[], created_at=NOON))  # as the migration does
    yield database


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database, clock) -> PreferenceStore:
    """Three queries answered by three LLMs, and nobody has rated yet."""
    store = PreferenceStore(database, clock)
    store.add_bundle(world())
    return store


@pytest.fixture
def ada(database, clock) -> UserId:
    return People(database, clock).sign_in("Ada").name
