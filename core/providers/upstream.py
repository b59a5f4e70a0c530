"""One call to a provider through the `openai` client: its errors told in our words, repeated only where that costs
nothing.

A call is repeated after a refused connection, a 429 and a 502, 503 or 504: nothing was generated then. It is never
repeated after a timeout or a broken stream, because a provider may bill what it wrote for nobody.
"""

import logging
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any

from core.errors import FailureKind, ProviderFailed
from core.providers.addresses import Address
from core.providers.replies import Chunk, Message

if TYPE_CHECKING:
    from openai import OpenAI

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
FIRST_PAUSE = 0.5  # seconds; doubles with every repetition
LONGEST_PAUSE = 10.0
GATEWAY = (502, 503, 504)

_SAYS = {
    FailureKind.RATE_LIMIT: "has reached its rate limit. Wait a minute and send it again.",
    FailureKind.TIMEOUT: "did not answer in time. It may be overloaded: send it again, or use another LLM.",
    FailureKind.UNREACHABLE: "cannot be reached. Check that it runs and that its address is right.",
    FailureKind.GARBAGE: "sent something that is no answer. Send it again, or use another LLM.",
    FailureKind.REFUSED: "refused the request. Check its key, and that it knows this model.",
    FailureKind.TOO_LONG: "cannot take so long a text for this model. Shorten it, or use another LLM.",
}


def failed(address: Address, kind: FailureKind) -> ProviderFailed:
    """The error in our words; what the provider wrote is not in it."""
    return ProviderFailed(f"The provider '{address.name}' {_SAYS[kind]} Your text is kept.", kind)


class UpstreamSource:
    """A streamed completion, opened and with its first event read, so that a failure before that can still go to
    another LLM.
    """

    def __init__(self, address: Address, events: Any) -> None:
        self._address, self._response, self._events = address, events.response, iter(events)
        self._until = time.monotonic() + address.provider.longest
        self._first: Chunk | None = self._next()
        if self._first is None:
            self.close()
            raise failed(address, FailureKind.GARBAGE)

    def __iter__(self) -> Iterator[Chunk]:
        chunk = self._first
        while chunk is not None:
            yield chunk
            if time.monotonic() > self._until:
                yield Chunk(finish="longest")
                return
            chunk = self._next()

    def close(self) -> None:
        """Hang up; a provider that watches its connections stops writing."""
        if self._response.is_closed:
            return  # read to its end: its connection may serve another call already
        with suppress(Exception):  # it may be gone, in many ways
            # Closing alone does not wake a thread that waits for the next byte; shutting the socket down does.
            self._response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        with suppress(Exception):
            self._response.close()

    def _next(self) -> Chunk | None:
        with translated(self._address):
            event = next(self._events, None)
        return None if event is None else self._chunk(event)

    def _chunk(self, event: Any) -> Chunk:
        try:
            usage = event.usage
            tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
            if not event.choices:
                return Chunk("", None, *tokens)
            choice = event.choices[0]
            text = choice.delta.content or ""
            if not isinstance(text, str):
                raise TypeError(type(text))
            return Chunk(text, choice.finish_reason, *tokens)
        except (AttributeError, TypeError, IndexError):
            raise failed(self._address, FailureKind.GARBAGE) from None


def open_upstream(
    address: Address, messages: Sequence[Message], options: dict[str, Any], sleep: Callable[[float], None] = time.sleep
) -> UpstreamSource:
    """Ask, repeating with growing pauses where that costs nothing. Raises ProviderFailed."""
    client = _client(address.provider.base_url, address.key() or "none", address.provider.timeout)
    create: Any = client.chat.completions.create  # its many overloads know no options of a provider's own
    jitter = Random()
    for attempt in range(address.provider.retries + 1):
        try:
            with translated(address):
                events = create(
                    model=address.model, messages=[m._asdict() for m in messages], stream=True,
                    stream_options={"include_usage": True}, **options,
                )  # fmt: skip
            return UpstreamSource(address, events)
        except _Repeatable as error:
            if attempt == address.provider.retries:
                raise failed(address, error.kind) from None
            pause = error.after if error.after is not None else FIRST_PAUSE * 2**attempt * jitter.uniform(0.8, 1.2)
            log.info("provider %s: %s, attempt %d", address.name, error.kind, attempt + 1)
            sleep(min(pause, LONGEST_PAUSE))
    raise AssertionError("unreachable")  # pragma: no cover


@lru_cache(maxsize=64)
def _client(base_url: str, key: str, timeout: float) -> "OpenAI":
    import openai  # takes seconds: not before somebody asks an LLM

    return openai.OpenAI(
        base_url=base_url, api_key=key, timeout=openai.Timeout(timeout, connect=CONNECT_TIMEOUT), max_retries=0
    )


class _Repeatable(Exception):
    """Nothing was generated; `after` is how many seconds the provider asks to wait."""

    def __init__(self, kind: FailureKind, after: float | None) -> None:
        self.kind, self.after = kind, after


class translated:  # noqa: N801  reads as a word: with translated(address)
    """Turns whatever the client raises into ProviderFailed, or _Repeatable where asking again costs nothing."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        import httpx2  # what the client is built on; its errors come through while a stream is read
        import openai

        if error is None or not isinstance(error, Exception) or isinstance(error, ProviderFailed):
            return
        address = self._address
        if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
            if isinstance(error.__cause__, httpx2.ConnectTimeout):
                raise _Repeatable(FailureKind.UNREACHABLE, None) from None
            raise failed(address, FailureKind.TIMEOUT) from None
        if isinstance(error, openai.APIConnectionError):
            if isinstance(error.__cause__, httpx2.ConnectError):
                raise _Repeatable(FailureKind.UNREACHABLE, None) from None
            raise failed(address, FailureKind.UNREACHABLE) from None
        if isinstance(error, openai.RateLimitError):
            raise _Repeatable(FailureKind.RATE_LIMIT, _asked_to_wait(error)) from None
        if isinstance(error, openai.APIStatusError):
            if error.status_code in GATEWAY:
                raise _Repeatable(FailureKind.UNREACHABLE, None) from None
            log.warning("provider %s answered with status %d", address.name, error.status_code)
            raise failed(address, _refusal(error)) from None
        if isinstance(error, openai.OpenAIError | httpx2.HTTPError | ValueError | UnicodeError):
            raise failed(address, FailureKind.GARBAGE) from None


# OpenAI says so by its code, others in words: "maximum context length" (vLLM, OpenRouter), "context window" (litellm).
_TOO_LONG = re.compile(r"context.{0,3}(length|window|size)|prompt is too long|too many (input )?tokens", re.IGNORECASE)


def _refusal(error: Any) -> FailureKind:
    """Why an answer with an error's status is none. What the provider wrote is looked at here and goes no further."""
    status = error.status_code
    if status == 413 or (status in (400, 422) and _TOO_LONG.search(f"{error.code} {error.message}")):
        return FailureKind.TOO_LONG
    return FailureKind.REFUSED if status < 500 else FailureKind.GARBAGE


def _asked_to_wait(error: Any) -> float | None:
    try:
        seconds = float(error.response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds < 1e6 else None
