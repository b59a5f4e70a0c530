import threading

import pytest

from core.domain import LLM, LLMId, Query, QueryId, Response
from core.errors import FailureKind, InvalidInput, ProviderFailed
from core.providers import Message, Provider, Providers, Reply, Stored
from core.providers import upstream as upstream_module
from core.providers.stored import StoredSource
from core.settings import load_settings
from tests.openai_server import PROVIDER_BODY, SECRET, OpenAIServer, words_of

ASKED = [Message("user", "What is a rainbow?")]


class Library:
    """One stored answer, of the LLM "written"."""

    def nearest(self, llm, text):
        if llm != "written":
            return None
        query = Query(QueryId("q"), ("Why is the sky blue? " * 20,))
        return Stored(query, Response(query.query_id, llm, ("Blue light  scatters\nmost.",)), 0.625)


class Book:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.charged: list[Reply] = []

    def spent(self, llm):
        return sum(reply.cost or 0 for reply in self.charged if reply.llm.llm_id == llm)

    def charge(self, reply):
        self.charged.append(reply)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def ask(openai_server: OpenAIServer, book: Book, monkeypatch: pytest.MonkeyPatch):
    """ask(provider settings) gives Providers with one, called "mine"."""
    monkeypatch.setenv("MINE_KEY", SECRET)
    monkeypatch.setattr(upstream_module, "FIRST_PAUSE", 0.0)

    def made(**settings):
        mine = Provider(base_url=openai_server.base_url, key="MINE_KEY", **settings)
        return Providers({"mine": mine}, Library(), book, wait=0.1)

    return made


def llm(model: str, prices: float | None = 2.0) -> LLM:
    return LLM(LLMId(model), endpoint=f"mine/{model}", input_price=prices, output_price=prices)


def said(stream) -> str:
    return "".join(stream)


def failure(call) -> ProviderFailed:
    with pytest.raises(ProviderFailed) as caught:
        said(call())
    assert SECRET not in str(caught.value) and PROVIDER_BODY not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def test_an_answer_streams_with_its_tokens_its_cost_and_the_key_in_the_header_alone(ask, book, openai_server):
    stream = ask().ask(llm("fast"), ASKED, max_tokens=50)
    assert list(stream) == words_of("fast", ASKED[0].content)
    reply = stream.reply
    assert (reply.input_tokens, reply.output_tokens, reply.estimated, reply.finish) == (100, 6, False, "stop")
    assert reply.cost == pytest.approx(106 * 2e-6) and book.charged == [reply]
    assert openai_server.keys == [f"Bearer {SECRET}"] and openai_server.bodies[0]["max_tokens"] == 50
    assert SECRET not in repr(reply) + repr(stream) + str(openai_server.bodies)


@pytest.mark.parametrize(
    ("model", "kind", "asked"),
    [
        ("rate-limited", FailureKind.RATE_LIMIT, 3),
        ("gateway", FailureKind.UNREACHABLE, 3),
        ("broken", FailureKind.GARBAGE, 1),
        ("unauthorised", FailureKind.REFUSED, 1),
        ("short", FailureKind.TOO_LONG, 1),
        ("narrow", FailureKind.TOO_LONG, 1),
        ("html", FailureKind.GARBAGE, 1),
        ("garbage", FailureKind.GARBAGE, 1),
        ("empty", FailureKind.GARBAGE, 1),
        ("stall", FailureKind.TIMEOUT, 1),
    ],
)
def test_each_failure_has_its_words_and_only_what_cost_nothing_is_repeated(
    ask, book, openai_server, model, kind, asked
):
    error = failure(lambda: ask(timeout=0.5).ask(llm(model), ASKED))
    assert error.kind == kind and "text is kept" in str(error) and "'mine'" in str(error)
    assert openai_server.seen[model] == asked and book.charged == []


def test_what_works_at_the_third_attempt_is_answered_and_charged_once(ask, book, openai_server):
    assert said(ask().ask(llm("flaky"), ASKED)).endswith("fine.")
    assert openai_server.seen["flaky"] == 3 and len(book.charged) == 1


def test_nobody_at_the_address_is_unreachable(book):
    providers = Providers({"mine": Provider(base_url="http://127.0.0.1:9/v1", retries=0)}, Library(), book)
    error = failure(lambda: providers.ask(llm("fast"), ASKED))
    assert error.kind == FailureKind.UNREACHABLE and "cannot be reached" in str(error)


