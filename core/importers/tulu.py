"""The human evaluation of Tulu (allenai/open-instruct): the arena schema with how much better, and what is acceptable.

`strength` is one of `a-is-better`, `a-is-slightly-better`, `tie`, `b-is-slightly-better`, `b-is-better`; `acceptable_a`
and `acceptable_b` say whether each response would do by itself. A tie of two unacceptable responses is "both bad". A
`winner` that is there must agree.
"""

from core.domain import Bundle, Outcome, Rejected
from core.errors import InvalidInput
from core.importers import arena
from core.importers.gathering import Cells, cells, flag, name
from core.importers.tables import Table

ABOUT = "votes with five degrees and acceptability, as in Tulu's human evaluation"
TEMPLATE = None
SUFFIXES = arena.SUFFIXES
REQUIRED = (arena.REQUIRED - {"winner"}) | {"strength", "acceptable_a", "acceptable_b"}
OPTIONAL = arena.OPTIONAL | {"winner"}
STRENGTHS = {
    "a-is-better": Outcome.A, "a-is-slightly-better": Outcome.A, "tie": Outcome.TIE,
    "b-is-slightly-better": Outcome.B, "b-is-better": Outcome.B,
}  # fmt: skip


def read(table: Table) -> Bundle:
    """Every row is one comparison or one `Rejected`. Raises UnreadableFile."""
    reading = arena.Reading()
    for number, record in table.rows(REQUIRED, OPTIONAL):
        try:
            given = cells(record)
            reading.add(number, {**given, "winner": _winner(given)})
        except InvalidInput as error:
            reading.rejected.append(Rejected(number, str(error)))
    return reading.bundle(table.name)


def _winner(given: Cells) -> str:
    word = name(given, "strength")
    if word not in STRENGTHS:
        raise InvalidInput(f"strength is no degree ({word[:60]!r}).")
    outcome = STRENGTHS[word]
    if outcome is Outcome.TIE and not (flag(given, "acceptable_a", True) or flag(given, "acceptable_b", True)):
        outcome = Outcome.BOTH_BAD
    if "winner" in given and arena.WINNERS.get(str(given["winner"])) is not outcome:
        raise InvalidInput(f"winner is {str(given['winner'])[:60]!r}, but strength and acceptability say otherwise.")
    return outcome.value
