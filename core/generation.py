"""Responses of LLMs to queries they have not answered: what that costs, and the asking, within limits and a budget.

Nothing is stored here: whoever takes the answers stores each before it looks for the next. A response that broke off is
not given out, though its provider may bill it; what may have been billed is not asked again by itself.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from core.costs import tokens_of
from core.domain import LLM, Query, Response
from core.errors import DatabaseUnavailable, FailureKind, InvalidInput, PrefRouteError, ProviderFailed
from core.providers import STORED, Message, Providers, Reply, Stream
from core.providers.replies import cost_of

log = logging.getLogger(__name__)

ATTEMPTS = 3  # at one call, of a kind that bills nothing
FIRST_PAUSE = 2.0  # seconds before the second attempt; the third waits twice as long
IN_A_ROW = 5  # failures after which an LLM is not asked any more
TICK = 0.2  # seconds between two looks at whether to stop
GRACE = 5.0  # seconds that calls under way are given to hang up

_NOT_BILLED = frozenset({FailureKind.RATE_LIMIT, FailureKind.UNREACHABLE, FailureKind.BUSY})
_HOPELESS = frozenset({FailureKind.KEY_MISSING, FailureKind.NO_ENDPOINT, FailureKind.OVER_BUDGET})
_NOT_WHOLE = frozenset({"stopped", "broken", "longest", "unknown", "content_filter"})
_TO_WHO_TYPED = " Your text is kept."  # of no use to who typed nothing
CUT = "length"  # how a provider says that `max_tokens` ended the response


@dataclass(frozen=True, slots=True)
class Limits:
    """How responses are asked for: their length, calls begun to one LLM in a minute and under way at once, and US
    dollars in all (None: no limit). Raises InvalidInput.
    """

    max_tokens: int = 1024
    per_minute: int = 60
    at_once: int = 4
    budget: float | None = None

    def __post_init__(self) -> None:
        for name, most in (("max_tokens", 100_000), ("per_minute", 100_000), ("at_once", 100)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise InvalidInput(f"'{name}' is {value!r:.40}; it must be a whole number from 1 to {most:,}.")
        budget = self.budget
        if budget is not None and (isinstance(budget, bool) or not 0 < budget < float("inf")):
            raise InvalidInput("The budget must be a number of dollars above 0; nothing was asked.")

    def to_dict(self) -> dict[str, Any]:
        """As JSON, to be given as keywords again."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the missing responses of one LLM take. Tokens and `cost` are what is expected, `at_most` the dollars where
    every response is as long as it may be; None where a price is unknown.
    """

    llm: LLM
    responses: int
    input_tokens: float
    output_tokens: float
    cost: float | None
    at_most: float | None


class Missing(NamedTuple):
    """A response that is not there."""

    llm: LLM
    query: Query


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole response with what its calls, one for each turn, took. `cut` where the limit of tokens ended one."""

    llm: LLM
    response: Response
    replies: tuple[Reply, ...]

    @property
    def cut(self) -> bool:
        """Whether the limit of tokens ended it."""
        return any(reply.finish == CUT for reply in self.replies)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No response, and why. `asked` says whether the LLM was asked at all; `replies` what was paid for in vain."""

    llm: LLM
    query: Query
    reason: str
    asked: bool = True
    replies: tuple[Reply, ...] = ()


def tokens(query: Query, reply_tokens: float) -> tuple[float, float]:
    """Tokens in and out of asking each turn of a query in order, every reply being so long: what came before is sent
    again with each turn.
    """
    turns = [tokens_of(turn) for turn in query.turns]
    sent = sum(sum(turns[: i + 1]) + i * reply_tokens for i in range(len(turns)))
    return sent, len(turns) * reply_tokens


def dearest(llm: LLM, query: Query, max_tokens: int) -> float | None:
    """Dollars of a response that is as long as it may be; None where a price is unknown."""
    return cost_of(llm, *tokens(query, max_tokens))


def estimate(llm: LLM, queries: Sequence[Query], reply_tokens: float, max_tokens: int) -> Estimate:
    """What an LLM's responses to these queries take, each `reply_tokens` long as far as is known."""
    usual = min(reply_tokens, max_tokens)
    taken = [tokens(query, usual) for query in queries]
    sent, written = sum(one[0] for one in taken), sum(one[1] for one in taken)
    longest = [dearest(llm, query, max_tokens) for query in queries]
    at_most = None if cost_of(llm, 0, 0) is None else sum(cost for cost in longest if cost is not None)
    return Estimate(llm, len(queries), sent, written, cost_of(llm, sent, written), at_most)


