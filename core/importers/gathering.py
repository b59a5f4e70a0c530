"""What an importer has read so far: each value once, and nothing of a refused row."""

import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from reprlib import Repr

from core.domain import (
    LLM,
    Bundle,
    Comparison,
    LLMId,
    Query,
    QueryId,
    Rejected,
    Response,
    ResponseId,
    Task,
    User,
    UserId,
)
from core.errors import InvalidInput
from core.importers.tables import Refused, Table

Cells = Mapping[str, object]
YES, NO = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})
_SHOWN = 60
_brief = Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = _SHOWN


def shown(value: object) -> str:
    """A value as a reason quotes it, cut where it is long."""
    written = _brief.repr(value)
    return written if len(written) <= _SHOWN else written[: _SHOWN - 1] + "…"


def cells(record: object) -> Cells:
    """The cells of a row that hold something. Raises InvalidInput where it is no row."""
    if isinstance(record, Refused):
        raise InvalidInput(record.reason)
    if not isinstance(record, dict):
        raise InvalidInput(f"The row is not an object with columns ({shown(record)}).")
    # pandas writes an absent number as NaN
    return {k: v for k, v in record.items() if v is not None and not (isinstance(v, float) and math.isnan(v))}


def text(given: Cells, column: str, default: str | None = None) -> str:
    """A text, or a number written as one. Raises InvalidInput where the cell is neither, or is not there."""
    value = given.get(column, default)
    if value is None:
        raise InvalidInput(f"{column} is missing.")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidInput(f"{column} is neither text nor a number ({str(value)[:_SHOWN]!r}).")
    return str(value)


def name(given: Cells, column: str) -> str:
    """A text that is not empty, without outer white space."""
    word = text(given, column).strip()
    if not word:
        raise InvalidInput(f"{column} is empty.")
    return sys.intern(word)


def number(given: Cells, column: str) -> float | None:
    """A number, also one written as text; None where the cell is empty."""
    value = given.get(column, "")
    if value == "":
        return None
    try:
        found = float(text(given, column))
        if isinstance(value, bool) or not math.isfinite(found):
            raise ValueError
    except ValueError:
        raise InvalidInput(f"{column} is no number ({str(value)[:_SHOWN]!r}).") from None
    return found


def flag(given: Cells, column: str, default: bool) -> bool:
    """True or false, also written as a word or as 1 and 0."""
    value = given.get(column, default)
    word = str(value).strip().lower()
    if word in YES | NO:
        return word in YES
    if word:
        raise InvalidInput(f"{column} is neither true nor false ({str(value)[:_SHOWN]!r}).")
    return default


def moment(given: Cells, column: str) -> datetime | None:
    """Seconds since 1970, or an ISO time, which is UTC where it names no zone; None where the cell is empty."""
    value = given.get(column, "")
    if value == "":
        return None
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, bool):
            raise ValueError
        return datetime.fromtimestamp(float(str(value)), UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(
            f"{column} is neither seconds since 1970 nor an ISO time ({str(value)[:_SHOWN]!r})."
        ) from None


def query_of(turns: tuple[str, ...], task: str = "") -> Query:
    """A query known by its words."""
    try:
        return Query(QueryId(sys.intern(Query.id_of(turns))), turns, sys.intern(task))
    except UnicodeEncodeError:
        raise InvalidInput("query contains a broken Unicode character.") from None


@dataclass
class Gathering:
    """Values by their ids, in the order of first appearance. What is kept first stays."""

    users: dict[UserId, User] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    llms: dict[LLMId, LLM] = field(default_factory=dict)
    queries: dict[QueryId, Query] = field(default_factory=dict)
    responses: dict[ResponseId, Response] = field(default_factory=dict)
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    repeats: int = 0  # rows that say again what an earlier row said

    def take(
        self, table: Table, required: Collection[str], optional: Collection[str], add: Callable[[int, Cells], None]
    ) -> None:
        """Give every row of the table to `add`; a row for which it raises InvalidInput is rejected."""
        for row, record in table.rows(required, optional):
            try:
                add(row, cells(record))
            except InvalidInput as error:
                self.rejected.append(Rejected(row, printable(str(error))))

    def keep_query(self, query: Query) -> Query:
        """Remember a query and its task; the one that is kept."""
        if query.task:
            self.tasks.setdefault(query.task, Task(query.task))
        return self.queries.setdefault(query.query_id, query)

    def keep_llm(self, llm: LLM) -> None:
        """Remember an LLM."""
        self.llms.setdefault(llm.llm_id, llm)

    def keep_response(self, response: Response) -> ResponseId:
        """Remember a response, and give its id."""
        response_id = ResponseId(sys.intern(response.response_id))
        self.repeats += response_id in self.responses
        self.responses.setdefault(response_id, response)
        return response_id

    def bundle(self, source: str, *warnings: str) -> Bundle:
        """All of it."""
        if self.repeats:
            again = "row repeats" if self.repeats == 1 else "rows repeat"
            warnings = (*warnings, f"{self.repeats:,} {again} an earlier one and counted once.")
        return Bundle(
            source, tuple(self.users.values()), tuple(self.tasks.values()), tuple(self.llms.values()),
            tuple(self.queries.values()), tuple(self.responses.values()), tuple(self.comparisons.values()),
            tuple(self.rejected), warnings,
        )  # fmt: skip


def printable(reason: str) -> str:
    """A reason whose every character shows, whatever value it quotes."""
    return "".join(c if c.isprintable() else "?" for c in reason)[:220]


def queries_beside(table: Table, gathered: Gathering) -> dict[str, Query]:
    """The file `queries` beside a table of ids, by those ids. Raises UnreadableFile where it is not there or is bad."""
    known: dict[str, Query] = {}
    for _, record in table.needed("queries").rows({"query_id", "text"}, {"task"}):
        given = cells(record)
        known[name(given, "query_id")] = gathered.keep_query(query_of((text(given, "text"),), text(given, "task", "")))
    return known


def llms_beside(table: Table) -> Iterator[LLM]:
    """Those of the file `llms` beside a table, if there is one."""
    beside = table.beside("llms")
    if beside is not None:
        for _, record in beside.rows({"llm_id"}, LLM_FACTS):
            yield llm_of(cells(record))


LLM_FACTS = frozenset({"name", "family", "description", "input_price", "output_price"})


def llm_of(given: Cells) -> LLM:
    """An LLM with what a row says of it. Prices are dollars per million tokens."""
    word = name(given, "llm_id")
    return LLM(
        LLMId(word), text(given, "name", word), text(given, "family", ""), text(given, "description", ""),
        number(given, "input_price"), number(given, "output_price"),
    )  # fmt: skip
