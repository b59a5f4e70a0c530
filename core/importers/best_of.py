"""Choices of the best among all LLMs of a set, as simulations write them: `user_id, query_id, llm_id`, the one chosen.

The files `queries` (query_id, text, task) and `llms` (llm_id and facts), which says among whom was chosen, must lie
beside it; `responses` (query_id, llm_id, text) may. A row becomes a comparison of the chosen LLM with each other, which
carry that they are one choice. Users and responses are told as those of pairs by id are (`core.importers.choices`): so
the same person of two files of one set is one.
"""

from core.domain import Bundle, Comparison, LLMId, Outcome, content_hash
from core.errors import InvalidInput
from core.importers.choices import Set
from core.importers.gathering import Cells, Gathering, moment, name, text
from core.importers.tables import SUFFIXES as ALL_SUFFIXES
from core.importers.tables import Table

ABOUT = "the best of all LLMs by id, with files of queries and LLMs beside it, as simulated users choose it"
TEMPLATE = None
SUFFIXES = ALL_SUFFIXES
REQUIRED = frozenset({"user_id", "query_id", "llm_id"})
OPTIONAL = frozenset({"order", "rated_at", "simulated"})


def read(table: Table) -> Bundle:
    """Every row is the comparisons of one choice, or one `Rejected`. Raises UnreadableFile."""
    gathered, made = Gathering(), set[str]()
    table.columns()  # what is wrong with this file comes before what is wrong with those beside it
    table.needed("llms")
    given_set = Set.beside(table, gathered)
    llms = tuple(gathered.llms)

    def add(_: int, given: Cells) -> None:
        query, user, best = given_set.query(given), given_set.user(given), LLMId(name(given, "llm_id"))
        if best not in gathered.llms or len(llms) < 2:
            raise InvalidInput(f"llm_id is not in the file of LLMs, or the only one there ({best[:60]!r}).")
        at = moment(given, "rated_at")
        choice = content_hash("best_of", given_set.mark, user.user_id, query.query_id, best, text(given, "order", ""))
        if choice in made:
            gathered.repeats += 1
            return
        made.add(choice)
        gathered.users.setdefault(user.user_id, user)
        for other in llms:
            if other != best:
                key = content_hash(choice, other)
                # The side is the choice's and the LLM's own, or A would always win.
                sides = (best, other) if int(key[0], 16) % 2 else (other, best)
                gathered.comparisons[key] = Comparison(
                    user.user_id, query.query_id, *sides, Outcome.A if sides[0] == best else Outcome.B,
                    given_set.reply(query, sides[0]), given_set.reply(query, sides[1]), key, at,
                    choice if len(llms) > 2 else "",
                )  # fmt: skip

    gathered.take(table, REQUIRED, OPTIONAL, add)
    return gathered.bundle(table.name, *given_set.warnings())
