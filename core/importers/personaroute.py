"""PersonaRoute-Bench, the data of PersonalizedRouter (2511.16883): one row per simulated user, query and LLM.

First form (users weigh effect against cost): `user_id, performance_preference, task_id, query, ground_truth, metric,
llm, effect, cost, response, reward, best_llm`. `best_llm` is a name, or, as the released script writes it, the place
of the best row among those of its user and query, from 0. Second form (users are judges): `best_answer` instead, 1 in
the best row and 0 in the others.

A best of N becomes N - 1 comparisons, the best against each other LLM, on sides that the content decides. That states
all that was said and nothing more; but they are one choice, not N - 1 independent ones, and who fits on them should
know it.
"""

import sys
from dataclasses import dataclass, field

from core.domain import (
    LLM,
    Bundle,
    Comparison,
    LLMId,
    Outcome,
    Query,
    QueryId,
    Rejected,
    Response,
    ResponseId,
    Task,
    User,
    UserId,
    content_hash,
)
from core.errors import InvalidInput
from core.importers.tables import Refused, Table, unreadable

ABOUT = "PersonaRoute-Bench: simulated users who chose the best of N"
TEMPLATE = None
SUFFIXES = (".csv", ".parquet", ".jsonl", ".jsonl.gz", ".json")
REQUIRED = frozenset({"user_id", "query", "llm", "response"})
OPTIONAL = frozenset({"task_id", "best_llm", "best_answer"})
YES, NO = frozenset({"1", "true"}), frozenset({"0", "false", ""})

Given = dict[str, str]


def read(table: Table) -> Bundle:
    """Every row is part of a best-of-N or a `Rejected`.

    Raises UnreadableFile where the file as a whole cannot be read.

    Texts are kept once, however many users they are repeated for. Users are marked simulated and named by their form
    and number, since user 1 of the first form is nobody of the second.
    """
    present = table.columns()
    if not present & {"best_llm", "best_answer"}:
        raise unreadable("The file lacks the column 'best_llm' or 'best_answer'", "add it, or choose another format")
    reading = _Reading("cost" if "best_llm" in present else "judge")
    for number, record in table.rows(REQUIRED, OPTIONAL):
        try:
            reading.add(number, _given(record))
        except InvalidInput as error:
            reading.rejected.append(_refused(number, error))
    return reading.bundle(table.name)


@dataclass
class _Choice:
    """One best-of-N while its rows come in: LLM -> (row, response), in the order of the file."""

    user: UserId
    query: QueryId
    repeat: int
    shown: dict[LLMId, tuple[int, ResponseId]] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)  # what rows said about the best -> the first row that said it

    def best(self, places: int) -> LLMId:
        """The LLM chosen, of `places` rows where the choice is complete. InvalidInput when the rows do not tell."""
        if not self.said:
            raise InvalidInput("No row of this user and query is marked the best.")
        if len(self.said) > 1:
            found = ", ".join(
                f"row {row}: {word[:40]!r}" for word, row in sorted(self.said.items(), key=lambda x: x[1])
            )
            raise InvalidInput(f"The rows of this user and query name {len(self.said)} best LLMs ({found[:120]}).")
        word = next(iter(self.said))
        if (name := LLMId(word)) in self.shown:
            return name
        if word.isascii() and word.isdigit() and int(word) < places:
            if len(self.shown) < places:  # a row was refused or is missing: counting would name the wrong LLM
                raise InvalidInput(f"best_llm is the place {word}, but {len(self.shown)} of {places} rows are there.")
            return list(self.shown)[int(word)]
        raise InvalidInput(f"best_llm is {word[:60]!r}, which has no row for this user and query.")


