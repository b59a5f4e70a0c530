"""CallLedger: every call to a provider, so that a day's budget holds across processes and restarts."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import func, select

from core.domain import LLMId
from core.providers import Reply
from db.base import utc_now
from db.engine import Database
from db.models import ProviderCallRow


class CallLedger:
    """Fulfils `core.providers.Ledger`."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database, self._clock = database, clock

    def spent(self, llm: LLMId) -> float:
        """See `Ledger`. Calls of unknown cost count as nothing."""
        midnight = self._clock().replace(hour=0, minute=0, second=0, microsecond=0)
        row = ProviderCallRow
        with self._database.read() as session:
            total = session.scalar(select(func.sum(row.cost)).where(row.llm_key == llm, row.at >= midnight))
        return float(total or 0.0)

    def charge(self, reply: Reply) -> None:
        """See `Ledger`."""
        with self._database.write() as session:
            session.add(
                ProviderCallRow(
                    at=self._clock(), llm_key=reply.llm.llm_id, input_tokens=reply.input_tokens,
                    output_tokens=reply.output_tokens, estimated=reply.estimated, cost=reply.cost,
                    seconds=reply.seconds, finish=reply.finish[:120],
                )
            )  # fmt: skip
