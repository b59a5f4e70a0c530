"""Bundles: what a file brought goes in as one, and comes out as one where it is not people's work by now."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.domain import Bundle, Comparison, LLMId, Response, content_hash
from core.errors import InvalidInput
from core.inspection import self_named
from db import response_traits
from db.base import insert_all, parts
from db.events import APP, in_force
from db.models import (
    AuditEventRow,
    ComparisonRow,
    EventKind,
    LLMRow,
    QueryRow,
    RatingDetailRow,
    ResponseRow,
    Role,
    TaskRow,
    UserRow,
)  # fmt: skip

_LOCK = 0x507265665275  # imports take turns on PostgreSQL; on SQLite every writer does
_MAX_SOURCE = 300
_BROUGHT = (ComparisonRow, ResponseRow, QueryRow, LLMRow, UserRow)
IMPORT = "import"  # the audit event of a bundle that was stored


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What the database holds after an import, then what the file did."""

    comparisons: int
    users: int
    llms: int
    queries: int
    added: int
    skipped: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import would do: how many `kind` (ratings, or where there are none responses, queries or LLMs) are ready,
    are here already, or were rejected; and what else would be new.
    """

    kind: str
    ready: int
    already: int
    rejected: int
    users: int
    queries: int
    responses: int
    llms: tuple[LLMId, ...]


class _Known(NamedTuple):
    """A response that is stored."""

    id: int
    query_id: int
    llm_id: int


@dataclass
class _Ids:
    """Database ids of everything a bundle names."""

    users: dict[str, int]
    llms: dict[str, int]
    queries: dict[str, int]
    responses: dict[str, _Known]


def preview(session: Session, bundle: Bundle) -> Preview:
    """What `add` would do, by reading alone. Raises InvalidInput where it would."""
    _check_source(bundle)
    _check_users(session, bundle)
    _check_queries(session, bundle)
    new = {
        "ratings": _missing(session, (c.key for c in bundle.comparisons), ComparisonRow.key),
        "responses": _missing(session, (r.response_id for r in bundle.responses), ResponseRow.key),
        "queries": _missing(session, (q.query_id for q in bundle.queries), QueryRow.key),
        "LLMs": _missing(session, (llm.llm_id for llm in bundle.llms), LLMRow.key),
    }
    given = {
        "ratings": len(bundle.comparisons), "responses": len(bundle.responses), "queries": len(bundle.queries),
        "LLMs": len(bundle.llms),
    }  # fmt: skip
    kind = next((kind for kind, count in given.items() if count), "ratings")
    users = _missing(session, (user.user_id for user in bundle.users), UserRow.name)
    return Preview(
        kind, len(new[kind]), given[kind] - len(new[kind]), len(bundle.rejected), len(users), len(new["queries"]),
        len(new["responses"]), tuple(LLMId(key) for key in new["LLMs"]),
    )  # fmt: skip


def content_of(bundle: Bundle) -> str:
    """A fingerprint of what a file brought, whatever the file is called."""
    named = (
        (c.key for c in bundle.comparisons), (r.response_id for r in bundle.responses),
        (q.query_id for q in bundle.queries), (m.llm_id for m in bundle.llms),
    )  # fmt: skip
    return content_hash(*(content_hash(*sorted(keys)) for keys in named))


def told_apart(session: Session, bundle: Bundle) -> Bundle:
    """The bundle of a file under a source of its own: another file of that name was imported before, so "(2)" and so on
    is added. The same file again keeps its source.
    """
    content, name, number = content_of(bundle), bundle.source, 1
    imports = select(AuditEventRow.detail).where(AuditEventRow.action == IMPORT)
    while True:
        source = name if number == 1 else f"{name[: _MAX_SOURCE - 10]} ({number})"
        before = session.scalars(imports.where(AuditEventRow.subject == source)).all()
        if any(detail.get("content") == content for detail in before) or not _in_use(session, source):
            return replace(bundle, source=source)
        number += 1


def _in_use(session: Session, source: str) -> bool:
    brought = (select(row.id).where(row.source == source).limit(1) for row in _BROUGHT)
    return any(session.scalar(one) is not None for one in brought)


def rows_of(bundle: Bundle) -> int:
    """How many rows `add` tells of, at most."""
    return len(bundle.users) + len(bundle.queries) + len(bundle.responses) + len(bundle.comparisons)


def add(session: Session, bundle: Bundle, now: datetime, tell: Callable[[int], None] = lambda _: None) -> ImportReport:
    """Store a bundle. What is there already stays as it is, but blank facts of an LLM or task are filled in.

    `tell` hears of every batch how many rows it had; what it raises ends the import, and the caller's transaction.
    """
    _check_source(bundle)
    return keep(session, bundle, now, tell)


def keep(session: Session, bundle: Bundle, now: datetime, tell: Callable[[int], None] = lambda _: None) -> ImportReport:
    """`add` for what people said to this installation itself, whose source is APP."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    brought = {"source": bundle.source, "created_at": now}
    tasks = _add_tasks(session, bundle)
    llms = _add_llms(session, bundle, brought)
    users = _add_users(session, bundle, brought)
    tell(len(bundle.users))
    queries = _add_queries(session, bundle, tasks, brought)
    tell(len(bundle.queries))
    responses = _add_responses(session, bundle, queries, llms, brought, tell)
    ids = _Ids(users, llms, queries, responses)
    added = _add_comparisons(session, bundle, ids, now, tell)
    return ImportReport(
        *_totals(session), added=added, skipped=len(bundle.comparisons) - added, rejected=len(bundle.rejected)
    )


