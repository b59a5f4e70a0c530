import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

import db.models  # noqa: F401  registers the tables
from db.base import Base
from db.engine import Database, _address, _make_folder
from db.models import TaskRow
from db.schema import _FOLDER, revisions, stored_revision, upgrade

# What SQLAlchemy's own comparison does not look at: constraints, conditions of indexes, triggers and their functions.
SQLITE = ["SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name NOT LIKE 'alembic%'"]
POSTGRES = [
    """SELECT table_name, column_name, data_type, is_nullable, character_maximum_length, column_default
       FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'""",
    """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
       WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'""",
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
    "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
]


def described(connection):
    """Everything the database knows of its schema, free of white space, of quotes (which SQLite adds to the name of a
    table that was rebuilt) and of the order of lines.
    """
    queries = SQLITE if connection.dialect.name == "sqlite" else POSTGRES
    rows = [row for query in queries for row in connection.execute(text(query))]
    return sorted(tuple(_unordered(cell) for cell in row) for row in rows)


def _unordered(cell):
    lines = re.split(r",\s*\n", cell) if isinstance(cell, str) else [str(cell)]
    return ", ".join(sorted(re.sub(r"[\s()\"]+", " ", line).strip() for line in lines))


@pytest.fixture
def connect(empty_url):
    """Gives connections to new, empty databases."""
    opened = []

    def connection():
        address = _address(empty_url())
        _make_folder(address)
        opened.append(create_engine(address))
        return opened[-1].connect()

    yield connection
    for engine in opened:
        engine.dispose()


def test_migrated_tables_are_those_of_the_models(connect):
    with connect() as migrated, connect() as created:
        upgrade(migrated)
        Base.metadata.create_all(created)
        context = MigrationContext.configure(migrated, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert described(migrated) == described(created)
        assert any("comparisons_append_only" in str(row) for row in described(created))
        assert any("uq_assignments_one_open" in str(row) for row in described(created))


def test_the_numbers_of_the_files_are_the_revisions_in_their_order():
    scripts = ScriptDirectory(str(_FOLDER)).walk_revisions()
    assert revisions() == tuple(script.revision for script in reversed(list(scripts)))


@pytest.mark.parametrize("start", [None, *revisions()])
def test_every_revision_leads_to_the_newest(connect, start):
    with connect() as connection:
        if start:
            upgrade(connection, start)
        assert stored_revision(connection) == start
        upgrade(connection)
        assert stored_revision(connection) == revisions()[-1]


def test_opening_again_changes_nothing_and_keeps_the_rows(empty_url):
    url = empty_url()
    first = Database.open(url)
    with first.write() as session:
        session.add(TaskRow(name="kept"))
    first.dispose()
    second = Database.open(url)
    with second.read() as session:
        assert session.query(TaskRow).one().name == "kept"
    second.dispose()


def test_enums_are_stored_by_value_and_nothing_else_is_taken(database):
    values = "(name, role, simulated, source, created_at) VALUES ('{}', '{}', {}, 'app', '2026-01-01')"
    with database.write() as session:
        no = "0" if database.dialect == "sqlite" else "false"
        session.execute(text(f"INSERT INTO users {values.format('a', 'analyst', no)}"))
    with pytest.raises(DBAPIError), database.write() as session:
        session.execute(text(f"INSERT INTO users {values.format('b', 'ANALYST', no)}"))
