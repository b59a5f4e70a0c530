"""Every test of the store runs on SQLite and on PostgreSQL, each with an empty database."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

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
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
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
