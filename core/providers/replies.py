"""What is said to an LLM and what comes back: messages, a reply as it is written, and what it took."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self

from core.domain import LLM, LLMId
from core.errors import ProviderFailed

CHARACTERS_PER_TOKEN = 4  # where a provider does not count: English text, within some 20 %


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished answer and what it took.

    `finish` is "stop", "length" or another word of the provider's, "stopped" where a person ended it, "longest" where
    it took longer than its provider may, "broken" where the provider broke off. `cost` is in US dollars, None where a
    price is unknown. `estimated` says that tokens were not counted by the provider but estimated from the number of
    characters. `note` is what must be said with the answer.
    """

    llm: LLM
    text: str
    finish: str
    input_tokens: int
    output_tokens: int
    estimated: bool
    seconds: float
    cost: float | None
    note: str


class Ledger(Protocol):
    """Where calls that cost something are written down; each is charged once."""

    def spent(self, llm: LLMId) -> float:
        """US dollars charged for this LLM since midnight UTC."""
        ...

    def charge(self, reply: Reply) -> None:
        """Write one call down."""
        ...


class NoLedger:
    """Forgets every call: nothing is ever spent."""

    def spent(self, llm: LLMId) -> float:
        """Nothing."""
        return 0.0

    def charge(self, reply: Reply) -> None:
        """Not written down."""


class Chunk(NamedTuple):
    """What one event of a stream brought; tokens where it counted them."""

    text: str = ""
    finish: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class Source(Protocol):
    """The provider's side of a stream."""

    def __iter__(self) -> Iterator[Chunk]: ...

    def close(self) -> None:
        """End it; safe to call twice and from another thread."""
        ...


class Stream:
    """An answer as it is written: iterate once over its pieces of text, then read `reply`.

    `stop()` ends it early, from any thread. Iterating raises ProviderFailed where the provider breaks off; `text` then
    holds what had come. Whoever opens a stream exhausts it, stops it, or leaves a `with` block: until then it takes one
    of the LLM's places.
    """

    def __init__(self, llm: LLM, question: str, source: Source, done: Callable[[Reply], None], note: str = "") -> None:
        """`question` [characters] is for estimating tokens; `done` hears of the end exactly once, however it came."""
        self.llm, self.note = llm, note
        self.text = ""
        self._question, self._source, self._done = question, source, done
        self._finish: str | None = None
        self._tokens: tuple[int, int] | None = None
        self._stopped = False
        self._began = time.monotonic()
        self._reply: Reply | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __iter__(self) -> Iterator[str]:
        try:
            for chunk in self._source:
                if self._stopped:
                    break
                self._finish = chunk.finish or self._finish
                if chunk.input_tokens is not None and chunk.output_tokens is not None:
                    self._tokens = (chunk.input_tokens, chunk.output_tokens)
                if chunk.text:
                    self.text += chunk.text
                    yield chunk.text
        except GeneratorExit:
            self._stopped = True
            raise
        except ProviderFailed:
            if not self._stopped:  # else it broke off because it was stopped, which is no failure
                self._finish = "broken"
                raise
        finally:
            self._end()

    def stop(self) -> None:
        """End the answer where it is. Nothing happens to one that has ended."""
        if self._reply is None:
            self._stopped = True
            self._end()

    @property
    def reply(self) -> Reply:
        """The finished answer. Only after the end."""
        if self._reply is None:
            raise RuntimeError("the answer is still being written")
        return self._reply

    def _end(self) -> None:
        with self._lock:
            if self._reply is not None:
                return
            estimate = tuple(-(-len(text) // CHARACTERS_PER_TOKEN) for text in (self._question, self.text))
            tokens_in, tokens_out = self._tokens or estimate
            self._reply = Reply(
                self.llm, self.text, "stopped" if self._stopped else self._finish or "unknown", tokens_in, tokens_out,
                self._tokens is None, time.monotonic() - self._began, cost_of(self.llm, tokens_in, tokens_out),
                self.note,
            )  # fmt: skip
        try:
            self._source.close()
        finally:
            self._done(self._reply)


def cost_of(llm: LLM, input_tokens: float, output_tokens: float) -> float | None:
    """US dollars for so many tokens; None where a price is unknown."""
    if llm.input_price is None or llm.output_price is None:
        return None
    return (llm.input_price * input_tokens + llm.output_price * output_tokens) / 1e6
