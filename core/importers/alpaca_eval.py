"""The `model_outputs` of AlpacaEval, one `{dataset, instruction, output, generator}` a row: responses, no ratings."""

from dataclasses import replace

from core.domain import Bundle
from core.importers import responses
from core.importers.tables import Table

ABOUT = "AlpacaEval's model_outputs: responses, no ratings"
TEMPLATE = None
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")
REQUIRED = frozenset({"instruction", "output", "generator"})
OPTIONAL = frozenset({"dataset"})
_STANDS_FOR = {"query": "instruction", "response": "output", "llm": "generator", "task": "dataset"}


def read(table: Table) -> Bundle:
    """Every row is one response or one `Rejected`. Raises UnreadableFile."""
    present = table.columns()
    mapping = {ours: table.mapping.get(theirs, theirs) for ours, theirs in _STANDS_FOR.items() if theirs in present}
    return responses.read(replace(table, mapping=mapping))
