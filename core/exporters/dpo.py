"""Preference pairs for training LLMs: `prompt, chosen, rejected` as lists of `{role, content}`, as TRL reads them.

`prompt` is the query's first turn; `chosen` and `rejected` are what followed with each LLM, up to the reply that was
judged. Nothing of a "both bad" is chosen. Columns beside those say who preferred what, and how much a row should weigh.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from core.domain import Comparison, Outcome
from core.errors import InvalidInput
from core.exporters.files import ExportReport, Row, write_rows
from core.exporters.material import CONVERSATION, Material

TIES = ("drop", "both")  # leave ties out, or write each twice, once either way, at half the weight
SCHEMA = pa.schema(
    [
        ("prompt", CONVERSATION), ("chosen", CONVERSATION), ("rejected", CONVERSATION), ("chosen_model", pa.string()),
        ("rejected_model", pa.string()), ("user", pa.string()), ("task", pa.string()), ("weight", pa.float64()),
        ("rated_at", pa.float64()), ("comparison_key", pa.string()), ("simulated", pa.bool_()),
    ]
)  # fmt: skip
COLUMNS = {
    "prompt": "the query's first turn, as messages", "chosen": "what followed with the preferred LLM",
    "rejected": "what followed with the other LLM", "weight": "1, or one half for either way of a tie",
    "user": "who preferred it", "rated_at": "seconds since 1970, where known",
}  # fmt: skip
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")


def write(path: Path, comparisons: Iterable[Comparison], material: Material, ties: str = "drop") -> ExportReport:
    """Write decisive comparisons, and ties as `ties` says. Raises InvalidInput with nothing written."""
    if ties not in TIES:
        raise InvalidInput(f"Ties can be {' or '.join(TIES)}, not '{ties[:40]}'; nothing was written.")
    return write_rows(path, SCHEMA, _rows(comparisons, material, ties))


def _rows(comparisons: Iterable[Comparison], material: Material, ties: str) -> Iterator[Row]:
    for c in comparisons:
        if c.outcome is Outcome.BOTH_BAD or (c.outcome is Outcome.TIE and ties == "drop"):
            continue
        talk_a, talk_b = material.conversations(c)
        a, b = (c.llm_a, talk_a), (c.llm_b, talk_b)
        ways = {Outcome.A: [(a, b)], Outcome.B: [(b, a)], Outcome.TIE: [(a, b), (b, a)]}[c.outcome]
        for (chosen_model, chosen), (rejected_model, rejected) in ways:
            yield {
                "prompt": chosen[:1], "chosen": chosen[1:], "rejected": rejected[1:], "chosen_model": chosen_model,
                "rejected_model": rejected_model, "user": material.called(c.user_id),
                "task": material.query(c).task or None, "weight": 1 / len(ways),
                "rated_at": c.rated_at.timestamp() if c.rated_at else None,
                "comparison_key": c.key if len(ways) == 1 else None,
                "simulated": material.users[c.user_id].simulated,
            }  # fmt: skip
