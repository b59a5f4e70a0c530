"""Responses of LLMs to queries, one a row, with no ratings: `query, llm, response`, and `task` where known.

In JSON and parquet, `query` and `response` may be lists of the turns of a conversation.
"""

from core.domain import LLM, Bundle, LLMId, Response
from core.errors import InvalidInput
from core.importers.gathering import Cells, Gathering, name, query_of, text
from core.importers.tables import SUFFIXES as ALL_SUFFIXES
from core.importers.tables import Table

ABOUT = "responses of LLMs to queries, to be rated"
SUFFIXES = ALL_SUFFIXES
REQUIRED = frozenset({"query", "llm", "response"})
OPTIONAL = frozenset({"task"})
TEMPLATE = (
    "responses.csv",
    """query,task,llm,response
"What is a tide?",explain,llm-1,"The sea rising and falling."
"What is a tide?",explain,llm-2,"Water pulled by the Moon."
""",
)


def read(table: Table) -> Bundle:
    """Every row is one response or one `Rejected`; equal rows count once. Raises UnreadableFile."""
    gathered = Gathering()

    def add(_: int, given: Cells) -> None:
        query = query_of(_turns(given, "query"), text(given, "task", "").strip())
        llm = LLM(LLMId(name(given, "llm")), name(given, "llm"))
        replies = _turns(given, "response") if "response" in given else ("",)  # an empty reply is real
        if len(replies) != len(query.turns):
            raise InvalidInput(f"response has {len(replies)} turns and query has {len(query.turns)}.")
        response = Response(query.query_id, llm.llm_id, replies)
        gathered.keep_query(query)
        gathered.keep_llm(llm)
        gathered.keep_response(response)

    gathered.take(table, REQUIRED, OPTIONAL, add)
    return gathered.bundle(table.name)


def _turns(given: Cells, column: str) -> tuple[str, ...]:
    value = given.get(column)
    if isinstance(value, list):
        if not value or not all(isinstance(turn, str) for turn in value):
            raise InvalidInput(f"{column} is a list of something else than text.")
        return tuple(value)
    return (text(given, column),)
