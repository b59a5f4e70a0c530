"""Decisions: every live routing decision, what its person made of it, and all of it for evaluation."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.domain import Bundle, Comparison, LLMId, Outcome, Query, QueryId, Response, User, UserId, content_hash
from core.errors import InvalidInput, NotAllowed, NotFound
from core.off_policy import LoggedChoices
from db import bundles
from db.audit import note
from db.base import parts, table, utc_now
from db.engine import Database
from db.events import APP
from db.models import LLMRow, QueryRow, RoutingDecisionRow, UserRow
from db.together import Together

FALLBACK = "api: the runner-up answered"  # sources of decisions that tell nothing about the LLM decided for
FAILED = "api: nobody answered"
REWARDS = {Outcome.TIE: 0.5, Outcome.BOTH_BAD: 0.0}


def _id_of(column: InstrumentedAttribute[int], name: InstrumentedAttribute[str], given: str) -> Any:
    return select(column).where(name == bindparam(given)).scalar_subquery()


# Names become numbers in the statement itself: one round trip for a decision, and for a thousand.
_KEEP = insert(table(RoutingDecisionRow)).values(
    user_id=_id_of(UserRow.id, UserRow.name, "who"),
    query_id=_id_of(QueryRow.id, QueryRow.key, "asked"),
    llm_id=_id_of(LLMRow.id, LLMRow.key, "picked"),
)


def new_key() -> str:
    """A name for a decision that nobody can guess."""
    return f"dec-{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision to be kept. `user` is empty, or a name nobody has here, where nobody known was routed for."""

    user: UserId
    query_id: QueryId
    llm: LLMId
    probabilities: Mapping[LLMId, float]
    version: int | None
    propensity: float
    history_count: int
    source: str
    alpha: float | None = None
    key: str = field(default_factory=new_key)


class Decisions:
    """The routing decisions of one database."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database, self._clock = database, clock
        self._together = Together(self._write)

    def keep(self, decided: Sequence[Decided]) -> None:
        """Write decisions down in one transaction, with those that other threads bring meanwhile; unknown users and
        queries become null. Raises NotFound for an LLM that nobody knows: then none of these is kept.
        """
        if decided:
            self._together(decided)

    def _write(self, decided: Sequence[Decided]) -> None:
        now = self._clock()
        rows = [
            {
                "key": d.key, "who": d.user, "query_key": d.query_id, "asked": d.query_id,
                "router_version_id": d.version, "picked": d.llm,
                "probabilities": {key: float(p) for key, p in d.probabilities.items()},
                "propensity": float(d.propensity), "history_count": d.history_count, "source": d.source,
                "decided_at": now, "alpha": d.alpha,
            }
            for d in decided
        ]  # fmt: skip
        try:
            with self._database.write() as session:
                session.connection().execute(_KEEP, rows)
        except IntegrityError:  # an LLM that is gone leaves null where there must be one
            with self._database.read() as session:
                known = _ids(session, LLMRow.key, LLMRow.id, {d.llm for d in decided})
            if missing := {d.llm for d in decided} - set(known):
                raise NotFound(f"There is no LLM '{min(missing)}'.") from None
            raise

    def thumbs(self, key: str, user: UserId, *, up: bool) -> None:
        """A person's thumb on a decision made for them; the last one counts. Raises NotFound, NotAllowed."""
        now = self._clock()
        with self._database.write() as session:
            row = _own(session, key, user)
            row.reward, row.rewarded_at = float(up), now
            note(session, now, user, "thumbs", key, up=up)

    def compare(
        self, user: UserId, query: Query, answers: tuple[Response, Response], outcome: Outcome, decision: str | None
    ) -> bool:
        """A person's comparison of two answers they were shown elsewhere: a rating like any other, which counts at
        once and in the next training. Someone new is taken in. False where the same was said before, which a retry is.

        With the key of a decision it is also that decision's reward. Raises InvalidInput where the user is simulated,
        an LLM unknown to the decision, or the query another than the decision's; NotFound; NotAllowed.
        """
        now = self._clock()
        a, b = answers
        named = content_hash(user, decision or "", query.query_id, a.response_id, b.response_id)
        said = Comparison(
            user, query.query_id, a.llm_id, b.llm_id, outcome, a.response_id, b.response_id, f"live-{named[:32]}", now
        )
        bundle = Bundle(APP, (User(user),), queries=(query,), responses=answers, comparisons=(said,))
        with self._database.write() as session:
            known = _ids(session, LLMRow.key, LLMRow.id, {a.llm_id, b.llm_id})
            for answer in answers:
                if answer.llm_id not in known:
                    raise NotFound(f"There is no LLM '{answer.llm_id}'. Nothing was stored.")
            if session.scalar(select(UserRow.simulated).where(UserRow.name == user)):
                raise InvalidInput(f"'{user}' is a simulated user; ratings in that name are not taken.")
            row = _own(session, decision, user) if decision else None
            if row is not None:
                _reward(session, row, query, answers, outcome, now)
            added = bundles.keep(session, bundle, now).added
            if added:
                note(session, now, user, "rate", said.key)
            return bool(added)

    def compared(self, key: str, user: UserId, sides: tuple[LLMId, LLMId], outcome: Outcome) -> bool:
        """What a person said of two responses, written live for a decision of theirs and rated as any pair is, becomes
        that decision's reward; the last word counts. False where neither side is by the LLM decided for, as after the
        price was weighed anew. Raises NotFound, NotAllowed.
        """
        now = self._clock()
        with self._database.write() as session:
            row = _own(session, key, user)
            worth = _worth(session, row, sides, outcome)
            if worth is not None:
                row.reward, row.rewarded_at = worth, now
            return worth is not None

    def logged(self) -> LoggedChoices:
        """Every rewarded decision whose own LLM answered, oldest first."""
        row = RoutingDecisionRow
        columns = (row.user_id, row.probabilities, LLMRow.key, row.propensity, row.reward)
        statement = select(*columns).join(LLMRow, LLMRow.id == row.llm_id).where(row.reward.is_not(None))
        statement = statement.where(row.source.not_in((FALLBACK, FAILED))).order_by(row.id)
        with self._database.read() as session:
            found = session.execute(statement).all()
        return LoggedChoices.of([(user or 0, dict(p), llm, by, float(got or 0)) for user, p, llm, by, got in found])


