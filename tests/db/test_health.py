"""The state of the database, and its copy."""

import sqlite3
import subprocess

import pytest

from core.errors import DatabaseUnavailable, InvalidInput
from db.health import back_up, health
from db.schema import revisions
from tests.db.worlds import world


def test_health_names_the_database_its_size_and_its_revision(database, store):
    store.add_bundle(world(ratings=3))
    now = health(database)
    assert (now.kind, now.revision) == ("SQLite" if database.dialect == "sqlite" else "PostgreSQL", revisions()[-1])
    assert now.size > 10_000 and now.waiting_runs == 0 and now.last_backup is None and now.last_rating is not None
    assert (now.journal == "WAL") == (database.dialect == "sqlite")


def test_a_backup_holds_everything_and_never_overwrites(database, store, tmp_path):
    store.add_bundle(world(ratings=3))
    path = tmp_path / "backups" / "copy"
    if database.dialect == "postgresql" and subprocess.run(["which", "pg_dump"], check=False).returncode:
        with pytest.raises(DatabaseUnavailable, match="pg_dump"):
            back_up(database, path, by="test")
        return
    assert back_up(database, path, by="test") == path.stat().st_size > 0
    if database.dialect == "sqlite":
        with sqlite3.connect(path) as copy:
            assert copy.execute("SELECT count(*) FROM comparisons").fetchone() == (3,)
    else:
        assert path.read_bytes()[:5] == b"PGDMP"
    assert health(database).last_backup is not None
    with pytest.raises(InvalidInput, match="left alone"):
        back_up(database, path, by="test")


def test_a_backup_that_cannot_be_written_leaves_nothing_and_says_so(database, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DatabaseUnavailable, match="as it was"):
        back_up(database, tmp_path / "file" / "copy", by="test")
    assert health(database).last_backup is None
