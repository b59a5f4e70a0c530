"""Scores of LLMs by an automatic grader, `query_id, llm_id, quality` (0 to 1), with a file `queries` beside them.

A score compares with nobody, so each query's LLMs are set in a circle, by content, and each is compared with the next:
as many comparisons as scores. The higher score wins; equal scores are a tie from one half up, and both bad below. The
grader is a program, so it is marked as a simulated user. Responses are not in such files; empty ones stand for them.
"""

from core.domain import LLM, Bundle, Comparison, LLMId, Outcome, Query, Response, User, UserId, content_hash
from core.errors import InvalidInput
from core.importers.gathering import Cells, Gathering, llms_beside, name, number, queries_beside
from core.importers.tables import SUFFIXES as ALL_SUFFIXES
from core.importers.tables import Table

ABOUT = "scores of an automatic grader by id, with a file of queries beside it"
TEMPLATE = None
SUFFIXES = ALL_SUFFIXES
REQUIRED = frozenset({"query_id", "llm_id", "quality"})
OPTIONAL: frozenset[str] = frozenset()
GOOD = 0.5


def read(table: Table) -> Bundle:
    """Every row is one score, or one `Rejected`. Raises UnreadableFile."""
    gathered, scores = Gathering(), dict[str, dict[LLMId, float]]()
    table.columns()
    queries = queries_beside(table, gathered)
    for llm in llms_beside(table):
        gathered.keep_llm(llm)

    def add(_: int, given: Cells) -> None:
        query, llm, quality = name(given, "query_id"), LLMId(name(given, "llm_id")), number(given, "quality")
        if query not in queries:
            raise InvalidInput(f"query_id is not in the file of queries ({query[:60]!r}).")
        if quality is None or not 0 <= quality <= 1:
            raise InvalidInput(f"quality is {quality}; it must be a number from 0 to 1.")
        if llm in scores.setdefault(query, {}):
            raise InvalidInput(f"llm_id has a score for this query already ({llm[:60]!r}).")
        scores[query][llm] = quality
        gathered.keep_llm(LLM(llm, llm))

    gathered.take(table, REQUIRED, OPTIONAL, add)
    grader = User(UserId(f"grader-{content_hash(*sorted(gathered.queries))[:6]}"), simulated=True)
    for query, found in scores.items():
        grade(gathered, grader, queries[query], found)
    return gathered.bundle(table.name, "The grader is a program and marked as a simulated user.")


def grade(gathered: Gathering, grader: User, query: Query, scores: dict[LLMId, float]) -> None:
    """Keep what one query's scores say, as comparisons around a circle; of two LLMs one, of one LLM none."""
    circle = sorted(scores, key=lambda llm: content_hash(query.query_id, llm))
    pairs = list(zip(circle, circle[1:] + circle[:1], strict=True))[: len(circle) if len(circle) > 2 else 1]
    for a, b in pairs if len(circle) > 1 else ():
        sides = [gathered.keep_response(Response(query.query_id, llm, ("",))) for llm in (a, b)]
        outcome = _outcome(scores[a], scores[b])
        key = content_hash("scores", grader.user_id, query.query_id, a, b, outcome)
        gathered.comparisons[key] = Comparison(grader.user_id, query.query_id, a, b, outcome, sides[0], sides[1], key)
        gathered.users[grader.user_id] = grader
    gathered.repeats = 0


def _outcome(a: float, b: float) -> Outcome:
    if a == b:
        return Outcome.TIE if a >= GOOD else Outcome.BOTH_BAD
    return Outcome.A if a > b else Outcome.B
