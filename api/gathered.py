"""Gathered: what many requests need at about the same time, done in one go, in a thread beside the one that serves."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

Asked = TypeVar("Asked")
Told = TypeVar("Told")

MOST = 64  # requests in one go: who comes later does not wait for more


class Gathered(Generic[Asked, Told]):
    """Calls `work` with what everyone who waits has asked, one call at a time: alone where nobody else asks, and the
    busier it is the less each costs. `work` answers in the order asked; an error in place of an answer is raised where
    it was asked, and one that `work` raises everywhere. To be used from one event loop.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Told | Exception]]) -> None:
        self._work = work
        self._waiting: list[tuple[Asked, asyncio.Future[Told]]] = []
        self._working: asyncio.Task[None] | None = None

    async def __call__(self, asked: Asked) -> Told:
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if self._working is None:
            self._working = asyncio.create_task(self._serve())
        return await future

    async def _serve(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                for (_, future), told in zip(some, await self._told([asked for asked, _ in some]), strict=True):
                    if future.done():  # whoever asked has hung up
                        continue
                    if isinstance(told, Exception):
                        future.set_exception(told)
                    else:
                        future.set_result(told)
        finally:
            self._working = None

    async def _told(self, asked: Sequence[Asked]) -> Sequence[Told | Exception]:
        try:
            return await run_in_threadpool(self._work, asked)
        except Exception as error:  # noqa: BLE001  raised where it was asked
            return [error] * len(asked)