def add_response(session: Session, response: Response, source: str, now: datetime) -> bool:
    """Store what an LLM that is here responded to a query that is here; False where a response of it is here already,
    which stays.
    """
    # The row of the query is held: of two who bring a response to it, the second sees the first one's.
    query_id = session.scalar(select(QueryRow.id).where(QueryRow.key == response.query_id).with_for_update())
    llm_id = session.scalar(select(LLMRow.id).where(LLMRow.key == response.llm_id))
    if query_id is None or llm_id is None:
        raise InvalidInput("The query or the LLM was removed meanwhile, so its response was not stored.")
    there = select(ResponseRow.id).where(ResponseRow.query_id == query_id, ResponseRow.llm_id == llm_id)
    if session.scalar(there.limit(1)) is not None:
        return False
    queries: dict[str, int] = {response.query_id: query_id}
    llms: dict[str, int] = {response.llm_id: llm_id}
    bundle, brought = Bundle(source, responses=(response,)), {"source": source, "created_at": now}
    _add_responses(session, bundle, queries, llms, brought, lambda _: None)
    return True


def _check_source(bundle: Bundle) -> None:
    if not bundle.source.strip() or len(bundle.source) > _MAX_SOURCE or bundle.source == APP:
        raise InvalidInput(f"The source of an import needs a name of its own, of at most {_MAX_SOURCE} characters.")


def _missing(session: Session, keys: Iterable[str], key: InstrumentedAttribute[str]) -> list[str]:
    """Of those keys, each once and in order: those that are not stored."""
    wanted = list(dict.fromkeys(keys))
    known = _stored(session, wanted, key)
    return [name for name in wanted if name not in known]


def _totals(session: Session) -> tuple[int, int, int, int]:
    counted = (
        select(func.count()).select_from(ComparisonRow).where(in_force()).scalar_subquery(),
        *(select(func.count()).select_from(table).scalar_subquery() for table in (UserRow, LLMRow, QueryRow)),
    )
    comparisons, users, llms, queries = session.execute(select(*counted)).one()
    return comparisons, users, llms, queries


def _stored(session: Session, keys: Iterable[str], *columns: InstrumentedAttribute[Any]) -> dict[str, Any]:
    """Of those keys that are stored: the row of columns, the first of which is the key."""
    found: dict[str, Any] = {}
    for part in parts(dict.fromkeys(keys)):
        found |= {row[0]: row for row in session.execute(select(*columns).where(columns[0].in_(part)))}
    return found


def _ids(
    session: Session, keys: Iterable[str], key: InstrumentedAttribute[str], number: InstrumentedAttribute[int]
) -> dict[str, int]:
    return {name: row[1] for name, row in _stored(session, keys, key, number).items()}


