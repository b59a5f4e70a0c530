"""Answers without any provider: an LLM that wrote its responses beforehand gives the one to the query most like yours,
and says so.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from core.domain import LLM, LLMId, Query, Response
from core.providers.replies import Chunk

STORED = "stored"  # the endpoint of an LLM that answers from its stored responses
MOST_SHOWN = 90  # characters of the other query in the note


class Stored(NamedTuple):
    """A stored response, the query it was written for, and how like the one asked that is (cosine, at most 1)."""

    query: Query
    response: Response
    likeness: float


class StoredAnswers(Protocol):
    """Finds stored responses."""

    def nearest(self, llm: LLMId, text: str) -> Stored | None:
        """The response of this LLM to the query most like `text`; None where it has none."""
        ...


def stored_note(llm: LLM, found: Stored) -> str:
    """What must be said with a stored answer."""
    words = " ".join(found.query.turns[-1].split())
    shown = words if len(words) <= MOST_SHOWN else f"{words[:MOST_SHOWN]}…"
    name = llm.name or llm.llm_id
    return (
        f"Not written for you: without a provider {name} gives a stored answer, here the one to the query most like "
        f"yours, “{shown}” (likeness {found.likeness:.2f})."
    )


class StoredSource:
    """A stored response in pieces of a word, so that it arrives as an LLM's answer would."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __iter__(self) -> Iterator[Chunk]:
        start = 0
        for i in range(1, len(self._text)):
            if self._text[i - 1].isspace() and not self._text[i].isspace():
                yield Chunk(self._text[start:i])
                start = i
        yield Chunk(self._text[start:], "stop")

    def close(self) -> None:
        """Nothing is held."""
