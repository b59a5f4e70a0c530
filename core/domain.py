"""The nouns of PrefRoute as frozen values. Each checks its invariants once, when it is made, and is never wrong
afterwards.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from core.errors import InvalidInput

UserId = NewType("UserId", str)
QueryId = NewType("QueryId", str)
LLMId = NewType("LLMId", str)
ResponseId = NewType("ResponseId", str)

MAX_NAME = 120
MAX_CHOICE = 64
MAX_TYPED_QUERY = 8_000
MAX_TEXT = 1_000_000


class Outcome(StrEnum):
    """What a user said about a pair. Persisted by value."""

    A = "a"
    B = "b"
    TIE = "tie"
    BOTH_BAD = "both_bad"

    @property
    def label(self) -> float:
        """1 when A won, 0 when B won, 1/2 otherwise: the target of the Bradley-Terry likelihood."""
        return {Outcome.A: 1.0, Outcome.B: 0.0}.get(self, 0.5)


OUTCOMES = tuple(Outcome)  # the order of `PreferenceDataset.outcome` codes


def content_hash(*parts: str) -> str:
    """SHA-256 in hex over the parts, each framed by its length so that no two lists of parts collide."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _storable(what: str, text: str, limit: int, *, empty: bool = False) -> None:
    # PostgreSQL refuses NUL and UTF-8 refuses lone surrogates: both would pass on SQLite and fail later elsewhere.
    if not isinstance(text, str):
        raise InvalidInput(f"{what} must be text, not {type(text).__name__}.")
    if not empty and not text.strip():
        raise InvalidInput(f"{what} is empty.")
    if len(text) > limit:
        raise InvalidInput(f"{what} has {len(text):,} characters; at most {limit:,} are allowed.")
    if "\x00" in text:
        raise InvalidInput(f"{what} contains a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} contains a broken Unicode character.") from None


@dataclass(frozen=True, slots=True)
class User:
    """A person whose preferences we learn, or a simulated one, which is said wherever it appears."""

    user_id: UserId
    simulated: bool = False

    def __post_init__(self) -> None:
        _storable("A user's name", self.user_id, MAX_NAME)


@dataclass(frozen=True, slots=True)
class Task:
    """A family of queries."""

    name: str
    description: str = ""

    def __post_init__(self) -> None:
        _storable("A task's name", self.name, MAX_NAME)
        _storable("A task's description", self.description, MAX_TEXT, empty=True)


@dataclass(frozen=True, slots=True)
class Query:
    """The prompt shown: the user's turns in order. What an LLM answered to earlier ones is in its `Response`."""

    query_id: QueryId
    turns: tuple[str, ...]
    task: str = ""

    def __post_init__(self) -> None:
        _storable("A query's id", self.query_id, MAX_NAME)
        if not self.turns:
            raise InvalidInput("A query needs at least one turn.")
        for turn in self.turns:
            _storable("A query", turn, MAX_TEXT)

    @property
    def text(self) -> str:
        """All turns as one text: what is embedded."""
        return "\n\n".join(self.turns)

    @staticmethod
    def id_of(turns: Iterable[str]) -> QueryId:
        """The id of a query known by its words alone (imports, typed queries): equal words, equal id."""
        return QueryId(f"q-{content_hash(*turns)[:24]}")

    @classmethod
    def typed(cls, text: str, task: str = "") -> "Query":
        """A query that a person typed. Raises InvalidInput when it is empty or longer than 8,000 characters."""
        _storable("The query", text, MAX_TYPED_QUERY)
        return cls(cls.id_of([text]), (text,), task)


@dataclass(frozen=True, slots=True)
class LLM:
    """A candidate language model. Prices are US dollars per million tokens; None where unknown."""

    llm_id: LLMId
    name: str = ""
    family: str = ""
    description: str = ""
    input_price: float | None = None
    output_price: float | None = None
    endpoint: str = ""

    def __post_init__(self) -> None:
        _storable("An LLM's id", self.llm_id, MAX_NAME)
        for what in ("name", "family", "description", "endpoint"):
            _storable(f"An LLM's {what}", getattr(self, what), MAX_TEXT, empty=True)
        for price in (self.input_price, self.output_price):
            if price is not None and not 0 <= price < float("inf"):
                raise InvalidInput(f"LLM '{self.llm_id}': a price is {price}; it must be a number from 0 up.")

    @property
    def text(self) -> str:
        """What is embedded for this LLM: its description, or its name where there is none."""
        return self.description or self.name or self.llm_id


@dataclass(frozen=True, slots=True)
class Response:
    """One LLM's reply to each turn of one query; the last is the one judged. An empty reply is real and allowed."""

    query_id: QueryId
    llm_id: LLMId
    turns: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.turns:
            raise InvalidInput(f"The response of '{self.llm_id}' is missing.")
        for turn in self.turns:
            _storable(f"The response of '{self.llm_id}'", turn, MAX_TEXT, empty=True)

    @property
    def response_id(self) -> ResponseId:
        """Content hash: the same words from the same LLM to the same query are the same response."""
        return ResponseId(content_hash(self.query_id, self.llm_id, *self.turns)[:32])

    @property
    def text(self) -> str:
        """The reply that is judged."""
        return self.turns[-1]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A pair shown to a user and what they said. `key` makes it unique across imports; `rated_at` is UTC, None where
    unknown. `choice` is equal in all comparisons that one choice among several responses became, else empty.
    """

    user_id: UserId
    query_id: QueryId
    llm_a: LLMId
    llm_b: LLMId
    outcome: Outcome
    response_a: ResponseId
    response_b: ResponseId
    key: str
    rated_at: datetime | None = None
    choice: str = ""

    def __post_init__(self) -> None:
        _storable("A choice's key", self.choice, MAX_CHOICE, empty=True)
        if self.llm_a == self.llm_b:
            raise InvalidInput(f"Both sides are by the same LLM, '{self.llm_a}'.")
        if self.rated_at is not None and self.rated_at.tzinfo is None:
            raise InvalidInput("A rating's time needs a time zone.")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row of an imported file that was refused: its number (from 1) and why."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """What an importer read from one source: values to add together or not at all."""

    source: str
    users: tuple[User, ...] = ()
    tasks: tuple[Task, ...] = ()
    llms: tuple[LLM, ...] = ()
    queries: tuple[Query, ...] = ()
    responses: tuple[Response, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    warnings: tuple[str, ...] = ()
