"""Together: what many threads write at about the same time, in one transaction."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from core.errors import DatabaseUnavailable

T = TypeVar("T")


class _Waiting(Generic[T]):
    def __init__(self, rows: Sequence[T]) -> None:
        self.rows = rows
        self.done = False
        self.error: Exception | None = None


class Together(Generic[T]):
    """Calls `write` with the rows of everyone who waits. Who comes while another thread writes is written with the
    next transaction, so that the busier it is the less each costs; nobody returns before theirs is committed.
    """

    def __init__(self, write: Callable[[Sequence[T]], None]) -> None:
        self._write = write
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._waiting: list[_Waiting[T]] = []

    def __call__(self, rows: Sequence[T]) -> None:
        """Returns when these rows are written. Raises what `write` raised about them, and nothing that others' rows
        are to blame for.
        """
        mine = _Waiting(rows)
        with self._lock:
            self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                with self._lock:
                    waiting, self._waiting = self._waiting, []
                self._write_all(waiting)
        if mine.error is not None:
            raise mine.error

    def _write_all(self, waiting: Sequence[_Waiting[T]]) -> None:
        error = self._tried([row for each in waiting for row in each.rows])
        alone = error is not None and len(waiting) > 1 and not isinstance(error, DatabaseUnavailable)
        for each in waiting:
            each.error = self._tried(each.rows) if alone else error
            each.done = True

    def _tried(self, rows: Sequence[T]) -> Exception | None:
        try:
            self._write(rows)
        except Exception as error:  # noqa: BLE001  raised where it belongs
            return error
        return None
