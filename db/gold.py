"""Gold: pairs with a known answer, and what was decided where people disagree. Neither changes a rating."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from core.domain import LLMId, Outcome, QueryId
from core.errors import InvalidInput, NotFound
from db.audit import note
from db.base import utc_now
from db.engine import Database
from db.models import AdjudicationRow, AssignmentRow, AssignmentStatus, GoldRow, LLMRow, QueryRow, ResponseRow

MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Item:
    """A gold item. `expected` is as seen with the response of `llm_a` on side A; `asked` counts the answers given."""

    id: int
    query_id: QueryId
    prompt: str
    llm_a: LLMId
    llm_b: LLMId
    expected: Outcome
    reason: str
    set_by: str
    created_at: datetime
    retired_at: datetime | None
    asked: int


class Gold:
    """The gold items of one database. Every method is one transaction."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    def add(self, query: QueryId, llm_a: LLMId, llm_b: LLMId, expected: Outcome, by: str, reason: str) -> int:
        """Let the first responses of two LLMs to a query be gold; the item's number.

        Raises NotFound for a query or response that is not there, InvalidInput without a reason, for one LLM on both
        sides, equal responses, and where the query has a gold item in use.
        """
        with self._database.write() as session:
            row = session.scalar(select(QueryRow.id).where(QueryRow.key == query))
            if row is None:
                raise NotFound(f"There is no query '{query}'.")
            return self._add(session, row, _response(session, row, llm_a), _response(session, row, llm_b), expected,
                             by, reason)  # fmt: skip

    def decide(
        self, ids: tuple[int, int, int], outcome: Outcome, by: str, gold_reason: str | None = None
    ) -> None:  # fmt: skip
        """Settle a disagreement about a query and two responses (rows, the second below the third); with a reason the
        pair becomes a gold item. Raises InvalidInput where somebody decided meanwhile.
        """
        now, (query_id, a, b) = self._clock(), ids
        same = (AdjudicationRow.query_id == query_id, AdjudicationRow.response_a_id == a,
                AdjudicationRow.response_b_id == b)  # fmt: skip
        with self._database.write() as session:
            if session.scalar(select(AdjudicationRow.id).where(*same)) is not None:
                raise InvalidInput("Someone else decided this one meanwhile; nothing was stored.")
            session.add(
                AdjudicationRow(query_id=query_id, response_a_id=a, response_b_id=b, outcome=outcome, by=by, at=now)
            )
            note(session, now, by, "adjudicate", f"{query_id}:{a}:{b}", outcome=outcome)
            if gold_reason is not None:
                sides = [session.get_one(ResponseRow, side) for side in (a, b)]
                self._add(session, query_id, sides[0], sides[1], outcome, by, gold_reason)

    def retire(self, item: int, by: str) -> None:
        """Ask an item no more; what was answered stays. Raises NotFound."""
        now = self._clock()
        with self._database.write() as session:
            row = session.get(GoldRow, item)
            if row is None:
                raise NotFound(f"There is no gold item {item}.")
            if row.retired_at is None:
                row.retired_at, row.retired_by = now, by
                note(session, now, by, "gold_retire", str(item))

    def items(self) -> list[Item]:
        """Every item, those in use first, the newest first."""
        a, b, llm_a, llm_b = aliased(ResponseRow), aliased(ResponseRow), aliased(LLMRow), aliased(LLMRow)
        rated = (AssignmentRow.gold_id == GoldRow.id, AssignmentRow.status == AssignmentStatus.RATED)
        asked = select(func.count()).where(*rated).correlate(GoldRow).scalar_subquery()
        rows = (
            select(GoldRow, QueryRow.key, QueryRow.turns, llm_a.key, llm_b.key, asked)
            .join(QueryRow, QueryRow.id == GoldRow.query_id)
            .join(a, a.id == GoldRow.response_a_id)
            .join(b, b.id == GoldRow.response_b_id)
            .join(llm_a, llm_a.id == a.llm_id)
            .join(llm_b, llm_b.id == b.llm_id)
            .order_by(GoldRow.retired_at.is_not(None), GoldRow.id.desc())
        )
        with self._database.read() as session:
            return [
                Item(
                    row.id, QueryId(key), turns[-1], LLMId(left), LLMId(right), row.expected, row.reason, row.set_by,
                    row.created_at, row.retired_at, times,
                )
                for row, key, turns, left, right, times in session.execute(rows)
            ]  # fmt: skip

    def _add(
        self, session: Session, query_id: int, a: ResponseRow, b: ResponseRow, expected: Outcome, by: str, reason: str
    ) -> int:
        said, now = " ".join(reason.split()), self._clock()
        if not said or len(said) > MAX_REASON:
            raise InvalidInput(f"Say why this answer is known, in at most {MAX_REASON} characters.")
        if a.llm_id == b.llm_id or a.text_hash == b.text_hash:
            raise InvalidInput("A gold item needs responses of two LLMs that differ.")
        used = select(GoldRow.id).where(GoldRow.query_id == query_id, GoldRow.retired_at.is_(None))
        if session.scalar(used) is not None:
            raise InvalidInput("This query has a gold item already; retire it first.")
        row = GoldRow(
            query_id=query_id, response_a_id=a.id, response_b_id=b.id, expected=expected, reason=said, set_by=by,
            created_at=now,
        )  # fmt: skip
        session.add(row)
        session.flush()
        note(session, now, by, "gold_add", str(row.id), expected=expected, reason=said)
        return row.id


def _response(session: Session, query_id: int, llm: LLMId) -> ResponseRow:
    found = session.scalar(
        select(ResponseRow)
        .join(LLMRow, LLMRow.id == ResponseRow.llm_id)
        .where(ResponseRow.query_id == query_id, LLMRow.key == llm)
        .order_by(ResponseRow.id)
        .limit(1)
    )
    if found is None:
        raise NotFound(f"There is no response of '{llm}' to this query.")
    return found
