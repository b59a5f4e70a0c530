"""Asking for missing responses of a real server of OpenAI's protocol: each once, within limits, nothing half given."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from core.costs import tokens_of
from core.domain import LLM, LLMId, Query, QueryId, Response
from core.errors import DatabaseUnavailable, InvalidInput
from core.generation import (
    ATTEMPTS,
    IN_A_ROW,
    Answered,
    Limits,
    Missing,
    Pace,
    Purse,
    Unanswered,
    answers,
    check_prices,
    dearest,
    estimate,
    why_not,
)
from core.providers import STORED, NoLedger, Provider, Providers, Reply, Stored
from core.providers import upstream as upstream_module
from tests.openai_server import OpenAIServer, words_of

ONE_AT_A_TIME = Limits(at_once=1, per_minute=100_000)
FAST = Limits(at_once=3, per_minute=100_000)


class NothingStored:
    """No stored answers."""

    def nearest(self, llm: LLMId, text: str) -> Stored | None:
        return None


@pytest.fixture
def providers(openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Providers]:
    monkeypatch.setattr(upstream_module, "FIRST_PAUSE", 0.0)

    def made(ledger: NoLedger | None = None, **settings: float) -> Providers:
        mine = {"mine": Provider(base_url=openai_server.base_url, **settings)}  # type: ignore[arg-type]
        return Providers(mine, NothingStored(), ledger)

    return made


def llm(model: str, price: float | None = 2.0) -> LLM:
    return LLM(LLMId(model), endpoint=f"mine/{model}", input_price=price, output_price=price)


def query(number: int, *turns: str) -> Query:
    return Query(QueryId(f"q{number}"), turns or (f"Question {number}?",))


def missing(*models: str, queries: int = 4) -> list[Missing]:
    return [Missing(llm(model), query(i)) for model in models for i in range(queries)]


def outcomes(iterator: Iterator[Answered | Unanswered | None]) -> list[Answered | Unanswered]:
    return [one for one in iterator if one is not None]


def test_every_missing_response_is_asked_once_and_comes_whole(providers, openai_server):
    found = outcomes(answers(providers(), missing("one", "two"), FAST))
    said = {(one.llm.llm_id, one.response.query_id): one.response.text for one in found if isinstance(one, Answered)}
    assert said == {
        (model, f"q{i}"): "".join(words_of(model, f"Question {i}?")) for model in ("one", "two") for i in range(4)
    }
    assert openai_server.seen == {"one": 4, "two": 4}
    assert {body["max_tokens"] for body in openai_server.bodies} == {1024}


def test_the_turns_of_a_query_are_asked_in_order_with_what_was_said_before(providers, openai_server):
    (found,) = outcomes(answers(providers(), [Missing(llm("one"), query(0, "Hi?", "And then?"))], FAST))
    assert isinstance(found, Answered)
    first, second = "".join(words_of("one", "Hi?")), "".join(words_of("one", "And then?"))
    assert found.response.turns == (first, second) and len(found.replies) == 2
    assert [m["content"] for m in openai_server.bodies[-1]["messages"]] == ["Hi?", first, "And then?"]


def test_what_bills_nothing_is_asked_again_and_what_may_have_been_billed_is_not(providers, openai_server):
    flaky, cut = outcomes(answers(providers(), missing("flaky", "cut", queries=1), ONE_AT_A_TIME, first_pause=0))
    if isinstance(flaky, Unanswered):
        flaky, cut = cut, flaky
    assert isinstance(flaky, Answered) and openai_server.seen["flaky"] == 3
    assert isinstance(cut, Unanswered) and cut.asked and len(cut.replies) == 1 and openai_server.seen["cut"] == 1


def test_an_llm_that_fails_again_and_again_is_left_alone_and_the_other_goes_on(providers, openai_server):
    todo = [*missing("rate-limited", queries=IN_A_ROW + 3), *missing("one", queries=IN_A_ROW + 3)]
    found = outcomes(answers(providers(retries=0), todo, ONE_AT_A_TIME, first_pause=0))
    failed = [one for one in found if isinstance(one, Unanswered)]
    assert sum(isinstance(one, Answered) for one in found) == IN_A_ROW + 3
    assert [one.asked for one in failed] == [True] * IN_A_ROW + [False] * 3
    assert openai_server.seen["rate-limited"] == IN_A_ROW * ATTEMPTS
    assert "rate limit" in failed[0].reason and "Your text" not in failed[0].reason
    assert "calls in a row had failed" in failed[-1].reason


@pytest.mark.parametrize("model", ["empty", "garbage", "html"])
def test_what_is_no_answer_is_not_given_out(providers, model):
    (found,) = outcomes(answers(providers(), missing(model, queries=1), FAST))
    assert isinstance(found, Unanswered) and "no answer" in found.reason


def test_an_llm_without_its_key_is_not_asked_at_all(openai_server, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    locked = Providers({"mine": Provider(base_url=openai_server.base_url, key="NO_SUCH_KEY")}, NothingStored())
    found = outcomes(answers(locked, missing("one", queries=3), ONE_AT_A_TIME))
    assert all(isinstance(one, Unanswered) and "NO_SUCH_KEY" in one.reason for one in found)
    assert not openai_server.seen and "NO_SUCH_KEY" in why_not(locked, llm("one"))


def test_an_llm_of_stored_answers_writes_no_new_ones(providers):
    stored = LLM(LLMId("written"), endpoint=STORED)
    assert "writes no new ones" in why_not(providers(), stored)
    assert why_not(providers(), llm("one")) == ""


def test_a_budget_is_never_overdrawn_and_the_rest_is_not_asked(providers, openai_server):
    most = dearest(llm("one", 1000.0), query(0), 100)
    assert most is not None
    # Each call costs 100 tokens in and 6 out at a tenth of a cent: 0.106, and puts aside about 0.103 before it begins.
    found = outcomes(answers(providers(), missing("one", queries=0) + [
        Missing(llm("one", 1000.0), query(i)) for i in range(10)
    ], Limits(max_tokens=100, per_minute=100_000, at_once=4, budget=0.35)))  # fmt: skip
    spent = sum(reply.cost or 0 for one in found for reply in one.replies)
    assert sum(isinstance(one, Answered) for one in found) == openai_server.seen["one"] == 3
    assert spent == pytest.approx(3 * 0.106)
    assert {one.reason for one in found if isinstance(one, Unanswered)} == {"The budget is used up."}


def test_what_others_put_aside_and_did_not_spend_is_waited_for():
    purse, stop = Purse(1.0), threading.Event()
    assert purse.put_aside(0.9, stop)
    waiting = threading.Thread(target=lambda: got.append(purse.put_aside(0.5, stop)))
    got: list[bool] = []
    waiting.start()
    purse.settle(0.9, 0.2)
    waiting.join(30)
    assert got == [True]
    assert not Purse(1.0).put_aside(1.5, stop)


def test_to_close_it_hangs_up_and_asks_nothing_more(providers, openai_server):
    with closing(answers(providers(), missing("endless", queries=5), ONE_AT_A_TIME)) as found:
        while not openai_server.seen["endless"]:
            assert next(found) is None
    assert openai_server.seen["endless"] == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "generation"]


def test_an_answer_that_was_paid_for_is_kept_though_the_call_cannot_be_written_down(providers):
    class Full(NoLedger):
        def charge(self, reply: Reply) -> None:
            raise DatabaseUnavailable("The database is busy.")

    (found,) = outcomes(answers(providers(Full()), missing("one", queries=1), FAST))
    assert isinstance(found, Answered)


def test_calls_are_begun_at_an_even_pace():
    now = [0.0]
    pace = Pace(30, clock=lambda: now[0])
    assert [pace.delay() for _ in range(3)] == [0, 2, 4]
    now[0] = 60
    assert [pace.delay(), pace.delay()] == [0, 2]


def test_an_estimate_counts_what_is_sent_again_with_every_turn():
    asked = query(0, "a" * 40, "b" * 80)  # 10 and 20 tokens
    found = estimate(llm("one", 1e6), [asked, query(1, "c" * 40)], 100, 1000)
    assert found.responses == 2 and found.output_tokens == 300
    assert found.input_tokens == 10 + (10 + 100 + 20) + 10
    assert found.cost == found.input_tokens + 300
    assert found.at_most == (10 + 10 + 1000 + 20 + 2000) + (10 + 1000)
    assert estimate(llm("one"), [asked], 5000, 1000).output_tokens == 2000
    assert tokens_of("a" * 40) == 10


def test_without_a_price_there_is_no_cost_and_no_budget():
    free = llm("one", None)
    found = estimate(free, [query(0)], 10, 100)
    assert found.cost is None and found.at_most is None
    check_prices([free], Limits())
    with pytest.raises(InvalidInput, match="needs prices, and those of one"):
        check_prices([free], Limits(budget=1.0))


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 0}, {"per_minute": -1}, {"at_once": 101}, {"at_once": True}, {"budget": 0.0},
              {"budget": float("nan")}, {"budget": float("inf")}]
)  # fmt: skip
def test_limits_that_cannot_be_are_refused(wrong):
    with pytest.raises(InvalidInput):
        Limits(**wrong)


def test_a_response_is_what_was_said_to_the_query(providers):
    (found,) = outcomes(answers(providers(), missing("one", queries=1), FAST))
    assert isinstance(found, Answered) and not found.cut
    assert found.response == Response(QueryId("q0"), LLMId("one"), ("".join(words_of("one", "Question 0?")),))