@pytest.mark.parametrize(("model", "kind"), [("cut", FailureKind.GARBAGE), ("stall-midway", FailureKind.TIMEOUT)])
def test_what_breaks_off_midway_keeps_what_came_is_charged_and_never_asked_again(ask, book, openai_server, model, kind):
    stream = ask(timeout=0.5).ask(llm(model), ASKED)
    assert failure(lambda: stream).kind in (kind, FailureKind.UNREACHABLE)
    assert stream.text == f"{model} says " and stream.reply.finish == "broken"
    assert openai_server.seen[model] == 1 and book.charged == [stream.reply] and stream.reply.estimated


def test_a_stopped_answer_keeps_its_words_hangs_up_and_is_charged_by_estimate(ask, book):
    stream = ask().ask(llm("endless"), ASKED)
    for i, _ in enumerate(stream):
        if i == 4:
            stream.stop()
    assert stream.reply.finish == "stopped" and stream.reply.text == "endless says of 18 characters: "
    assert book.charged == [stream.reply] and stream.reply.estimated
    stream.stop()
    assert len(book.charged) == 1


def test_an_answer_that_takes_too_long_is_cut(ask):
    stream = ask(longest=0.3).ask(llm("endless"), ASKED)
    assert said(stream) and stream.reply.finish == "longest"


def test_a_stop_from_another_thread_ends_a_stalled_answer_without_an_error(ask):
    stream = ask(timeout=20).ask(llm("stall-midway"), ASKED)
    timer = threading.Timer(0.3, stream.stop)
    timer.start()
    assert said(stream) == "stall-midway says "
    assert stream.reply.finish == "stopped"


def test_no_key_is_said_by_the_name_of_its_variable_and_nothing_is_sent(ask, openai_server, monkeypatch):
    providers = ask()
    monkeypatch.delenv("MINE_KEY")
    error = failure(lambda: providers.ask(llm("fast"), ASKED))
    assert error.kind == FailureKind.KEY_MISSING and "MINE_KEY" in str(error) and not openai_server.seen
    assert providers.availability(llm("fast")) == (False, FailureKind.KEY_MISSING, str(error))


@pytest.mark.parametrize("endpoint", ["", "nobody/x", "mine/", "mine", "http://h/v1", "http://", "http://u:p@h/v1#m"])
def test_an_endpoint_that_means_nothing_is_said_before_anything_is_sent(ask, endpoint):
    providers, unusable = ask(), LLM(LLMId("x"), endpoint=endpoint)
    error = failure(lambda: providers.ask(unusable, ASKED))
    assert error.kind == FailureKind.NO_ENDPOINT and not providers.availability(unusable).ready