@dataclass
class _Reading:
    """What was read so far, each value once. A refused row leaves no choice behind."""

    form: str
    users: dict[UserId, User] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    llms: dict[LLMId, LLM] = field(default_factory=dict)
    queries: dict[QueryId, Query] = field(default_factory=dict)
    responses: dict[ResponseId, Response] = field(default_factory=dict)
    choices: dict[tuple[UserId, QueryId], list[_Choice]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)

    def add(self, number: int, given: Given) -> None:
        """Take one row, or raise InvalidInput and take nothing of it."""
        user = User(UserId(sys.intern(f"personaroute-{self.form}-{_named(given, 'user_id')}")), simulated=True)
        llm = LLM(LLMId(sys.intern(_named(given, "llm"))), given["llm"].strip())
        task = Task(given["task_id"].strip()) if given.get("task_id", "").strip() else None
        query = _query(given["query"], task)
        response = Response(query.query_id, llm.llm_id, (given["response"],))
        said = self._said(given, llm.llm_id)
        choice = self._choice(user.user_id, query.query_id, llm.llm_id)
        choice.shown[llm.llm_id] = (number, ResponseId(sys.intern(response.response_id)))
        if said is not None:
            choice.said.setdefault(said, number)
        self.users.setdefault(user.user_id, user)
        self.llms.setdefault(llm.llm_id, llm)
        self.queries.setdefault(query.query_id, query)
        self.responses.setdefault(response.response_id, response)
        if task:
            self.tasks.setdefault(task.name, task)

    def _said(self, given: Given, llm: LLMId) -> str | None:
        """What the row says about the best of its group: a name or a place; None where it says nothing."""
        if self.form == "cost":
            return _place(_named(given, "best_llm"))
        word = _place(given.get("best_answer", "").strip().lower())
        if word not in YES | NO:
            raise InvalidInput(f"best_answer is {word[:60]!r}, neither 1 nor 0.")
        return llm if word in YES else None

    def _choice(self, user: UserId, query: QueryId, llm: LLMId) -> _Choice:
        """The choice this row belongs to: an LLM that comes again for the same user and query begins another."""
        made = self.choices.setdefault((user, query), [])
        if not made or llm in made[-1].shown:
            made.append(_Choice(user, query, len(made)))
        return made[-1]

    def bundle(self, source: str) -> Bundle:
        """All of it, each kind in the order of first appearance; what no comparison needs is left out."""
        choices = [choice for made in self.choices.values() for choice in made]
        places = max((len(choice.shown) for choice in choices), default=0)
        said = [c for choice in choices for c in self._comparisons(choice, places)]
        users, queries = {c.user_id for c in said}, {c.query_id for c in said}
        llms = {name for c in said for name in (c.llm_a, c.llm_b)}
        responses = {name for c in said for name in (c.response_a, c.response_b)}
        kept = tuple(q for q in self.queries.values() if q.query_id in queries)
        tasks = {q.task for q in kept}
        warnings = ("All users of this file are simulated.",) if users else ()
        return Bundle(
            source, tuple(u for u in self.users.values() if u.user_id in users),
            tuple(t for t in self.tasks.values() if t.name in tasks),
            tuple(m for m in self.llms.values() if m.llm_id in llms), kept,
            tuple(r for name, r in self.responses.items() if name in responses),
            tuple(said), tuple(sorted(self.rejected, key=lambda r: r.row)), warnings,
        )  # fmt: skip

    def _comparisons(self, choice: _Choice, places: int) -> list[Comparison]:
        try:
            best = choice.best(places)
            if len(choice.shown) == 1:
                raise InvalidInput("No other LLM has a row for this user and query, so there is nothing to compare.")
        except InvalidInput as error:
            self.rejected += [_refused(row, error) for row, _ in choice.shown.values()]
            return []
        return [_comparison(choice, best, loser) for loser in choice.shown if loser != best]


def _comparison(choice: _Choice, best: LLMId, loser: LLMId) -> Comparison:
    key = content_hash("personaroute", choice.user, choice.query, str(choice.repeat), best, loser)
    sides = [(best, choice.shown[best][1]), (loser, choice.shown[loser][1])]
    turned = int(key[:8], 16) % 2 == 1  # or "side A wins" would be all there is to learn
    (llm_a, response_a), (llm_b, response_b) = reversed(sides) if turned else sides
    outcome = Outcome.B if turned else Outcome.A
    made = content_hash("personaroute", choice.user, choice.query, str(choice.repeat))
    several = made if len(choice.shown) > 2 else ""
    return Comparison(choice.user, choice.query, llm_a, llm_b, outcome, response_a, response_b, key, choice=several)


def _query(text: str, task: Task | None) -> Query:
    try:
        name = Query.id_of([text])
    except UnicodeEncodeError:
        raise InvalidInput("query contains a broken Unicode character.") from None
    return Query(QueryId(sys.intern(name)), (text,), task.name if task else "")


def _refused(row: int, error: InvalidInput) -> Rejected:
    """The reason in printable characters, whatever name it quotes."""
    return Rejected(row, "".join(c if c.isprintable() else "?" for c in str(error))[:220])


def _given(record: object) -> Given:
    """The cells as text. Other formats than CSV have numbers, which are written as CSV would write them."""
    if isinstance(record, Refused):
        raise InvalidInput(record.reason)
    if not isinstance(record, dict):
        raise InvalidInput("The row is not an object with columns.")
    given = {}
    for name, value in record.items():
        if value is None or value != value:  # noqa: PLR0124  NaN, which pandas writes for an empty cell
            continue
        if not isinstance(value, str | int | float):
            raise InvalidInput(f"{name} is neither text nor a number.")
        given[name] = str(value)
    if missing := sorted({"user_id", "query", "llm"} - given.keys()):
        raise InvalidInput(f"{missing[0]} is missing.")
    return {"response": "", **given}  # an empty response is real


def _named(given: Given, column: str) -> str:
    word = _place(given.get(column, "").strip())
    if not word:
        raise InvalidInput(f"{column} is empty.")
    return word


def _place(word: str) -> str:
    """A whole number as pandas writes it in a column with gaps, without its `.0`."""
    return word[:-2] if word.endswith(".0") and word[:-2].isdigit() else word
