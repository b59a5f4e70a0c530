"""A choice among several responses: drawn and shown together, and turned into comparisons that carry that they are one.

The best of N is better than each of the others: N - 1 comparisons. The worst is worse than each: N - 2 more. They are
not independent, so all of them have the same `choice` in their details, for whoever counts or exports them.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from math import comb
from random import Random

from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.orm import Session

from core.domain import LLMId, Outcome, QueryId, Response
from core.errors import InvalidInput
from db import events, leases
from db.base import table
from db.campaigns import Campaign
from db.models import (
    AssignmentRow,
    AssignmentStatus,
    ComparisonRow,
    EventKind,
    LLMRow,
    OptionRow,
    QueryRow,
    RatingDetailRow,
    ResponseRow,
)  # fmt: skip
from db.posed import Posed


def draw(
    session: Session, campaign: Campaign, user_id: int, query_ids: Sequence[int], now: datetime, rng: Random,
    *, skipped: bool,
) -> bool:  # fmt: skip
    """Uniform over the queries, then over the sets of that many responses; in a random order. False without a query.

    Of one LLM's responses, and of equal ones, only the first takes part. A query with fewer shows all it has.
    """
    if not query_ids:
        return False
    query_id = rng.choice(query_ids)
    rows = session.execute(
        select(ResponseRow.id, ResponseRow.llm_id, ResponseRow.text_hash)
        .where(ResponseRow.query_id == query_id)
        .order_by(ResponseRow.id)
    ).all()
    differing: list[tuple[int, int, str]] = []
    for row in rows:
        if all(row.llm_id != llm and row.text_hash != words for _, llm, words in differing):
            differing.append((row.id, row.llm_id, row.text_hash))
    size = min(campaign.plan.options, len(differing))
    shown = rng.sample(differing, size)
    before = leases.first_shown(session, campaign, query_id, now) if campaign.plan.overlap is not None else None
    if before is not None:  # others who rate this query are shown the same set, in an order of their own
        same = set(ids_of(session, before))
        shown = [option for option in rng.sample(differing, len(differing)) if option[0] in same]
    probability = 1 / len(query_ids) / (1 if before else comb(len(differing), size))
    drawn = AssignmentRow(
        token=secrets.token_urlsafe(16), campaign_id=campaign.id, user_id=user_id, query_id=query_id,
        response_a_id=shown[0][0], response_b_id=shown[1][0], llm_a_id=shown[0][1], llm_b_id=shown[1][1],
        reason="uniform, skipped before" if skipped else "uniform", probability=probability,
        status=AssignmentStatus.OPEN, shown_at=now, leased_until=now + leases.LEASE,
    )  # fmt: skip
    session.add(drawn)
    session.flush()
    for position, (response_id, llm_id, _) in enumerate(shown[2:], 2):
        session.add(OptionRow(assignment_id=drawn.id, position=position, response_id=response_id, llm_id=llm_id))
    session.flush()
    return True


def enough(options: int) -> list[ColumnElement[bool]]:
    """Conditions on a query: so many LLMs answered it, in so many ways."""
    return [
        select(func.count(column.distinct())).where(ResponseRow.query_id == QueryRow.id).correlate(QueryRow)
        .scalar_subquery() >= options
        for column in (ResponseRow.llm_id, ResponseRow.text_hash)
    ]  # fmt: skip


def _options(session: Session, assignment: AssignmentRow | Posed) -> list[tuple[int, int]]:
    """(response, LLM) in the order shown."""
    first = [
        (assignment.response_a_id, assignment.llm_a_id),
        (assignment.response_b_id, assignment.llm_b_id),
    ]
    others = select(OptionRow.response_id, OptionRow.llm_id).where(OptionRow.assignment_id == assignment.id)
    return first + [(response, llm) for response, llm in session.execute(others.order_by(OptionRow.position))]


def ids_of(session: Session, assignment: AssignmentRow) -> list[int]:
    """Ids of the responses that an assignment shows."""
    return [response for response, _ in _options(session, assignment)]


def others_of(connection: Session | Connection, assignment_id: int, query_id: QueryId) -> tuple[Response, ...]:
    """The responses beyond the first two, in the order shown."""
    option, response, llm = table(OptionRow), table(ResponseRow), table(LLMRow)
    rows = connection.execute(
        select(llm.c.key, response.c.turns)
        .select_from(option)
        .join(response, response.c.id == option.c.response_id)
        .join(llm, llm.c.id == option.c.llm_id)
        .where(option.c.assignment_id == assignment_id)
        .order_by(option.c.position)
    )
    return tuple(Response(query_id, LLMId(llm), tuple(turns)) for llm, turns in rows)


def append(
    session: Session, posed: Posed, best: int, worst: int | None, now: datetime, dwell: float
) -> tuple[str, Outcome]:
    """The comparisons of one choice, given by places from 0; key and outcome of the first of them. Raises InvalidInput
    elsewhere.
    """
    options = _options(session, posed)
    places = range(len(options))
    if best not in places or (worst is not None and (worst not in places or worst == best)):
        raise InvalidInput("The best and the worst are two different responses of those shown; nothing was saved.")
    pairs = [(best, place) for place in places if place != best]
    if worst is not None:
        pairs += [(place, worst) for place in places if place not in (best, worst)]
    before = {
        (row.response_a_id, row.response_b_id): row for row in events.lasts_of(session, posed.id)
    }  # of a choice that an undo took back
    choice, rows = secrets.token_hex(16), []
    for better, worse in pairs:
        left, right = sorted((better, worse))  # the side is where it stood on the screen, or A would always win
        (a, llm_a), (b, llm_b) = options[left], options[right]
        withdrawn = before.get((a, b))
        rows.append(
            ComparisonRow(
                key=secrets.token_hex(16), user_id=posed.user_id, query_id=posed.query_id, response_a_id=a,
                response_b_id=b, llm_a_id=llm_a, llm_b_id=llm_b, assignment_id=posed.id,
                supersedes_id=withdrawn.id if withdrawn else None, kind=EventKind.RATING,
                outcome=Outcome.A if better == left else Outcome.B, rated_at=now, recorded_at=now,
                dwell_ms=round(dwell * 1000), source=events.APP,
            )
        )  # fmt: skip
    session.add_all(rows)
    session.flush()
    for row in rows:
        session.add(RatingDetailRow(comparison_id=row.id, choice=choice, reasons=[], criteria={}, comment=""))
    return rows[0].key, Outcome.A if best < pairs[0][1] else Outcome.B
