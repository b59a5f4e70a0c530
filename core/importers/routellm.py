"""RouteLLM's evaluation sets: whether a strong and a weak LLM were right, one query a row.

`query_text, strong_correct, weak_correct`, with `benchmark` (the task). The two LLMs are those of the published sets.
Both right is a tie, both wrong is both bad; the grader is a program and marked as a simulated user.
"""

from core.domain import LLM, Bundle, LLMId, User, UserId
from core.importers.gathering import Cells, Gathering, flag, query_of, text
from core.importers.scores import grade
from core.importers.tables import SUFFIXES as ALL_SUFFIXES
from core.importers.tables import Table

ABOUT = "RouteLLM's sets: was the strong LLM right, and the weak one"
TEMPLATE = None
SUFFIXES = ALL_SUFFIXES
REQUIRED = frozenset({"query_text", "strong_correct", "weak_correct"})
OPTIONAL = frozenset({"benchmark"})
STRONG, WEAK = LLM(LLMId("gpt-4-1106-preview"), "GPT-4 Turbo"), LLM(LLMId("mixtral-8x7b-instruct-v0.1"), "Mixtral 8x7B")
GRADER = User(UserId("grader-routellm"), simulated=True)


def read(table: Table) -> Bundle:
    """Every row is one comparison or one `Rejected`; equal words are one query. Raises UnreadableFile."""
    gathered, seen = Gathering(llms={llm.llm_id: llm for llm in (STRONG, WEAK)}), 0

    def add(_: int, given: Cells) -> None:
        nonlocal seen
        query = query_of((text(given, "query_text"),), text(given, "benchmark", ""))
        strong, weak = (flag(given, f"{which}_correct", False) for which in ("strong", "weak"))
        seen += query.query_id in gathered.queries
        gathered.keep_query(query)
        grade(gathered, GRADER, query, {STRONG.llm_id: float(strong), WEAK.llm_id: float(weak)})

    gathered.take(table, REQUIRED, OPTIONAL, add)
    gathered.repeats = seen
    return gathered.bundle(table.name, "The grader is a program and marked as a simulated user.")
