import os
import sqlite3
import subprocess
import sys
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.errors import DatabaseUnavailable, InvalidInput, NewerDatabase
from core.settings import ROOT
from db.engine import Database
from db.models import TaskRow
from db.schema import revisions
from tests.db.worlds import at_once


def tasks(database):
    with database.read() as session:
        return session.query(TaskRow).count()


def add_task(database, name="t"):
    with database.write() as session:
        session.add(TaskRow(name=name))


def test_four_processes_may_open_an_empty_database_at_once(empty_url):
    url = empty_url()
    program = "import sys; from db.engine import Database; Database.open(sys.argv[1]).dispose()"
    started = [subprocess.Popen([sys.executable, "-c", program, url], cwd=ROOT) for _ in range(4)]
    assert [process.wait(60) for process in started] == [0, 0, 0, 0]
    database = Database.open(url, migrate=False)
    assert tasks(database) == 0
    database.dispose()


def test_threads_may_open_an_empty_database_at_once(empty_url):
    url = empty_url()
    opened = at_once(4, lambda _: Database.open(url))
    assert all(isinstance(database, Database) for database in opened)
    for database in opened:
        database.dispose()


def test_a_database_of_a_newer_release_is_refused_and_left_alone(empty_url):
    url = empty_url()
    database = Database.open(url)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'from-2031'"))
    for migrate in (True, False):
        with pytest.raises(NewerDatabase, match=r"newer release.*from-2031.*nothing was changed.*restore a backup"):
            Database.open(url, migrate=migrate)
    with database.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "from-2031"
    database.dispose()


def test_without_migrate_an_empty_database_is_refused_and_stays_empty(empty_url):
    url = empty_url()
    with pytest.raises(DatabaseUnavailable, match=f"revision none and this code needs {revisions()[-1]}"):
        Database.open(url, migrate=False)


def test_a_reader_cannot_write(database):
    with database.read() as session, pytest.raises(DBAPIError, match=r"(?i)read-?only"):
        session.execute(text("INSERT INTO tasks (name, description) VALUES ('a', '')"))
    add_task(database)
    assert tasks(database) == 1


def test_a_reader_sees_one_state_of_the_database(database):
    with database.read() as session:
        before = session.query(TaskRow).count()
        add_task(database)
        assert session.query(TaskRow).count() == before
    assert tasks(database) == before + 1


def test_what_raises_leaves_nothing(database):
    def break_off():
        with database.write() as session:
            session.add(TaskRow(name="t"))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert tasks(database) == 0


def test_no_update_is_lost_between_threads(database):
    add_task(database, "0")

    def increment(_):
        for _ in range(5):
            with database.write() as session:
                row = session.query(TaskRow).with_for_update().one()
                row.name = str(int(row.name) + 1)

    assert at_once(10, increment) == [None] * 10
    with database.read() as session:
        assert session.query(TaskRow).one().name == "50"


def test_a_busy_database_says_that_nothing_was_saved(empty_url):
    url = empty_url()
    holder, writer = Database.open(url), Database.open(url, patience=0.2)
    with holder.write() as session:
        session.add(TaskRow(name="t"))
        session.flush()
        with pytest.raises(DatabaseUnavailable, match=r"busy.*not saved.*try again"):
            add_task(writer)
    add_task(writer, "u")
    for database in (holder, writer):
        database.dispose()


def test_threads_of_one_process_are_told_so_too(tmp_path):
    database = Database.open(f"sqlite:///{tmp_path / 'a.db'}", patience=0.2)
    with database.write():
        result = at_once(1, lambda _: add_task(database))
    assert isinstance(result[0], DatabaseUnavailable)
    database.dispose()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_child_writes_with_connections_of_its_own(database):
    add_task(database, "parent")
    with database.read() as session:
        session.query(TaskRow).count()
        child = os.fork()
        if child == 0:
            try:
                add_task(database, "child")
            except BaseException:  # noqa: BLE001  a child must not go on as pytest
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        session.rollback()
    add_task(database, "parent again")
    assert tasks(database) == 3


def test_sqlite_is_set_up_for_many_writers(tmp_path):
    database = Database.open(f"sqlite:///{tmp_path / 'a' / 'b' / 'c.db'}")
    with database.read() as session:
        wanted = {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 30_000}
        assert {name: session.scalar(text(f"PRAGMA {name}")) for name in wanted} == wanted
    database.dispose()


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    file = tmp_path / "notes.db"
    file.write_text("Dear diary, " * 1000)
    with pytest.raises(DatabaseUnavailable, match="no SQLite database and was not touched"):
        Database.open(f"sqlite:///{file}")
    assert file.read_text().startswith("Dear diary")


def test_a_folder_that_cannot_be_made_is_named_without_its_path(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.db", tmp_path):
        with pytest.raises(DatabaseUnavailable, match="cannot be opened") as error:
            Database.open(f"sqlite:///{path}")
        assert str(tmp_path) not in str(error.value)


def test_an_absent_server_is_named_without_the_password():
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1 cannot be reached") as error:
        Database.open("postgresql://app:hunter2@127.0.0.1:1/app")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("url", ["nonsense:hunter2", "", "mysql://u:hunter2@h/d", "sqlite://", "sqlite:///:memory:"])
def test_an_address_of_no_use_is_refused_without_repeating_it(url):
    with pytest.raises(InvalidInput, match="DATABASE_URL") as error:
        Database.open(url)
    assert "hunter2" not in str(error.value)


def test_our_own_mistakes_are_not_called_an_unavailable_database(database):
    with pytest.raises(DBAPIError), database.read() as session:
        session.execute(text("SELECT locked FROM nowhere"))


def test_an_older_connection_mode_of_the_file_is_waited_for(tmp_path):
    path = tmp_path / "a.db"
    blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    blocker.execute("CREATE TABLE other (x)")
    blocker.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(0.3, lambda: blocker.execute("COMMIT"))
    timer.start()
    database = Database.open(f"sqlite:///{path}")
    timer.join()
    assert tasks(database) == 0
    blocker.close()
    database.dispose()
