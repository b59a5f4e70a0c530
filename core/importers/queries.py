"""Queries alone, to be answered later by the LLMs registered here: `query`, and `task` where known."""

from core.domain import Bundle
from core.importers.gathering import Cells, Gathering, query_of, text
from core.importers.tables import SUFFIXES as ALL_SUFFIXES
from core.importers.tables import Table

ABOUT = "queries alone, to generate responses for"
SUFFIXES = ALL_SUFFIXES
REQUIRED = frozenset({"query"})
OPTIONAL = frozenset({"task"})
TEMPLATE = ("queries.csv", 'query,task\n"What is a tide?",explain\n"Write a limerick about rain.",write\n')


def read(table: Table) -> Bundle:
    """Every row is one query or one `Rejected`; equal words are one query. Raises UnreadableFile."""
    gathered = Gathering()

    def add(_: int, given: Cells) -> None:
        query = query_of((text(given, "query"),), text(given, "task", "").strip())
        gathered.repeats += query.query_id in gathered.queries
        gathered.keep_query(query)

    gathered.take(table, REQUIRED, OPTIONAL, add)
    return gathered.bundle(table.name)
