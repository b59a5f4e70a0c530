"""What a run's worker says while it works: kept line by line, so that whoever watches can read along from anywhere."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import func, insert, select

from core.errors import DatabaseUnavailable
from db.engine import Database
from db.models import RunLogRow

OURS = ("core", "db")  # whose loggers are heard: libraries say much that tells an operator nothing
MOST_LINES = 2_000  # of one run; a training says one line an epoch
MOST_CHARACTERS = 500


class Line(NamedTuple):
    """One line of a run's log."""

    at: datetime
    text: str


class RunLog(logging.Handler):
    """Collects what is logged until `write`. Tracebacks stay in the worker's own log: they are not for people."""

    def __init__(self, database: Database, run_id: int) -> None:
        super().__init__(logging.INFO)
        self._database, self._run_id = database, run_id
        self._waiting: list[Line] = []
        self._turn = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line until the next writing."""
        text = record.getMessage()[:MOST_CHARACTERS].replace("\x00", "")
        self._waiting.append(Line(datetime.fromtimestamp(record.created, UTC), text))

    def write(self) -> None:
        """Store the lines that wait. While the database is busy they wait on: a log is no reason to end a training."""
        with self._turn:
            lines, self._waiting = self._waiting, []
            if not lines:
                return
            try:
                with self._database.write() as session:
                    number = select(func.coalesce(func.max(RunLogRow.number), 0)).where(
                        RunLogRow.run_id == self._run_id
                    )
                    last = session.scalar(number) or 0
                    rows = [
                        {"run_id": self._run_id, "number": i, "at": line.at, "text": line.text}
                        for i, line in enumerate(lines, last + 1)
                        if i <= MOST_LINES
                    ]
                    if rows:
                        session.execute(insert(RunLogRow), rows)
            except DatabaseUnavailable:
                self._waiting = [*lines, *self._waiting]


@contextmanager
def listening(database: Database, run_id: int) -> Iterator[RunLog]:
    """Hear what our own code logs meanwhile, from whatever thread, and store the rest at the end."""
    heard, loggers = RunLog(database, run_id), [logging.getLogger(name) for name in OURS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(heard)
        logger.setLevel(logging.INFO)
    try:
        yield heard
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(heard)
            logger.setLevel(level)
        heard.write()


def tail(database: Database, run_id: int, most: int) -> list[Line]:
    """The last lines of a run's log, the oldest of them first."""
    it = RunLogRow
    newest = select(it.at, it.text).where(it.run_id == run_id).order_by(it.number.desc()).limit(most)
    with database.read() as session:
        return [Line(*row) for row in session.execute(newest)][::-1]
