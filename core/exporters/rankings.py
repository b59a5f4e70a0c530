"""One row for each person and query: the LLMs they compared there, best first, equals together.

An LLM stands by its wins minus its losses in that person's comparisons of that query. `consistent` is false where some
comparison contradicts the order, as in a circle. LLMs of a comparison "both bad" are named in `unacceptable`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from core.domain import Comparison, LLMId, Outcome, QueryId, ResponseId, UserId
from core.exporters.files import ExportReport, Row, write_rows
from core.exporters.material import Material

_TEXTS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        ("user", pa.string()), ("query_id", pa.string()), ("task", pa.string()), ("prompt", _TEXTS),
        ("ranking", pa.list_(_TEXTS)), ("unacceptable", _TEXTS),
        ("responses", pa.list_(pa.struct([("llm", pa.string()), ("response", pa.string())]))),
        ("comparisons", pa.int64()), ("consistent", pa.bool_()), ("simulated", pa.bool_()),
    ]
)  # fmt: skip
COLUMNS = {
    "prompt": "the turns of the query", "ranking": "LLMs, best first; those in one list are equal",
    "unacceptable": "LLMs of a pair that was called both bad", "responses": "the judged reply of each LLM",
    "comparisons": "how many comparisons the ranking rests on",
    "consistent": "whether every one of them agrees with it",
}  # fmt: skip
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")

Said = tuple[LLMId, LLMId, Outcome, ResponseId, ResponseId]


def write(path: Path, comparisons: Iterable[Comparison], material: Material) -> ExportReport:
    """Write a ranking for each person and query, in the order of their first comparison."""
    grouped: dict[tuple[UserId, QueryId], list[Said]] = {}
    for c in comparisons:
        said = (c.llm_a, c.llm_b, c.outcome, c.response_a, c.response_b)
        grouped.setdefault((c.user_id, c.query_id), []).append(said)
    return write_rows(path, SCHEMA, _rows(grouped, material))


def tiers(said: Sequence[Said]) -> tuple[list[list[LLMId]], bool]:
    """The LLMs best first with equals together, and whether every comparison agrees with that."""
    score = Counter[LLMId]()
    for a, b, outcome, *_ in said:
        won = {Outcome.A: 1, Outcome.B: -1}.get(outcome, 0)
        score[a] += won
        score[b] -= won
    order = [
        [llm for llm in sorted(score) if score[llm] == level] for level in sorted(set(score.values()), reverse=True)
    ]
    wanted = {Outcome.A: 1, Outcome.B: -1}
    agree = all((score[a] > score[b]) - (score[a] < score[b]) == wanted.get(outcome, 0) for a, b, outcome, *_ in said)
    return order, agree


def _rows(grouped: dict[tuple[UserId, QueryId], list[Said]], material: Material) -> Iterator[Row]:
    for (user, query_id), said in grouped.items():
        query, (ranking, consistent) = material.queries[query_id], tiers(said)
        replies = {llm: key for a, b, _, in_a, in_b in said for llm, key in ((a, in_a), (b, in_b))}
        bad = {llm for a, b, outcome, *_ in said if outcome is Outcome.BOTH_BAD for llm in (a, b)}
        yield {
            "user": material.called(user), "query_id": query_id, "task": query.task or None,
            "prompt": list(query.turns),
            "ranking": ranking, "unacceptable": sorted(bad),
            "responses": [{"llm": llm, "response": material.responses[key].text} for llm, key in replies.items()],
            "comparisons": len(said), "consistent": consistent, "simulated": material.users[user].simulated,
        }  # fmt: skip