def _fill_blanks(row: TaskRow | LLMRow, facts: Mapping[str, Any]) -> None:
    for name, value in facts.items():
        if getattr(row, name) in ("", None) and value not in ("", None):
            setattr(row, name, value)


def _add_tasks(session: Session, bundle: Bundle) -> dict[str, int]:
    known = {row.name: row for row in session.scalars(select(TaskRow))}
    described = {task.name: task.description for task in bundle.tasks}
    for name in dict.fromkeys([*described, *(query.task for query in bundle.queries if query.task)]):
        if name in known:
            _fill_blanks(known[name], {"description": described.get(name, "")})
        else:
            known[name] = TaskRow(name=name, description=described.get(name, ""))
            session.add(known[name])
    session.flush()
    return {name: row.id for name, row in known.items()}


def _add_llms(session: Session, bundle: Bundle, brought: Mapping[str, Any]) -> dict[str, int]:
    known = {row.key: row for row in session.scalars(select(LLMRow))}
    for llm in bundle.llms:
        facts = {field.name: getattr(llm, field.name) for field in fields(llm) if field.name != "llm_id"}
        if llm.llm_id in known:
            _fill_blanks(known[llm.llm_id], facts)
        else:
            known[llm.llm_id] = LLMRow(key=llm.llm_id, **facts, **brought)
            session.add(known[llm.llm_id])
    session.flush()
    return {key: row.id for key, row in known.items()}


def _add_users(session: Session, bundle: Bundle, brought: Mapping[str, Any]) -> dict[str, int]:
    simulated = {user.user_id: user.simulated for user in bundle.users}
    names = [*simulated, *(c.user_id for c in bundle.comparisons)]
    _check_users(session, bundle)
    rows = ({"name": name, "simulated": flag, "role": Role.RATER, **brought} for name, flag in simulated.items())
    insert_all(session, UserRow, rows)
    return _ids(session, names, UserRow.name, UserRow.id)


def _check_users(session: Session, bundle: Bundle) -> None:
    simulated = {user.user_id: user.simulated for user in bundle.users}
    known = _stored(session, simulated, UserRow.name, UserRow.simulated)
    for name, as_simulated in simulated.items():
        if name in known and known[name][1] != as_simulated:
            here, there = ("simulated", "a person") if known[name][1] else ("a person", "simulated")
            raise InvalidInput(
                f"User '{name}' is {here} here and {there} in the file, so nothing was stored. Rename one of them."
            )


def _add_queries(
    session: Session, bundle: Bundle, tasks: Mapping[str, int], brought: Mapping[str, Any]
) -> dict[str, int]:
    names = [*(q.query_id for q in bundle.queries), *(r.query_id for r in bundle.responses)]
    names += [c.query_id for c in bundle.comparisons]
    known = _check_queries(session, bundle)
    new = {
        query.query_id: {
            "key": query.query_id, "task_id": tasks.get(query.task), "turns": list(query.turns), "rateable": False,
            **brought,
        }
        for query in bundle.queries
        if query.query_id not in known
    }  # fmt: skip
    insert_all(session, QueryRow, new.values())
    return _ids(session, names, QueryRow.key, QueryRow.id)


def _check_queries(session: Session, bundle: Bundle) -> dict[str, Any]:
    known = _stored(session, (query.query_id for query in bundle.queries), QueryRow.key, QueryRow.turns)
    for query in bundle.queries:
        if query.query_id in known and tuple(known[query.query_id][1]) != query.turns:
            raise InvalidInput(f"Query '{query.query_id}' has other words here than in the file; nothing was stored.")
    return known


