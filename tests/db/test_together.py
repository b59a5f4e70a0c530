import threading
from collections.abc import Sequence

import pytest

from core.errors import DatabaseUnavailable, NotFound
from db.together import Together
from tests.db.worlds import at_once


class Slow:
    """A write whose first call waits until everyone else has queued behind it."""

    def __init__(self, others: int) -> None:
        self.calls: list[list[int]] = []
        self.others, self.queued = others, threading.Semaphore(0)

    def __call__(self, rows: Sequence[int]) -> None:
        self.calls.append(list(rows))
        if len(self.calls) == 1:
            for _ in range(self.others):
                assert self.queued.acquire(timeout=30)
        if any(row < 0 for row in rows):
            raise NotFound(f"no {min(rows)}")


def written(rows: list[int]) -> tuple[Slow, list[object]]:
    """What came of one thread a row, all but the first coming while the first is being written."""
    slow = Slow(len(rows) - 1)
    together: Together[int] = Together(slow)
    first = threading.Thread(target=together, args=([rows[0]],))
    first.start()
    while not slow.calls:
        threading.Event().wait(0.001)

    def one(i: int) -> None:
        threading.Timer(0.2, slow.queued.release).start()  # it queues well before
        together([rows[i + 1]])

    results = at_once(len(rows) - 1, one)
    first.join()
    return slow, results


def test_who_comes_while_another_writes_is_written_with_the_next_one():
    slow, results = written(list(range(9)))
    assert results == [None] * 8
    assert sorted(row for call in slow.calls for row in call) == list(range(9))
    assert len(slow.calls) < 9


def test_what_is_wrong_with_ones_rows_is_told_to_that_one_alone():
    _, results = written([0, 1, -2, 3])
    assert [str(result) for result in results] == ["None", "no -2", "None"]


def test_a_database_that_cannot_be_reached_is_told_to_everyone_and_asked_once():
    calls = []

    def write(rows: Sequence[int]) -> None:
        calls.append(rows)
        raise DatabaseUnavailable("away")

    together: Together[int] = Together(write)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable, match="away"):
            together([1, 2])
    assert calls == [[1, 2], [1, 2]]
