"""A flat table, one rating a row, for spreadsheets and the importer of the same name. Holds the judged turn alone."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from core.domain import Comparison
from core.exporters.files import ExportReport, Row, write_rows
from core.exporters.material import Material

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("user", "task", "query", "llm_a", "llm_b", "response_a", "response_b")),
        ("outcome", pa.string()), ("rated_at", pa.string()), ("simulated", pa.bool_()), ("comparison_key", pa.string()),
        ("turn", pa.int64()), ("choice", pa.string()),
    ]
)  # fmt: skip
COLUMNS = {
    "query": "the last turn of the query", "outcome": "a, b, tie or both_bad", "rated_at": "ISO time, where known",
    "turn": "which turn of its conversation this is", "simulated": "whether the user is a program",
    "choice": "equal in the rows that one choice among several responses became; they are not independent",
}  # fmt: skip
SUFFIXES = (".csv", ".jsonl", ".jsonl.gz", ".parquet")


def write(path: Path, comparisons: Iterable[Comparison], material: Material) -> ExportReport:
    """Write each comparison as one row, in the given order."""
    return write_rows(path, SCHEMA, _rows(comparisons, material))


def _rows(comparisons: Iterable[Comparison], material: Material) -> Iterator[Row]:
    for c in comparisons:
        talk_a, talk_b = material.conversations(c)
        query = material.query(c)
        yield {
            "user": material.called(c.user_id), "task": query.task or None, "query": query.turns[-1], "llm_a": c.llm_a,
            "llm_b": c.llm_b, "response_a": talk_a[-1]["content"], "response_b": talk_b[-1]["content"],
            "outcome": c.outcome.value, "rated_at": c.rated_at.isoformat() if c.rated_at else None,
            "simulated": material.users[c.user_id].simulated, "comparison_key": c.key, "turn": len(query.turns),
            "choice": c.choice or None,
        }  # fmt: skip
