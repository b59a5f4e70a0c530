"""Answers without any provider: an LLM that wrote its responses beforehand gives the one to the query most like yours,
and says so.
"""

import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

from core.domain import LLM, LLMId, Query, Response
from core.providers.replies import Chunk

STORED = "stored"  # the endpoint of an LLM that answers from its stored responses
MOST_SHOWN = 90  # characters of the other query in the note
LONGEST = 4.0  # seconds that a stored answer takes to appear, however long it is


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
    """A stored response in pieces of a word, `pace` seconds apart, so that it arrives as an LLM's answer would."""

    def __init__(self, text: str, pace: float = 0.0) -> None:
        self._text, self._pace = text, pace
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Chunk]:
        starts = [0]
        starts += [i for i in range(1, len(self._text)) if self._text[i - 1].isspace() and not self._text[i].isspace()]
        pause = min(self._pace, LONGEST / len(starts))
        for start, end in pairwise([*starts, len(self._text)]):
            if pause and start and self._closed.wait(pause):
                return
            yield Chunk(self._text[start:end], "stop" if end == len(self._text) else None)

    def close(self) -> None:
        """Whoever waits for the next word waits no more."""
        self._closed.set()
