"""What requests need at the same time is done in one go, and each gets its own."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from api.gathered import MOST, Gathered


class Work:
    """Doubles numbers, held back until everyone has asked; negative ones are refused."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.threads = set[int]()
        self.go = threading.Event()

    def __call__(self, asked: Sequence[int]) -> list[int | Exception]:
        self.calls.append(list(asked))
        self.threads.add(threading.get_ident())
        assert self.go.wait(30)
        return [2 * each if each >= 0 else ValueError(f"no {each}") for each in asked]


def told(work: Callable[[Sequence[int]], Sequence[int | Exception]], asked: Sequence[int]) -> list[int | BaseException]:
    """What comes of asking all of it at once."""

    async def ask() -> list[int | BaseException]:
        gathered: Gathered[int, int] = Gathered(work)
        tasks = [asyncio.create_task(gathered(each)) for each in asked]
        await asyncio.sleep(0)  # all have asked
        if isinstance(work, Work):
            work.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(ask())


def test_who_asks_together_is_answered_in_one_go_beside_the_loop_and_in_their_own_words() -> None:
    work = Work()
    assert told(work, range(9)) == [2 * i for i in range(9)]
    assert work.calls == [list(range(9))]
    assert threading.get_ident() not in work.threads


def test_a_crowd_is_served_in_turns() -> None:
    work = Work()
    many = 2 * MOST + 1
    assert told(work, range(many)) == [2 * i for i in range(many)]
    assert [len(call) for call in work.calls] == [MOST, MOST, 1]


def test_what_is_wrong_with_ones_question_is_told_to_that_one_alone() -> None:
    found = told(Work(), [1, -2, 3])
    assert [found[0], str(found[1]), found[2]] == [2, "no -2", 6]


def test_work_that_fails_as_a_whole_is_told_to_all_and_the_next_is_served() -> None:
    calls: list[Sequence[int]] = []

    def work(asked: Sequence[int]) -> list[int | Exception]:
        calls.append(asked)
        if len(calls) == 1:
            raise ValueError("away")
        return list(asked)

    async def ask() -> None:
        gathered: Gathered[int, int] = Gathered(work)
        found = await asyncio.gather(gathered(1), gathered(2), return_exceptions=True)
        assert [str(each) for each in found] == ["away", "away"]
        assert await gathered(3) == 3

    asyncio.run(ask())


def test_who_hangs_up_keeps_nobody_waiting() -> None:
    work = Work()

    async def ask() -> None:
        gathered: Gathered[int, int] = Gathered(work)
        gone, stays = asyncio.create_task(gathered(1)), asyncio.create_task(gathered(2))
        await asyncio.sleep(0)
        gone.cancel()
        work.go.set()
        assert await stays == 4
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(ask())
