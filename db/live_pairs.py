"""Live comparisons: two responses written for a person just now become a pair that they rate like any other."""

from collections.abc import Callable, Hashable
from datetime import datetime
from random import Random

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from core.domain import LLMId, Query, Response, UserId, content_hash
from core.errors import InvalidInput, NotAllowed, NotFound
from core.matchmaking import balanced_sides
from db import assignments, response_traits
from db.base import insert_missing, utc_now
from db.engine import Database
from db.events import APP
from db.leases import LEASE
from db.models import AssignmentRow, AssignmentStatus, CampaignRow, LLMRow, QueryRow, ResponseRow

CERTAIN = 1.0  # the probability of a pair that nobody drew: its person asked for it


class LiveComparisons:
    """Pairs that a person had written for a prompt of their own.

    Their query is offered to nobody else: a prompt is its author's, and `rateable` stays false. A pair that is left
    without an answer waits for its author on the rating page.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now, rng: Random | None = None) -> None:
        self._database, self._clock, self._rng = database, clock, rng or Random()

    def sides(self, first: LLMId, second: LLMId) -> tuple[LLMId, LLMId]:
        """The two as A and B: over all users each of a pair stands on either side equally often."""
        with self._database.read() as session:
            ids = {key: _llm(session, key) for key in (first, second)}
            a, b = AssignmentRow.llm_a_id, AssignmentRow.llm_b_id
            one, other = ids[first], ids[second]
            pair = or_((a == one) & (b == other), (a == other) & (b == one))
            left: dict[Hashable, int] = dict(session.execute(select(a, func.count()).where(pair).group_by(a)).all())
        return (first, second) if balanced_sides(left.get(one, 0), left.get(other, 0), self._rng) else (second, first)

    def pose(self, user: UserId, token: str, query: Query, a: Response, b: Response, reason: str) -> None:
        """Write a pair down with its query and both responses, ready for `PreferenceStore.record` under `token`.

        A repeat with the same token changes nothing. Raises NotFound for an unknown user or LLM, NotAllowed for a
        token of someone else's, InvalidInput where both are by one LLM or say the same.
        """
        if a.llm_id == b.llm_id:
            raise InvalidInput("Both responses are by the same LLM, so there is nothing to compare.")
        if a.text.strip() == b.text.strip():
            raise InvalidInput("Both wrote the same words, so there is nothing to compare.")
        now = self._clock()
        with self._database.write() as session:
            owner = assignments.locked_user(session, user)
            known = session.scalar(select(AssignmentRow.user_id).where(AssignmentRow.token == token))
            if known is not None:
                if known != owner.id:
                    raise NotAllowed("This pair was given to someone else and nothing was stored.")
                return
            query_id = _query(session, query, now)
            left, right = (_response(session, each, query_id, now) for each in (a, b))
            row = AssignmentRow(
                token=token, user_id=owner.id, query_id=query_id, response_a_id=left.id, response_b_id=right.id,
                llm_a_id=left.llm_id, llm_b_id=right.llm_id, reason=reason, probability=CERTAIN,
                status=AssignmentStatus.WAITING, shown_at=now, leased_until=now + LEASE,
                campaign_id=session.scalars(select(func.min(CampaignRow.id))).one(),  # "Everything" came first
            )  # fmt: skip
            session.add(row)


def _llm(session: Session, key: LLMId) -> int:
    found = session.scalar(select(LLMRow.id).where(LLMRow.key == key))
    if found is None:
        raise NotFound(f"There is no LLM '{key}'.")
    return found


def _query(session: Session, query: Query, now: datetime) -> int:
    values = {
        "key": query.query_id, "task_id": None, "turns": list(query.turns), "rateable": False, "source": APP,
        "created_at": now,
    }  # fmt: skip
    session.execute(insert_missing(session, QueryRow), values)
    return session.scalars(select(QueryRow.id).where(QueryRow.key == query.query_id)).one()


def _response(session: Session, response: Response, query_id: int, now: datetime) -> ResponseRow:
    values = {
        "key": response.response_id, "query_id": query_id, "llm_id": _llm(session, response.llm_id),
        "turns": list(response.turns), "text_hash": content_hash(response.text.strip()), "source": APP,
        "traits": response_traits.counted(response.text), "created_at": now,
    }  # fmt: skip
    session.execute(insert_missing(session, ResponseRow), values)
    return session.scalars(select(ResponseRow).where(ResponseRow.key == response.response_id)).one()