def _ids(
    session: Session, name: InstrumentedAttribute[str], number: InstrumentedAttribute[int], wanted: set[Any]
) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for part in parts(sorted(wanted)):
        rows: Any = session.execute(select(name, number).where(name.in_(part)))
        found |= dict(rows.all())
    return found


def _own(session: Session, key: str, user: UserId) -> RoutingDecisionRow:
    row = session.scalar(select(RoutingDecisionRow).where(RoutingDecisionRow.key == key).with_for_update())
    if row is None:
        raise NotFound(f"There is no decision '{key}'. Nothing was stored.")
    owner = session.scalar(select(UserRow.name).where(UserRow.id == row.user_id)) if row.user_id else None
    if owner is not None and owner != user:
        raise NotAllowed("This decision was made for someone else. Nothing was stored.")
    return row


def _reward(
    session: Session, row: RoutingDecisionRow, query: Query, answers: tuple[Response, Response], outcome: Outcome,
    now: datetime,
) -> None:  # fmt: skip
    if row.query_key != query.query_id:
        raise InvalidInput("The decision was about another query. Nothing was stored.")
    worth = _worth(session, row, (answers[0].llm_id, answers[1].llm_id), outcome)
    if worth is None:
        raise InvalidInput("Neither answer is by the LLM that was decided for. Nothing was stored.")
    row.reward, row.rewarded_at = worth, now


def _worth(session: Session, row: RoutingDecisionRow, sides: tuple[LLMId, LLMId], outcome: Outcome) -> float | None:
    """The reward of a decision by what was said of two sides; None where neither is by its LLM."""
    served = session.scalar(select(LLMRow.key).where(LLMRow.id == row.llm_id))
    if served not in sides:
        return None
    won = (outcome == Outcome.A) == (served == sides[0])
    return REWARDS.get(outcome, float(won))
