"""All that is stored about one person's ratings, as one JSON document, written piece by piece."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from core.domain import UserId
from core.errors import NotFound
from core.profile import Profile
from db.engine import Database
from db.events import APP, latest
from db.models import (
    AssignmentRow,
    AssignmentStatus,
    ComparisonRow,
    DraftRow,
    DriftChoiceRow,
    FlagRow,
    LLMRow,
    ProfileRow,
    QueryRow,
    RatingDetailRow,
    ResponseRow,
    RoutingDecisionRow,
    TaskRow,
    UserRow,
)  # fmt: skip
from db.snapshots import STREAMED
from db.tradeoffs import answers

FORMAT = "prefroute.my-data"
VERSION = 1


def document(database: Database, user: UserId) -> Iterator[str]:
    """Pieces of a JSON object: `user`, `ratings` with texts and all versions, `skipped`, `flagged`, `drafts`, `routed`,
    `tradeoffs`, `taste_changes` (what was done about them).

    Nobody else's data. Texts are read a few at a time; of a withdrawn rating they are there too. Raises
    NotFound before the first piece.
    """
    with database.read() as session:
        person = session.scalar(select(UserRow).where(UserRow.name == user))
        if person is None:
            raise NotFound(f"There is no user '{user}'.")
        profile = session.get(ProfileRow, person.id)
        about = {
            "name": person.name, "role": person.role, "simulated": person.simulated,
            "first_signed_in": person.created_at, "last_signed_in": person.last_seen_at,
            "profile": {name: getattr(profile, name) for name in Profile.__slots__} if profile else None,
        }  # fmt: skip
        yield f'{{"format": {_json(FORMAT)}, "version": {VERSION}, "user": {_json(about)}'
        for name, items in (
            ("ratings", _ratings(session, person.id)),
            ("skipped", _skipped(session, person.id)),
            ("flagged", _flagged(session, person.id)),
            ("drafts", _drafts(session, person.id)),
            ("routed", _routed(session, person.id)),
            ("tradeoffs", (answer._asdict() for answer in answers(session, user))),
            ("taste_changes", _taste_changes(session, person.id)),
        ):
            yield f', "{name}": ['
            for position, item in enumerate(items):
                yield ("," if position else "") + "\n" + _json(item)
            yield "]"
        yield "}\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _ratings(session: Session, person: int) -> Iterator[dict[str, Any]]:
    events = _events(session, person)
    a, b, llm_a, llm_b = aliased(ResponseRow), aliased(ResponseRow), aliased(LLMRow), aliased(LLMRow)
    rows = session.execute(
        select(ComparisonRow.id, ComparisonRow.outcome, QueryRow.key, QueryRow.turns, TaskRow.name)
        .add_columns(llm_a.key, a.turns, llm_b.key, b.turns)
        .select_from(ComparisonRow)
        .join(QueryRow, QueryRow.id == ComparisonRow.query_id)
        .outerjoin(TaskRow, TaskRow.id == QueryRow.task_id)
        .join(a, a.id == ComparisonRow.response_a_id)
        .join(b, b.id == ComparisonRow.response_b_id)
        .join(llm_a, llm_a.id == a.llm_id)
        .join(llm_b, llm_b.id == b.llm_id)
        .where(ComparisonRow.user_id == person, latest())
        .order_by(ComparisonRow.id)
        .execution_options(yield_per=STREAMED)
    )
    for last, outcome, key, turns, task, name_a, said_a, name_b, said_b in rows:
        yield {
            "outcome": outcome,  # null: withdrawn
            "query": {"id": key, "task": task, "turns": turns},
            "response_a": {"llm": name_a, "turns": said_a},
            "response_b": {"llm": name_b, "turns": said_b},
            "history": _history(events, last),
        }


def _events(session: Session, person: int) -> dict[int, tuple[int | None, dict[str, Any]]]:
    """Every event without its texts, by id, with the one it supersedes."""
    it, beside = ComparisonRow, RatingDetailRow
    rows = session.execute(
        select(it.id, it.supersedes_id, it.key, it.kind, it.outcome, it.rated_at, it.recorded_at)
        .add_columns(it.dwell_ms, it.source, beside.strength, beside.reasons, beside.criteria, beside.comment)
        .outerjoin(beside, beside.comparison_id == it.id)
        .where(it.user_id == person)
    )  # fmt: skip
    return {
        row.id: (
            row.supersedes_id,
            {
                "key": row.key, "kind": row.kind, "outcome": row.outcome, "rated_at": row.rated_at,
                "recorded_at": row.recorded_at, "seconds": None if row.dwell_ms is None else row.dwell_ms / 1000,
                "source": "this app" if row.source == APP else row.source,
                "strength": row.strength, "reasons": row.reasons or [], "stars": row.criteria or {},
                "comment": row.comment or "",
            },
        )
        for row in rows
    }  # fmt: skip


def _history(events: dict[int, tuple[int | None, dict[str, Any]]], last: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    event_id: int | None = last
    while event_id is not None:
        event_id, event = events[event_id]
        found.append(event)
    return found[::-1]


def _skipped(session: Session, person: int) -> Iterator[dict[str, Any]]:
    """Without the responses: a skipped pair may still be rated, and must stay blind."""
    rows = session.execute(
        select(QueryRow.key, QueryRow.turns, AssignmentRow.closed_at)
        .join(QueryRow, QueryRow.id == AssignmentRow.query_id)
        .where(AssignmentRow.user_id == person, AssignmentRow.status == AssignmentStatus.SKIPPED)
        .order_by(AssignmentRow.id)
        .execution_options(yield_per=STREAMED)
    )
    for key, turns, at in rows:
        yield {"query": {"id": key, "turns": turns}, "skipped_at": at}


def _flagged(session: Session, person: int) -> Iterator[dict[str, Any]]:
    rows = session.execute(
        select(QueryRow.key, QueryRow.turns, FlagRow.reason, FlagRow.note, FlagRow.flagged_at, FlagRow.resolution)
        .join(QueryRow, QueryRow.id == FlagRow.query_id)
        .where(FlagRow.user_id == person)
        .order_by(FlagRow.id)
        .execution_options(yield_per=STREAMED)
    )
    for key, turns, reason, text, at, resolution in rows:
        query = {"id": key, "turns": turns}
        yield {"query": query, "reason": reason, "note": text, "flagged_at": at, "resolution": resolution}


def _drafts(session: Session, person: int) -> Iterator[dict[str, Any]]:
    rows = session.execute(
        select(QueryRow.key, DraftRow.body, DraftRow.saved_at)
        .join(AssignmentRow, AssignmentRow.id == DraftRow.assignment_id)
        .join(QueryRow, QueryRow.id == AssignmentRow.query_id)
        .where(AssignmentRow.user_id == person)
        .order_by(DraftRow.assignment_id)
    )
    for key, body, at in rows:
        yield {"query": {"id": key}, "draft": body, "saved_at": at}


def _routed(session: Session, person: int) -> Iterator[dict[str, Any]]:
    it = RoutingDecisionRow
    rows = session.execute(
        select(it.query_key, LLMRow.key, it.probabilities, it.router_version_id, it.decided_at)
        .join(LLMRow, LLMRow.id == it.llm_id)
        .where(it.user_id == person)
        .order_by(it.id)
        .execution_options(yield_per=STREAMED)
    )
    for query, llm, probabilities, version, at in rows:
        yield {
            "query": query, "llm": llm, "probabilities": probabilities, "router_version": version, "decided_at": at,
        }  # fmt: skip


def _taste_changes(session: Session, person: int) -> Iterator[dict[str, Any]]:
    rows = session.scalars(select(DriftChoiceRow).where(DriftChoiceRow.user_id == person).order_by(DriftChoiceRow.id))
    for row in rows:
        yield {"since": row.since, "choice": row.choice, "by": row.by, "at": row.at, "taken_back": row.lifted_at}
