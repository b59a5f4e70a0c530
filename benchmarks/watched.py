"""The app as `cli.py run` starts it, with its statements and rows counted: `python -m benchmarks.watched PORT`.

A second, local port tells and forgets what was spent since it was last asked. Only that thread and the counting are
added to what a user runs.
"""

import json
import runpy
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import Engine, event

from benchmarks.memory import PeakMemory
from core.settings import ROOT


class Spent:
    """What the process spent since `told`: CPU of all threads, statements sent, rows fetched, memory at its most."""

    def __init__(self) -> None:
        self.aside: frozenset[str] = frozenset()  # names of threads that do not count
        self._begin()

    def _begin(self) -> None:
        self._statements = self._rows = 0
        self._began, self._memory = time.process_time(), PeakMemory()

    def sent(self, statement: str) -> None:
        """A statement went to the database; those that only begin or configure do not count."""
        if threading.current_thread().name not in self.aside:
            self._statements += not statement.startswith(("BEGIN", "PRAGMA"))

    def fetched(self, rows: int) -> None:
        """Rows came from it."""
        if threading.current_thread().name not in self.aside:
            self._rows += rows

    def told(self) -> dict[str, Any]:
        """The figures, after which counting begins anew."""
        found = {
            "cpu_s": time.process_time() - self._began, "statements": self._statements, "rows": self._rows,
            "peak_mb": self._memory.most(),
        }  # fmt: skip
        self._begin()
        return found


SPENT = Spent()  # cursors are made by drivers, which know of nothing else to count in


class Counting:
    """A cursor that counts the rows it hands out; beside a driver's own class, whose methods do the work."""

    def fetchone(self) -> Any:
        """One row or None."""
        row = super().fetchone()  # type: ignore[misc]
        SPENT.fetched(row is not None)
        return row

    def fetchmany(self, *size: int) -> Any:
        """Some rows."""
        return self._counted(super().fetchmany(*size))  # type: ignore[misc]

    def fetchall(self) -> Any:
        """All that are left."""
        return self._counted(super().fetchall())  # type: ignore[misc]

    def __iter__(self) -> Iterator[Any]:
        """All that are left, one by one."""
        while (row := self.fetchone()) is not None:
            yield row

    def _counted(self, rows: list[Any]) -> list[Any]:
        SPENT.fetched(len(rows))
        return rows


class SqliteCursor(Counting, sqlite3.Cursor):  # type: ignore[misc]  # the driver's own types are narrower
    """Of SQLite."""


class SqliteConnection(sqlite3.Connection):
    """Gives counting cursors."""

    def cursor(self, *_: Any) -> Any:
        """One of them."""
        return super().cursor(SqliteCursor)


def _connecting(dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
    if dialect.name == "sqlite":
        options["factory"] = SqliteConnection
    else:
        from psycopg import Cursor

        options["cursor_factory"] = type("PostgresCursor", (Counting, Cursor), {})


def _sending(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    SPENT.sent(statement)


@contextmanager
def watching() -> Iterator[Spent]:
    """Count meanwhile, whatever engine is made or in use; rows only of connections that are made meanwhile, and on
    PostgreSQL not those that are streamed.
    """
    event.listen(Engine, "do_connect", _connecting)
    event.listen(Engine, "before_cursor_execute", _sending)
    try:
        yield SPENT
    finally:
        event.remove(Engine, "do_connect", _connecting)
        event.remove(Engine, "before_cursor_execute", _sending)


class Teller(BaseHTTPRequestHandler):
    """Answers every GET with what was spent since the last."""

    def do_GET(self) -> None:
        """As JSON."""
        body = json.dumps(SPENT.told()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the log is the app's."""


def main(port: int) -> None:
    """Watch, tell on this port, and be the app."""
    threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", port), Teller).serve_forever, daemon=True).start()
    sys.argv = ["cli.py", "run"]
    sys.path.insert(0, str(ROOT))
    with watching():
        runpy.run_path(str(ROOT / "cli.py"), run_name="__main__")


if __name__ == "__main__":
    main(int(sys.argv[1]))
