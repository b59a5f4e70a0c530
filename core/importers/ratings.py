"""A flat table of ratings, one pair a row: what a spreadsheet can hold, and our own export as CSV.

A row holds `user, query, llm_a, llm_b, response_a, response_b, outcome` (a, b, tie, both_bad, or arena's words), and
may hold `task`, `rated_at`, `simulated`, `comparison_key` and `choice`. One turn a query; conversations are the arena
format's.
"""

from core.domain import Bundle, Rejected
from core.errors import InvalidInput
from core.exporters.files import unescaped
from core.importers import arena
from core.importers.gathering import Cells, cells, flag, moment, name, printable, text
from core.importers.tables import SUFFIXES as ALL_SUFFIXES
from core.importers.tables import Table

ABOUT = "a flat table of ratings: user, query, two LLMs, their responses, the outcome"
SUFFIXES = ALL_SUFFIXES
REQUIRED = frozenset({"user", "query", "llm_a", "llm_b", "response_a", "response_b", "outcome"})
OPTIONAL = frozenset({"task", "rated_at", "simulated", "comparison_key", "choice"})
TEMPLATE = (
    "ratings.csv",
    """user,task,query,llm_a,llm_b,response_a,response_b,outcome,rated_at
ann,explain,"What is a tide?",llm-1,llm-2,"The sea rising and falling.","Water pulled by the Moon.",b,2026-01-31T09:30
ben,explain,"What is a tide?",llm-2,llm-1,"Water pulled by the Moon.","The sea rising and falling.",tie,
""",
)
_CALLED = {
    "judge": "user", "model_a": "llm_a", "model_b": "llm_b", "winner": "outcome", "category": "task",
    "conversation_a": "response_a", "conversation_b": "response_b", "tstamp": "rated_at",
}  # fmt: skip


def read(table: Table) -> Bundle:
    """Every row is one comparison or one `Rejected`. Raises UnreadableFile."""
    reading, spreadsheet = arena.Reading(), table.name.lower().endswith(".csv")
    for number, record in table.rows(REQUIRED, OPTIONAL):
        try:
            given = cells(record)
            if spreadsheet:
                given = {k: unescaped(v) if isinstance(v, str) else v for k, v in given.items()}
            reading.add(number, as_arena(given))
        except InvalidInput as error:
            column, _, why = str(error).partition(" ")
            word = column.rstrip(":")
            why = why.replace("model_a", "llm_a").replace("conversation_a", "response_a")
            reason = f"{_CALLED.get(word, word)}{column[len(word) :]} {why}"
            reading.rejected.append(Rejected(number, printable(reason)))
    return reading.bundle(table.name)


def as_arena(given: Cells) -> dict[str, object]:
    """The row in the columns of the arena format."""
    query = text(given, "query")
    if not query.strip():
        raise InvalidInput("query is empty.")
    asked = {"role": "user", "content": query}
    rated_at = moment(given, "rated_at")
    row: dict[str, object] = {
        "judge": name(given, "user"), "model_a": name(given, "llm_a"), "model_b": name(given, "llm_b"),
        "winner": name(given, "outcome").lower(), "category": text(given, "task", ""),
        "simulated": flag(given, "simulated", False),
    }  # fmt: skip
    for side in "ab":  # an empty response is real
        said = {"role": "assistant", "content": text(given, f"response_{side}", "")}
        row[f"conversation_{side}"] = [asked, said]
    if rated_at:
        row["tstamp"] = rated_at
    for column in ("comparison_key", "choice"):
        if key := text(given, column, ""):
            row[column] = key
    return row
