"""Pairs by id, as simulations write them: `user_id, query_id, llm_a, llm_b, outcome`.

The file `queries` (query_id, text, task) must lie beside it; `llms` (llm_id and facts) and `responses` (query_id,
llm_id, text) may. Where no response is known, an empty one stands for it. Users are simulated unless a column
`simulated` says otherwise, and named after their set, since user 1 of one set is nobody of another.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from core.domain import (
    LLM,
    Bundle,
    Comparison,
    LLMId,
    Query,
    QueryId,
    Response,
    ResponseId,
    User,
    UserId,
    content_hash,
)
from core.errors import InvalidInput
from core.importers.arena import WINNERS
from core.importers.gathering import Cells, Gathering, cells, flag, llms_beside, moment, name, queries_beside, text
from core.importers.tables import SUFFIXES as ALL_SUFFIXES
from core.importers.tables import Table

ABOUT = "pairs by id with a file of queries beside it, as simulated users give them"
TEMPLATE = None
SUFFIXES = ALL_SUFFIXES
REQUIRED = frozenset({"user_id", "query_id", "llm_a", "llm_b", "outcome"})
OPTIONAL = frozenset({"order", "rated_at", "simulated"})


def read(table: Table) -> Bundle:
    """Every row is one comparison or one `Rejected`. Raises UnreadableFile."""
    gathered, repeats = Gathering(), Counter[str]()
    table.columns()  # what is wrong with this file comes before what is wrong with those beside it
    given_set = Set.beside(table, gathered)

    def add(_: int, given: Cells) -> None:
        query, user = given_set.query(given), given_set.user(given)
        outcome = WINNERS.get(name(given, "outcome").lower())
        if outcome is None:
            raise InvalidInput(f"outcome is none ({name(given, 'outcome')[:60]!r}).")
        llms = LLMId(name(given, "llm_a")), LLMId(name(given, "llm_b"))
        content = content_hash(
            "choices", given_set.mark, user.user_id, query.query_id, *llms, outcome, text(given, "order", "")
        )
        key = content_hash(content, str(repeats[content]))
        sides = [given_set.reply(query, llm) for llm in llms]
        said = Comparison(
            user.user_id, query.query_id, *llms, outcome, sides[0], sides[1], key, moment(given, "rated_at")
        )
        repeats[content] += 1
        gathered.users.setdefault(user.user_id, user)
        gathered.comparisons[key] = said

    gathered.take(table, REQUIRED, OPTIONAL, add)
    return gathered.bundle(table.name, *given_set.warnings())


@dataclass(frozen=True)
class Set:
    """What lies beside a file of ids: its queries by id, the responses that are known, and a mark of the set."""

    mark: str
    queries: Mapping[str, Query]
    replies: dict[tuple[QueryId, LLMId], ResponseId]
    gathered: Gathering

    @classmethod
    def beside(cls, table: Table, gathered: Gathering) -> Self:
        """The files `queries`, and `llms` and `responses` if they are there. Raises UnreadableFile."""
        queries = queries_beside(table, gathered)
        for llm in llms_beside(table):
            gathered.keep_llm(llm)
        return cls(content_hash(*sorted(gathered.queries))[:6], queries, _replies(table, queries, gathered), gathered)

    def query(self, given: Cells) -> Query:
        """The query of a row. Raises InvalidInput where it is not in the file of queries."""
        found = self.queries.get(name(given, "query_id"))
        if found is None:
            raise InvalidInput(f"query_id is not in the file of queries ({name(given, 'query_id')[:60]!r}).")
        return found

    def user(self, given: Cells) -> User:
        """Who said it: user 1 of one set is nobody of another."""
        return User(UserId(sys.intern(f"set-{self.mark}-{name(given, 'user_id')}")), flag(given, "simulated", True))

    def reply(self, query: Query, llm: LLMId) -> ResponseId:
        """The response of this LLM; an empty one where none is known."""
        at = query.query_id, llm
        if at not in self.replies:
            self.gathered.keep_llm(LLM(llm, llm))
            self.replies[at] = self.gathered.keep_response(Response(query.query_id, llm, ("",)))
        return self.replies[at]

    def warnings(self) -> tuple[str, ...]:
        """That users are simulated, if some are."""
        simulated = sum(user.simulated for user in self.gathered.users.values())
        return (f"{simulated:,} simulated users, marked so.",) if simulated else ()


def _replies(
    table: Table, queries: Mapping[str, Query], gathered: Gathering
) -> dict[tuple[QueryId, LLMId], ResponseId]:
    found: dict[tuple[QueryId, LLMId], ResponseId] = {}
    beside = table.beside("responses")
    for _, record in beside.rows({"query_id", "llm_id", "text"}) if beside else ():
        given = cells(record)
        query, llm = queries.get(name(given, "query_id")), LLMId(name(given, "llm_id"))
        if query is not None:
            gathered.keep_llm(LLM(llm, llm))
            response = Response(query.query_id, llm, (text(given, "text", ""),))
            found[query.query_id, llm] = gathered.keep_response(response)
    gathered.repeats = 0
    return found