def _add_responses(
    session: Session, bundle: Bundle, queries: Mapping[str, int], llms: Mapping[str, int], brought: Mapping[str, Any],
    tell: Callable[[int], None],
) -> dict[str, _Known]:  # fmt: skip
    given = {response.response_id: response for response in bundle.responses}
    names = [*given, *(c.response_a for c in bundle.comparisons), *(c.response_b for c in bundle.comparisons)]
    columns = (ResponseRow.key, ResponseRow.id, ResponseRow.query_id, ResponseRow.llm_id)
    known = _stored(session, names, *columns)
    new = [response for key, response in given.items() if key not in known]
    rows = ({**_response(response, queries, llms), **brought} for response in new)
    insert_all(session, ResponseRow, _told(rows, tell))
    mark_rateable(session, {queries[response.query_id] for response in new})
    known |= _stored(session, (response.response_id for response in new), *columns)
    return {key: _Known(*row[1:]) for key, row in known.items()}


def _response(response: Response, queries: Mapping[str, int], llms: Mapping[str, int]) -> dict[str, Any]:
    return {
        "key": response.response_id,
        "query_id": _named(queries, response.query_id, "query"),
        "llm_id": _named(llms, response.llm_id, "LLM"),
        "turns": list(response.turns),
        "text_hash": content_hash(response.text.strip()),
        "self_named": self_named(response.text),
        "traits": response_traits.counted(response.text),
    }


def _told(rows: Iterable[dict[str, Any]], tell: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    for part in parts(rows):
        yield from part
        tell(len(part))


def _named(known: Mapping[str, Any], key: str, what: str) -> Any:
    try:
        return known[key]
    except KeyError:
        raise InvalidInput(f"The import names {what} '{key}' without bringing it; nothing was stored.") from None


def mark_rateable(session: Session, queries: Iterable[int]) -> None:
    """Bring `rateable` up to date for these queries, whose responses changed."""
    mine = ResponseRow.query_id == QueryRow.id
    # Two LLMs and two texts are enough: some pair then differs in both.
    differing = select(
        (func.count(ResponseRow.llm_id.distinct()) > 1) & (func.count(ResponseRow.text_hash.distinct()) > 1)
    ).where(mine)
    for part in parts(queries):
        session.execute(
            update(QueryRow)
            .where(QueryRow.id.in_(part))
            .values(rateable=differing.correlate(QueryRow).scalar_subquery())
            .execution_options(synchronize_session=False)
        )


def _add_comparisons(
    session: Session, bundle: Bundle, ids: _Ids, now: datetime, tell: Callable[[int], None]
) -> int:  # fmt: skip
    known = _stored(session, (c.key for c in bundle.comparisons), ComparisonRow.key)
    new = {c.key: c for c in reversed(bundle.comparisons) if c.key not in known}  # of equal keys the first
    rows = [_comparison(c, ids, bundle.source, now) for c in reversed(new.values())]
    for part in parts(rows):
        session.execute(insert(ComparisonRow), list(part))
        tell(len(part))
    _add_choices(session, {key: c.choice for key, c in new.items() if c.choice})
    return len(rows)


def _add_choices(session: Session, choices: Mapping[str, str]) -> None:
    """Say of comparisons, by their keys, which of them are one choice."""
    numbers = _ids(session, choices, ComparisonRow.key, ComparisonRow.id)
    beside = {"reasons": [], "criteria": {}, "comment": ""}
    for part in parts(choices.items()):
        rows = [{"comparison_id": numbers[key], "choice": choice, **beside} for key, choice in part]
        session.execute(insert(RatingDetailRow), rows)


def _comparison(c: Comparison, ids: _Ids, source: str, now: datetime) -> dict[str, Any]:
    query = _named(ids.queries, c.query_id, "query")
    row: dict[str, Any] = {"query_id": query, "user_id": _named(ids.users, c.user_id, "user")}
    for side, llm, key in (("a", c.llm_a, c.response_a), ("b", c.llm_b, c.response_b)):
        response: _Known = _named(ids.responses, key, "response")
        row |= {f"llm_{side}_id": _named(ids.llms, llm, "LLM"), f"response_{side}_id": response.id}
        if (response.query_id, response.llm_id) != (query, row[f"llm_{side}_id"]):
            raise InvalidInput(
                f"Comparison '{c.key}': response {side.upper()} is not by '{llm}' to this query; nothing was stored."
            )
    return row | {
        "key": c.key, "kind": EventKind.RATING, "outcome": c.outcome, "rated_at": c.rated_at, "recorded_at": now,
        "source": source,
    }  # fmt: skip