def why_not(providers: Providers, llm: LLM) -> str:
    """Why an LLM cannot be asked for new responses; empty where it can. Nothing is sent."""
    if llm.endpoint == STORED:
        return f"{llm.name or llm.llm_id} answers from stored responses and writes no new ones."
    return providers.availability(llm).reason


def check_prices(llms: Sequence[LLM], limits: Limits) -> None:
    """Raises InvalidInput where a budget is to hold and nobody said what an LLM costs."""
    unknown = [llm.name or llm.llm_id for llm in llms if cost_of(llm, 0, 0) is None]
    if limits.budget is not None and unknown:
        raise InvalidInput(
            f"A budget needs prices, and those of {', '.join(unknown)} are unknown. Enter them, or leave the budget "
            "out. Nothing was asked."
        )


class _Stopped(Exception):
    """Nobody waits for the rest."""


class Pace:
    """So many calls a minute, evenly. Safe to share between threads."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._apart, self._clock = 60 / per_minute, clock
        self._next = clock()
        self._lock = threading.Lock()

    def delay(self) -> float:
        """Take the next free moment; in how many seconds it is."""
        with self._lock:
            now = self._clock()
            moment = max(now, self._next)
            self._next = moment + self._apart
            return moment - now


class Purse:
    """A budget that is never overdrawn: what a call may cost at most is put aside before it begins."""

    def __init__(self, budget: float | None) -> None:
        self._left = float("inf") if budget is None else budget
        self._aside = 0
        self._changed = threading.Condition()

    def put_aside(self, most: float, stop: threading.Event) -> bool:
        """Wait until there is so much, as others may spend less than they put aside; False where that will not be."""
        with self._changed:
            while self._left < most:
                if not self._aside or stop.is_set():
                    return False
                self._changed.wait(TICK)
            self._left -= most
            self._aside += 1
            return True

    def settle(self, most: float, spent: float) -> None:
        """Give back what was put aside but for what was spent."""
        with self._changed:
            self._left += most - spent
            self._aside -= 1
            self._changed.notify_all()


def answers(
    providers: Providers, missing: Sequence[Missing], limits: Limits, first_pause: float = FIRST_PAUSE
) -> Generator[Answered | Unanswered | None, None, None]:
    """One outcome for each missing response, as it comes; None now and then, for a look at whether to go on.

    Closing the iterator hangs up and asks for nothing more. Raises what no one expects of a call.
    """
    asking = _Asking(providers, limits, first_pause)
    yield from asking.run(missing)


class _Asking:
    """The threads of one run: `at_once` for each LLM, which share its pace and its luck."""

    def __init__(self, providers: Providers, limits: Limits, first_pause: float) -> None:
        self._providers, self._limits, self._first_pause = providers, limits, first_pause
        self._purse, self._stop = Purse(limits.budget), threading.Event()
        self._out: SimpleQueue[Answered | Unanswered | BaseException] = SimpleQueue()
        self._streams: set[Stream] = set()
        self._lock = threading.Lock()

    def run(self, missing: Sequence[Missing]) -> Iterator[Answered | Unanswered | None]:
        by_llm: dict[str, deque[Missing]] = {}
        for one in missing:
            by_llm.setdefault(one.llm.llm_id, deque()).append(one)
        threads = []
        for waiting in by_llm.values():
            line = _Line(waiting, Pace(self._limits.per_minute))
            threads += [
                threading.Thread(target=self._work, args=(line,), daemon=True, name="generation")
                for _ in range(min(self._limits.at_once, len(waiting)))
            ]
        for thread in threads:
            thread.start()
        left = len(missing)
        try:
            while left:
                try:
                    outcome = self._out.get(timeout=TICK)
                except Empty:
                    yield None
                    continue
                if isinstance(outcome, BaseException):
                    raise outcome
                left -= 1
                yield outcome
        finally:
            self._stop.set()
            with self._lock:
                streams = list(self._streams)
            for stream in streams:
                with suppress(PrefRouteError):  # the ledger's, where the database is gone
                    stream.stop()
            until = time.monotonic() + GRACE
            for thread in threads:  # one that waits for a provider's first word cannot be woken; it keeps nothing alive
                thread.join(max(0.0, until - time.monotonic()))

    def _work(self, line: "_Line") -> None:
        try:
            while not self._stop.is_set() and (one := line.next()):
                self._out.put(self._one(one, line))
        except _Stopped:
            return
        except BaseException as error:  # noqa: BLE001  a thread has nobody to tell but the one who reads
            self._out.put(error)

    def _one(self, one: Missing, line: "_Line") -> Answered | Unanswered:
        if line.closed:
            return Unanswered(*one, line.closed, asked=False)
        most = dearest(one.llm, one.query, self._limits.max_tokens) or 0.0
        if not self._purse.put_aside(most, self._stop):
            line.closed = "The budget is used up."
            return Unanswered(*one, line.closed, asked=False)
        replies: list[Reply] = []
        try:
            found = self._answer(one, line, replies)
        finally:
            self._purse.settle(most, sum(reply.cost or 0.0 for reply in replies))
        line.heard(found)
        return found

    def _answer(self, one: Missing, line: "_Line", replies: list[Reply]) -> Answered | Unanswered:
        messages: list[Message] = []
        try:
            for turn in one.query.turns:
                messages.append(Message("user", turn))
                reply = self._called(one.llm, messages, line, replies)
                if reply.finish in _NOT_WHOLE:
                    return Unanswered(*one, "The response broke off and was not kept.", replies=tuple(replies))
                messages.append(Message("assistant", reply.text))
            said = tuple(message.content for message in messages if message.role == "assistant")
            response = Response(one.query.query_id, one.llm.llm_id, said)
            response.response_id  # noqa: B018  whose words cannot be stored
        except ProviderFailed as error:
            why = str(error).removesuffix(_TO_WHO_TYPED)
            if error.kind in _HOPELESS:
                line.closed = why
            return Unanswered(*one, why, replies=tuple(replies))
        except (InvalidInput, UnicodeEncodeError):
            return Unanswered(*one, "The response holds characters that cannot be stored.", replies=tuple(replies))
        return Answered(one.llm, response, tuple(replies))

    def _called(self, llm: LLM, messages: Sequence[Message], line: "_Line", replies: list[Reply]) -> Reply:
        """One call, repeated where that bills nothing. Its reply is among `replies` also where it broke off."""
        for attempt in range(1, ATTEMPTS + 1):
            if self._stop.wait(line.pace.delay()):
                raise _Stopped
            try:
                stream = self._providers.ask(llm, messages, max_tokens=self._limits.max_tokens)
            except ProviderFailed as error:
                if error.kind not in _NOT_BILLED or attempt == ATTEMPTS:
                    raise
                self._stop.wait(self._first_pause * 2 ** (attempt - 1))
                continue
            with self._lock:
                self._streams.add(stream)
            try:
                return self._read(stream)
            finally:
                with self._lock:
                    self._streams.discard(stream)
                replies.append(stream.reply)
        raise AssertionError("unreachable")  # pragma: no cover

    def _read(self, stream: Stream) -> Reply:
        try:
            with stream:
                for _ in stream:
                    if self._stop.is_set():
                        break
        except DatabaseUnavailable:  # the ledger's: what was paid for is not thrown away for want of its entry
            log.warning("a call could not be written down", exc_info=True)
        return stream.reply


class _Line:
    """What one LLM is still to be asked. `closed` says why it is not asked any more."""

    def __init__(self, waiting: deque[Missing], pace: Pace) -> None:
        self.pace, self.closed = pace, ""
        self._waiting, self._failed = waiting, 0
        self._lock = threading.Lock()

    def next(self) -> Missing | None:
        """The next one, for one thread alone."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def heard(self, outcome: Answered | Unanswered) -> None:
        """Close the line after too many failures in a row."""
        with self._lock:
            self._failed = 0 if isinstance(outcome, Answered) else self._failed + 1
            if self._failed >= IN_A_ROW and not self.closed and isinstance(outcome, Unanswered):
                self.closed = f"Not asked: {IN_A_ROW} calls in a row had failed. The last: {outcome.reason}"
