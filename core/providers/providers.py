"""Providers: ask an LLM for an answer, whoever serves it, within its limits and its budget, with one fallback."""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from core.domain import LLM
from core.errors import FailureKind, InvalidInput, ProviderFailed
from core.providers.addresses import KNOWN, Address, Provider, address_of
from core.providers.replies import Ledger, Message, NoLedger, Reply, Stream
from core.providers.stored import STORED, StoredAnswers, StoredSource, stored_note
from core.providers.upstream import open_upstream

LONGEST_WAIT = 30.0  # seconds that a call waits for one of its LLM's places


class Availability(NamedTuple):
    """Whether an LLM can be asked; `reason` is a sentence where it cannot, `kind` a word for it."""

    ready: bool
    kind: FailureKind | None
    reason: str


class Providers:
    """Every way of asking an LLM. One per process: the limits on calls at the same time are held here.

    `providers` are those of PREFROUTE_PROVIDERS; they stand before the known ones of the same name.
    """

    def __init__(
        self, providers: Mapping[str, Provider], stored: StoredAnswers, ledger: Ledger | None = None,
        wait: float = LONGEST_WAIT, pace: float = 0.0,
    ) -> None:  # fmt: skip
        """`pace` is the seconds between two words of a stored answer, for those who watch it being written."""
        self._providers = {**KNOWN, **providers}
        self._stored, self._ledger, self._wait, self._pace = stored, ledger or NoLedger(), wait, pace
        self._places: dict[str, threading.BoundedSemaphore] = {}
        self._lock = threading.Lock()

    def availability(self, llm: LLM) -> Availability:
        """Whether this LLM can be asked at all; nothing is sent."""
        if llm.endpoint == STORED:
            return Availability(True, None, "")
        try:
            address_of(llm, self._providers).key()
        except ProviderFailed as error:
            return Availability(False, error.kind, str(error))
        return Availability(True, None, "")

    def ask(self, llm: LLM, messages: Sequence[Message], **options: Any) -> Stream:
        """Begin an answer: the first word is there, or an error. `options` go to the provider (max_tokens, temperature,
        stop, ...). Raises ProviderFailed, and InvalidInput without a message of a user.
        """
        question = _last_question(messages)
        if llm.endpoint == STORED:
            return self._ask_stored(llm, question)
        address = address_of(llm, self._providers)
        address.key()
        self._check_budget(llm, address)
        free = self._take_place(llm, address)
        try:
            source = open_upstream(address, messages, options)
        except BaseException:
            free()
            raise
        return Stream(llm, "".join(m.content for m in messages), source, partial(self._finished, free))

    def answer(self, llms: Sequence[LLM], messages: Sequence[Message], **options: Any) -> Stream:
        """`ask` the first of these LLMs, and where that fails before its first word the next one, once. Those whose
        model the text is too long for are passed over, whatever their number: they generated nothing. The stream's
        `note` says so. Raises ProviderFailed with the reasons of all that were asked.
        """
        failed: list[tuple[str, ProviderFailed]] = []
        for llm in llms:
            if sum(error.kind != FailureKind.TOO_LONG for _, error in failed) > 1:
                break
            try:
                stream = self.ask(llm, messages, **options)
            except ProviderFailed as error:
                failed.append((llm.name or llm.llm_id, error))
                continue
            notes = [_instead(name, llm.name or llm.llm_id, error) for name, error in failed]
            stream.note = " ".join([*notes, stream.note]).strip()
            return stream
        raise _none_answered(failed) from None

    def test(self, llm: LLM) -> Reply:
        """One short call, for a test button. Raises ProviderFailed."""
        with self.ask(llm, [Message("user", "Say OK.")], max_tokens=16) as stream:
            for _ in stream:
                pass
        return stream.reply

    def _ask_stored(self, llm: LLM, question: str) -> Stream:
        found = self._stored.nearest(llm.llm_id, question)
        if found is None:
            raise ProviderFailed(
                f"{llm.name or llm.llm_id} has no stored answers. Load the demo world, or give it a provider.",
                FailureKind.NO_ENDPOINT,
            )
        source = StoredSource(found.response.text, self._pace)
        return Stream(llm, question, source, lambda _: None, stored_note(llm, found))

    def _check_budget(self, llm: LLM, address: Address) -> None:
        budget = address.provider.daily_budget
        if budget is not None and self._ledger.spent(llm.llm_id) >= budget:
            raise ProviderFailed(
                f"{llm.name or llm.llm_id} has used its budget of ${budget:g} for today (UTC). It answers again "
                "tomorrow, or when its provider's daily_budget is raised. Your text is kept.",
                FailureKind.OVER_BUDGET,
            )

    def _take_place(self, llm: LLM, address: Address) -> Callable[[], None]:
        with self._lock:
            places = self._places.setdefault(llm.llm_id, threading.BoundedSemaphore(address.provider.at_once))
        if not places.acquire(timeout=self._wait):
            raise ProviderFailed(
                f"{llm.name or llm.llm_id} is answering {address.provider.at_once} others already. Send it again in a "
                "moment. Your text is kept.",
                FailureKind.BUSY,
            )
        return places.release

    def _finished(self, free: Callable[[], None], reply: Reply) -> None:
        free()
        self._ledger.charge(reply)


def _instead(name: str, who: str, error: ProviderFailed) -> str:
    """Why another LLM answers."""
    if error.kind == FailureKind.TOO_LONG:
        return f"This is too long for {name}, so {who} answers."
    return f"{name} could not answer, so {who} does. {error}"


def _none_answered(failed: Sequence[tuple[str, ProviderFailed]]) -> ProviderFailed:
    if len(failed) == 1:
        return failed[0][1]
    if all(error.kind == FailureKind.TOO_LONG for _, error in failed):
        names = ", ".join(name for name, _ in failed)
        return ProviderFailed(
            f"This is too long for every LLM that could answer ({names}). Shorten it and send it again. Your text is "
            "kept.",
            FailureKind.TOO_LONG,
        )
    said = [f"{name}{', asked instead' if i else ''}: {error}" for i, (name, error) in enumerate(failed)]
    kind = next(error.kind for _, error in failed if error.kind != FailureKind.TOO_LONG)
    return ProviderFailed(" ".join(said), kind)


def _last_question(messages: Sequence[Message]) -> str:
    for message in reversed(messages):
        if message.role == "user" and message.content.strip():
            return message.content
    raise InvalidInput("There is nothing to answer: no message of a user has any text. Nothing was sent.")
