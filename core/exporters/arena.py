"""The arena format (see `core.importers.arena`), with all of its optional columns, so that it reads back whole."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from core.domain import Comparison, Outcome
from core.exporters.files import ExportReport, Row, write_rows
from core.exporters.material import CONVERSATION, Material

WINNERS = {Outcome.A: "model_a", Outcome.B: "model_b", Outcome.TIE: "tie", Outcome.BOTH_BAD: "tie (bothbad)"}

SCHEMA = pa.schema(
    [
        ("question_id", pa.string()),
        ("model_a", pa.string()),
        ("model_b", pa.string()),
        ("winner", pa.string()),
        ("judge", pa.string()),
        ("conversation_a", CONVERSATION),
        ("conversation_b", CONVERSATION),
        ("turn", pa.int64()),
        ("category", pa.string()),
        ("tstamp", pa.float64()),
        ("comparison_key", pa.string()),
        ("simulated", pa.bool_()),
        ("choice", pa.string()),
    ]
)
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
COLUMNS = {
    "model_a": "the LLM on side A", "winner": "model_a, model_b, tie or tie (bothbad)", "judge": "the user",
    "turn": "how many turns of the user there are; the last is judged", "category": "the task",
    "tstamp": "seconds since 1970, where known", "simulated": "whether the user is a program",
    "choice": "equal in the rows that one choice among several responses became; they are not independent",
}  # fmt: skip


def write(path: Path, comparisons: Iterable[Comparison], material: Material) -> ExportReport:
    """Write each comparison as one row, in the given order, to a .jsonl, .jsonl.gz or .parquet file.

    Reading the file back gives equal comparisons, queries and responses where query ids are `Query.id_of` their turns.
    Raises InvalidInput, with nothing written, where a comparison's query, user or response is not there or misfits.
    """
    return write_rows(path, SCHEMA, _rows(comparisons, material))


def _rows(comparisons: Iterable[Comparison], material: Material) -> Iterator[Row]:
    for c in comparisons:
        talk_a, talk_b = material.conversations(c)
        query = material.query(c)
        yield {
            "question_id": query.query_id,
            "model_a": c.llm_a,
            "model_b": c.llm_b,
            "winner": WINNERS[c.outcome],
            "judge": material.called(c.user_id),
            "conversation_a": talk_a,
            "conversation_b": talk_b,
            "turn": len(query.turns),
            "category": query.task or None,
            "tstamp": c.rated_at.timestamp() if c.rated_at else None,
            "comparison_key": c.key,
            "simulated": material.users[c.user_id].simulated,
            "choice": c.choice or None,
        }