def test_an_address_of_its_own_gets_no_key(ask, openai_server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    own = LLM(LLMId("x"), endpoint=f"{openai_server.base_url}#fast")
    assert said(ask().ask(own, ASKED)) and SECRET not in openai_server.keys[0]


def test_the_second_llm_answers_once_and_it_is_said(ask, openai_server, book):
    stream = ask().answer([llm("broken"), llm("fast")], ASKED)
    assert said(stream).startswith("fast") and stream.reply.llm.llm_id == "fast"
    assert stream.note.startswith("broken could not answer, so fast does.") and stream.reply.note == stream.note
    assert openai_server.seen == {"broken": 1, "fast": 1} and len(book.charged) == 1


def test_where_both_fail_both_reasons_are_given_and_no_third_is_asked(ask, openai_server):
    error = failure(lambda: ask().answer([llm("broken"), llm("html"), llm("fast")], ASKED))
    assert "broken:" in str(error) and "html, asked instead" in str(error) and not openai_server.seen["fast"]


def test_what_is_too_long_for_some_goes_to_the_next_that_it_fits_and_it_is_said(ask, openai_server, book):
    stream = ask().answer([llm("short"), llm("narrow"), llm("fast")], ASKED)
    assert said(stream).startswith("fast")
    assert stream.note == "This is too long for short, so fast answers. This is too long for narrow, so fast answers."
    assert openai_server.seen == {"short": 1, "narrow": 1, "fast": 1} and len(book.charged) == 1


def test_what_is_too_long_for_all_is_said_once_and_of_other_failures_still_only_one_is_made_good(ask, openai_server):
    error = failure(lambda: ask().answer([llm("short"), llm("narrow")], ASKED))
    assert error.kind == FailureKind.TOO_LONG and "every LLM that could answer (short, narrow)" in str(error)
    assert said(ask().answer([llm("short"), llm("broken"), llm("fast")], ASKED)).startswith("fast")
    openai_server.clear()
    error = failure(lambda: ask().answer([llm("short"), llm("broken"), llm("html"), llm("fast")], ASKED))
    assert error.kind == FailureKind.GARBAGE and not openai_server.seen["fast"]


def test_a_stored_answer_comes_a_word_at_a_time_and_whoever_stops_it_waits_for_no_more(monkeypatch):
    monkeypatch.setattr("core.providers.stored.LONGEST", 600.0)
    source = StoredSource("one two three", pace=60.0)
    pieces = iter(source)
    assert next(pieces).text == "one "
    source.close()
    assert list(pieces) == []
    assert [chunk.text for chunk in StoredSource("one two three", pace=0.001)] == ["one ", "two ", "three"]


def test_a_budget_that_is_spent_stops_the_llm_before_anything_is_sent(ask, openai_server):
    providers = ask(daily_budget=0.0002)
    assert said(providers.ask(llm("fast"), ASKED))
    error = failure(lambda: providers.ask(llm("fast"), ASKED))
    assert error.kind == FailureKind.OVER_BUDGET and "$0.0002" in str(error) and openai_server.seen["fast"] == 1
    assert said(providers.ask(llm("slow"), ASKED))  # each LLM has its own


def test_an_llm_answers_so_many_at_once_and_gives_its_place_back(ask):
    providers = ask(at_once=1)
    first = providers.ask(llm("fast"), ASKED)
    assert failure(lambda: providers.ask(llm("fast"), ASKED)).kind == FailureKind.BUSY
    said(first)
    assert said(providers.ask(llm("fast"), ASKED))
    for _ in range(2):
        failure(lambda: providers.ask(llm("broken"), ASKED))  # a failure gives it back too


def test_a_written_llm_answers_without_any_provider_and_says_so(ask, book):
    stream = ask().ask(LLM(LLMId("written"), "Demo Terse", endpoint="stored"), ASKED)
    assert list(stream) == ["Blue ", "light  ", "scatters\n", "most."]
    assert "stored answer" in stream.note and "Why is the sky blue?" in stream.note and "0.62" in stream.note
    assert stream.reply.cost is None and book.charged == []
    error = failure(lambda: ask().ask(LLM(LLMId("other"), endpoint="stored"), ASKED))
    assert error.kind == FailureKind.NO_ENDPOINT


def test_nothing_to_answer_is_refused(ask, openai_server):
    for messages in ([], [Message("system", "Be kind.")], [Message("user", "  ")]):
        with pytest.raises(InvalidInput, match="nothing to answer"):
            ask().ask(llm("fast"), messages)
    assert not openai_server.seen


def test_the_test_button_asks_one_short_thing(ask, openai_server):
    assert ask().test(llm("fast")).text.endswith("fine.")
    assert openai_server.bodies[0]["max_tokens"] == 16


@pytest.mark.parametrize(
    "wrong", [{"base_url": "ftp://h"}, {"base_url": "http://u:p@h"}, {"base_url": "http://h", "key": SECRET}]
)
def test_a_provider_that_cannot_be_one_is_refused(wrong):
    with pytest.raises(ValueError, match=r"base_url|key"):
        Provider(**wrong)


@pytest.mark.parametrize("wrong", ["{", f'{{"mine": {{"base_url": "http://h", "key": "{SECRET}"}}}}'])
def test_a_setting_that_is_wrong_is_named_without_what_it_holds(wrong, monkeypatch):
    monkeypatch.setenv("PREFROUTE_PROVIDERS", wrong)
    with pytest.raises(InvalidInput, match="PREFROUTE_PROVIDERS") as caught:
        load_settings()
    assert SECRET not in str(caught.value) and caught.value.__cause__ is None


def test_providers_of_a_setting_stand_beside_the_known_ones(monkeypatch):
    monkeypatch.setenv("PREFROUTE_PROVIDERS", '{"mine": {"base_url": "http://h/v1/", "daily_budget": 2.5}}')
    mine = load_settings().providers["mine"]
    assert (mine.base_url, mine.daily_budget, mine.key) == ("http://h/v1", 2.5, "")
