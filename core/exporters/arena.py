"""The arena format (see `core.importers.arena`), with `comparison_key` and `simulated` so that it reads back whole."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from core.domain import Comparison, LLMId, Outcome, Query, QueryId, Response, ResponseId, User, UserId
from core.errors import InvalidInput
from core.exporters import ExportReport, Row, write_rows

WINNERS = {Outcome.A: "model_a", Outcome.B: "model_b", Outcome.TIE: "tie", Outcome.BOTH_BAD: "tie (bothbad)"}

_ROLES = ("user", "assistant")
_CONVERSATION = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema(
    [
        ("question_id", pa.string()),
        ("model_a", pa.string()),
        ("model_b", pa.string()),
        ("winner", pa.string()),
        ("judge", pa.string()),
        ("conversation_a", _CONVERSATION),
        ("conversation_b", _CONVERSATION),
        ("turn", pa.int64()),
        ("category", pa.string()),
        ("tstamp", pa.float64()),
        ("comparison_key", pa.string()),
        ("simulated", pa.bool_()),
    ]
)


def write_arena(
    path: Path,
    comparisons: Iterable[Comparison],
    queries: Iterable[Query],
    responses: Iterable[Response],
    users: Iterable[User],
) -> ExportReport:
    """Write each comparison as one row, in the given order, to a .jsonl, .jsonl.gz or .parquet file.

    `comparisons` is read once and streamed; the others are indexed and may hold more than is needed. Reading the file
    back gives equal comparisons, queries and responses where query ids are `Query.id_of` their turns. Raises
    InvalidInput, with nothing written, where a comparison's query, user or response is not given or does not fit it.
    """
    by_query = {query.query_id: query for query in queries}
    by_response = {response.response_id: response for response in responses}
    by_user = {user.user_id: user for user in users}
    return write_rows(path, SCHEMA, _rows(comparisons, by_query, by_response, by_user))


def _rows(
    comparisons: Iterable[Comparison],
    queries: Mapping[QueryId, Query],
    responses: Mapping[ResponseId, Response],
    users: Mapping[UserId, User],
) -> Iterator[Row]:
    for c in comparisons:
        if c.query_id not in queries or c.user_id not in users:
            raise _misfit(c, "its query or its user is not among those given")
        query = queries[c.query_id]
        yield {
            "question_id": query.query_id,
            "model_a": c.llm_a,
            "model_b": c.llm_b,
            "winner": WINNERS[c.outcome],
            "judge": c.user_id,
            "conversation_a": _conversation(c, query, responses.get(c.response_a), c.llm_a),
            "conversation_b": _conversation(c, query, responses.get(c.response_b), c.llm_b),
            "turn": len(query.turns),
            "category": query.task or None,
            "tstamp": c.rated_at.timestamp() if c.rated_at else None,
            "comparison_key": c.key,
            "simulated": users[c.user_id].simulated,
        }


def _conversation(c: Comparison, query: Query, response: Response | None, llm: LLMId) -> list[dict[str, str]]:
    if response is None or (response.query_id, response.llm_id) != (c.query_id, llm):
        raise _misfit(c, f"the response of '{llm}' is not among those given")
    if len(response.turns) != len(query.turns):
        raise _misfit(c, f"'{llm}' has {len(response.turns)} responses to {len(query.turns)} turns")
    pairs = zip(query.turns, response.turns, strict=True)
    return [{"role": r, "content": text} for pair in pairs for r, text in zip(_ROLES, pair, strict=True)]


def _misfit(c: Comparison, why: str) -> InvalidInput:
    return InvalidInput(f"Comparison '{c.key[:60]}' cannot be exported, so nothing was written: {why}.")
