"""The edges of the graph that the network is trained on (see `core.graph`), one rating a row, without any text.

A rating is three edges into its user: from the query, from the LLM on side A and from the one on side B. `label` is 1
where A was preferred, 0 where B was and one half for neither, as the loss takes it; `sign` is the same from -1 to 1.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from core.domain import Comparison
from core.exporters.files import ExportReport, Row, write_rows
from core.exporters.material import Material

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("user", "query_id", "task", "llm_a", "llm_b", "outcome")),
        ("label", pa.float64()), ("sign", pa.float64()), ("rated_at", pa.float64()), ("simulated", pa.bool_()),
    ]
)  # fmt: skip
COLUMNS = {
    "label": "1 where A was preferred, 0 where B was, one half for neither", "sign": "2 * label - 1",
    "rated_at": "seconds since 1970, where known",
}  # fmt: skip
SUFFIXES = (".csv", ".jsonl", ".jsonl.gz", ".parquet")


def write(path: Path, comparisons: Iterable[Comparison], material: Material) -> ExportReport:
    """Write each comparison as one row, in the given order."""
    return write_rows(path, SCHEMA, _rows(comparisons, material))


def _rows(comparisons: Iterable[Comparison], material: Material) -> Iterator[Row]:
    for c in comparisons:
        label = c.outcome.label
        yield {
            "user": material.called(c.user_id), "query_id": c.query_id, "task": material.query(c).task or None,
            "llm_a": c.llm_a, "llm_b": c.llm_b, "outcome": c.outcome.value, "label": label, "sign": 2 * label - 1,
            "rated_at": c.rated_at.timestamp() if c.rated_at else None,
            "simulated": material.users[c.user_id].simulated,
        }  # fmt: skip
