"""Desk: where requests get their decisions, together with those that ask in the same moment."""

from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool

from api.gathered import Gathered
from core.domain import Query
from db.live import LiveRouting, Routed, Wanted

SOURCE = "api"
FEW = 8  # queries of a request that others may wait for


class Desk:
    """Every decision is written down before it is told."""

    def __init__(self, live: LiveRouting) -> None:
        self._live = live
        # Apart: the vector of an unseen prompt takes ten times as long as all the rest.
        self._seen, self._unseen = Gathered(self._decided), Gathered(self._decided)

    async def decide(self, wanted: Wanted, queries: Sequence[Query]) -> tuple[Routed, ...]:
        """See `LiveRouting.decide`."""
        if len(queries) > FEW or wanted.version is not None:  # another version may have to be loaded first
            return await run_in_threadpool(self._live.decide, wanted, queries, SOURCE)
        return await (self._seen if self._live.has_read(queries) else self._unseen)((wanted, queries))

    def _decided(self, asked: Sequence[tuple[Wanted, Sequence[Query]]]) -> list[tuple[Routed, ...] | Exception]:
        return self._live.decide_together(asked, SOURCE)
