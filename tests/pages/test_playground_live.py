"""Answers and blind comparisons on the playground, against a real server of OpenAI's protocol that also fails."""

import json
import time
from collections.abc import Callable

import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from core.domain import Outcome, UserId
from core.providers.writing import Writing
from db.demo import LLMS
from db.engine import Database
from db.preferences import PreferenceStore
from db.tradeoffs import Tradeoffs
from tests.openai_server import PROVIDER_BODY, OpenAIServer
from tests.pages.test_pages import button, sent, words
from tests.planted import HashEncoder

Open = Callable[..., AppTest]
PROMPT = "Explain recursion to a child"
ADA = UserId("Ada")


@pytest.fixture(autouse=True)
def _words_for_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here does not hang on what an encoder makes of words."""
    monkeypatch.setattr("pages.parts.context.SentenceEncoder", lambda _: HashEncoder())
    monkeypatch.setattr("pages.parts.context.PACE", 0.0)


@pytest.fixture
def server(openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> OpenAIServer:
    """The providers `test`, patient enough for a busy machine, and `hasty`, for what never answers; neither repeats."""
    patient = {"base_url": openai_server.base_url, "timeout": 60, "retries": 0}
    monkeypatch.setenv("PREFROUTE_PROVIDERS", json.dumps({"test": patient, "hasty": patient | {"timeout": 1}}))
    return openai_server


def point(database: Database, *models: str) -> None:
    """Let the demo LLMs be asked as these models, the last one for all that are left."""
    with database.write() as session:
        for i, llm in enumerate(LLMS):
            model = models[min(i, len(models) - 1)]
            endpoint = f"{'hasty' if model == 'stall' else 'test'}/{model}"
            session.execute(
                text("UPDATE llms SET endpoint = :to WHERE key = :key"), {"to": endpoint, "key": llm.llm_id}
            )


def ask(app: AppTest, prompt: str = PROMPT) -> AppTest:
    return settled(app.chat_input[0].set_value(prompt).run())


def decided(app: AppTest) -> AppTest:
    """The page with a decision on the prompt, and nobody asked for an answer."""
    app.segmented_control(key="playground.then").set_value("Decide only").run()
    return app.chat_input[0].set_value(PROMPT).run()


def settled(app: AppTest) -> AppTest:
    """The page after all that is being written has been."""
    writings: list[Writing] = []
    if "playground.answer" in app.session_state:
        writings.append(app.session_state["playground.answer"][1])
    if "playground.pair" in app.session_state:
        writings += app.session_state["playground.pair"].writings
    for writing in writings:
        assert writing.wait(60)
    return app.run()


def labels(app: AppTest) -> list[str]:
    return [found.label for found in app.button]


def test_the_answer_comes_once_with_what_it_took(open_page: Open, demo: Database, server: OpenAIServer) -> None:
    point(demo, "good")
    app = ask(open_page("playground", "Ada"))
    assert not app.exception and not app.error
    assert "good says of 28 characters" in words(app)
    assert "100 tokens in, 6 out" in words(app) and "expected" in words(app)
    app.run()
    assert server.seen == {"good": 1}


def test_decide_only_asks_no_provider(open_page: Open, demo: Database, server: OpenAIServer) -> None:
    point(demo, "good")
    app = open_page("playground", "Ada")
    app.segmented_control(key="playground.then").set_value("Decide only").run()
    ask(app)
    assert "ms to decide" in words(app) and server.seen == {}
    assert "Compare with the runner-up, blind" in labels(app)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("rate-limited", "rate limit"),
        ("stall", "did not answer in time"),
        ("unauthorised", "refused the request"),
        ("html", "no answer"),
        ("garbage", "no answer"),
        ("cut", "cannot be reached"),
    ],
)
def test_each_failure_gives_its_message_and_keeps_the_prompt(
    open_page: Open, demo: Database, server: OpenAIServer, model: str, says: str
) -> None:
    point(demo, model)
    app = open_page("playground", "Ada")
    app.multiselect(key="playground.allowed").set_value([LLMS[0].llm_id]).run()
    ask(app)
    assert says in app.error[0].value and "Your text is kept" in app.error[0].value
    assert PROMPT in words(app)
    assert PROVIDER_BODY not in sent(app)
    app.run()
    assert server.seen == {model: 1}
    assert "Compare with the runner-up" not in labels(app)


def test_after_a_failure_it_can_be_asked_again_and_after_success_not(
    open_page: Open, demo: Database, server: OpenAIServer
) -> None:
    point(demo, "broken")
    app = open_page("playground", "Ada")
    app.multiselect(key="playground.allowed").set_value([LLMS[0].llm_id]).run()
    ask(app)
    point(demo, "good")
    settled(button(app, "Try again").click().run())
    assert not app.error and "good says" in words(app)
    assert server.seen == {"broken": 1, "good": 1}
    assert "Try again" not in labels(app)


def test_one_fallback_is_stated(open_page: Open, demo: Database, server: OpenAIServer) -> None:
    point(demo, "good")
    app = open_page("playground", "Ada")
    app.segmented_control(key="playground.then").set_value("Decide only").run()
    ask(app)
    pick = app.session_state["playground.asked"].pick.choice
    with demo.write() as session:
        session.execute(text("UPDATE llms SET endpoint = 'test/broken' WHERE key = :key"), {"key": pick.llm})
    settled(button(app, "Let ").click().run())
    assert f"{pick.name} could not answer, so" in words(app) and "good says" in words(app)
    assert server.seen == {"broken": 1, "good": 1}


def test_an_llm_without_a_key_is_called_so_and_decided_for_only(
    open_page: Open, demo: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with demo.write() as session:
        session.execute(text("UPDATE llms SET endpoint = 'openai/some'"))
    app = ask(open_page("playground", "Ada"))
    assert not app.exception
    assert "Decision only. There is no key" in words(app)
    assert "Demo Terse (no key)" in app.multiselect(key="playground.allowed").options
    assert not any(label.startswith(("Let", "Compare")) for label in labels(app))


def compared(app: AppTest, *, decide_only: bool = True) -> AppTest:
    """A comparison begun without having seen either side."""
    app.segmented_control(key="playground.then").set_value("Decide only" if decide_only else "Answer").run()
    ask(app)
    return settled(button(app, "Compare").click().run())


def test_a_blind_comparison_is_a_rating_like_any_other_and_moves_the_choice_at_once(
    open_page: Open, demo: Database, server: OpenAIServer, store: PreferenceStore
) -> None:
    point(demo, "one", "two", "three", "four", "five")
    app = compared(open_page("playground", "Ada"))
    before = store.revision()
    assert labels(app)[-6:-1] == ["A is better", "B is better", "Tie", "Both bad", "Discard"]
    button(app, "A is").click().run()
    assert not app.exception and not app.error
    history = store.history(ADA)
    assert [history.outcome_of(0)] == [Outcome.A] and history.queries[0].text == PROMPT
    assert "Saved: A is better" in words(app) and "nothing was trained in between" in words(app)
    assert len(app.metric) == 2 and store.revision() != before
    assert sum(server.seen.values()) == 2
    pair = app.session_state["playground.pair"]
    won = float(pair.llms[0].llm_id == pair.asked.pick.choice.llm)
    assert rows(demo, "SELECT reward FROM routing_decisions") == [(won,)]  # the comparison is its decision's outcome
    with demo.read() as session:
        assert session.execute(text("SELECT reason, status FROM assignments")).all() == [("live", "rated")]
    app.run()
    assert len(store.history(ADA)) == 1


def test_an_answer_already_read_is_not_asked_for_again_and_the_rating_says_so(
    open_page: Open, demo: Database, server: OpenAIServer, store: PreferenceStore
) -> None:
    point(demo, "one", "two", "three", "four", "five")
    app = compared(open_page("playground", "Ada"), decide_only=False)
    assert "not blind" in words(app)
    assert sum(server.seen.values()) == 2 and max(server.seen.values()) == 1
    button(app, "Tie").click().run()
    with demo.read() as session:
        assert session.execute(text("SELECT reason FROM assignments")).scalar_one() == "live, one side seen before"


def test_while_one_side_fails_there_is_no_vote_and_only_that_side_is_retried(
    open_page: Open, demo: Database, server: OpenAIServer, store: PreferenceStore
) -> None:
    point(demo, "good")
    app = open_page("playground", "Ada")
    app.segmented_control(key="playground.then").set_value("Decide only").run()
    ask(app)
    asked = app.session_state["playground.asked"]
    with demo.write() as session:
        session.execute(
            text("UPDATE llms SET endpoint = 'test/rate-limited' WHERE key = :key"), {"key": asked.runner_up.choice.llm}
        )
    settled(button(app, "Compare").click().run())
    failed = "AB"[app.session_state["playground.pair"].llms[1].llm_id == asked.runner_up.choice.llm]
    assert app.error[0].value.startswith(f"Response {failed} failed: rate limit.")
    assert PROMPT in words(app) and "A is better" not in labels(app)
    point(demo, "other")
    settled(button(app, f"Retry {failed}").click().run())
    assert not app.error and "A is better" in labels(app)
    assert server.seen == {"good": 1, "rate-limited": 1, "other": 1}
    button(app, "Discard").click().run()
    assert len(store.history(ADA)) == 0 and PROMPT in words(app)


def test_a_vote_that_comes_too_soon_is_not_stored(
    open_page: Open, demo: Database, server: OpenAIServer, store: PreferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFROUTE_MINIMUM_DWELL", "3600")
    point(demo, "one", "two", "three", "four", "five")
    app = compared(open_page("playground", "Ada"))
    button(app, "A is").click().run()
    assert "Too quick" in words(app) and len(store.history(ADA)) == 0
    assert "A is better" in labels(app)


def test_a_stored_answer_is_watched_as_it_is_written_and_can_be_stopped(
    open_page: Open, demo: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pages.parts.context.PACE", 60.0)
    monkeypatch.setattr("core.providers.stored.LONGEST", 1e6)
    app = decided(open_page("playground", "Ada"))
    button(app, "Let ").click().run()
    writing: Writing = app.session_state["playground.answer"][1]
    until = time.monotonic() + 60
    while not writing.text and time.monotonic() < until:
        time.sleep(0.01)
    first = writing.text
    assert first and not writing.finished and first.strip() in words(app.run())
    button(app, "Stop").click().run()
    assert writing.wait(60) and writing.text == first and "You stopped it here" in words(app.run())


def test_a_new_prompt_stops_what_is_still_being_written_for_the_former(
    open_page: Open, demo: Database, server: OpenAIServer
) -> None:
    point(demo, "endless")
    app = decided(open_page("playground", "Ada"))
    button(app, "Let ").click().run()
    former: Writing = app.session_state["playground.answer"][1]
    app.chat_input[0].set_value(f"{PROMPT}, again").run()
    assert former.wait(60) and "playground.answer" not in app.session_state
    button(app, "Compare with").click().run()
    pair: list[Writing] = app.session_state["playground.pair"].writings
    app.chat_input[0].set_value(f"{PROMPT}, at last").run()
    assert all(writing.wait(60) for writing in pair) and "playground.pair" not in app.session_state
    assert server.seen["endless"] <= 3  # one that was stopped before it asked costs nothing


def test_what_is_too_long_for_the_pick_goes_to_the_next_that_it_fits(
    open_page: Open, demo: Database, server: OpenAIServer
) -> None:
    point(demo, "short")
    app = decided(open_page("playground", "Ada"))
    ranked = [priced.choice for priced in app.session_state["playground.asked"].ranked]
    with demo.write() as session:
        for fits in ranked[3:]:
            session.execute(text("UPDATE llms SET endpoint = 'test/good' WHERE key = :key"), {"key": fits.llm})
    settled(button(app, "Let ").click().run())
    assert f"This is too long for {ranked[0].name}, so {ranked[3].name} answers." in words(app)
    assert server.seen == {"short": 3, "good": 1} and "good says" in words(app)


def test_without_a_provider_demo_llms_answer_from_what_they_wrote_and_a_blind_pair_names_nobody(
    open_page: Open, demo: Database
) -> None:
    app = compared(open_page("playground", "Ada"))
    notes = [writing.note for writing in app.session_state["playground.pair"].writings]
    assert all(note.startswith("Not written for you") for note in notes)
    assert "Not written for you" not in words(app)
    assert "A stored response to the query most like yours" in words(app)
    button(app, "B is").click().run()
    assert words(app).count("Not written for you") == 2


def rows(database: Database, statement: str) -> list[tuple[object, ...]]:
    with database.read() as session:
        return [tuple(row) for row in session.execute(text(statement))]


def test_a_thumb_is_the_decisions_outcome_and_another_llm_an_override(
    open_page: Open, demo: Database, server: OpenAIServer
) -> None:
    point(demo, "good")
    app = ask(open_page("playground", "Ada"))
    asked = app.session_state["playground.asked"]
    app.feedback[0].set_value(1).run()
    assert not app.error
    app.feedback[0].set_value(0).run()
    assert rows(demo, "SELECT reward, source FROM routing_decisions") == [(0.0, "playground")]
    chosen = asked.runner_up.choice
    other = next(box for box in app.selectbox if box.label == "Use another LLM")
    settled(other.set_value(chosen.llm).run())
    assert app.session_state["playground.answer"][1].llm.llm_id == chosen.llm
    kept = "SELECT llms.key, d.source FROM routing_decisions d JOIN llms ON llms.id = d.llm_id ORDER BY d.id"
    assert rows(demo, kept) == [(asked.pick.choice.llm, "playground"), (chosen.llm, "playground override")]
    app.run()
    assert server.seen == {"good": 2} and not app.feedback


def test_after_a_comparison_the_price_of_the_preferred_one_is_asked_for_once(
    open_page: Open, demo: Database, server: OpenAIServer
) -> None:
    point(demo, "one", "two", "three", "four", "five")
    with demo.write() as session:  # what the population likes best costs most
        session.execute(text("UPDATE llms SET output_price = 40 WHERE key = 'demo-structured'"))
    app = compared(open_page("playground", "Ada"))
    pair = app.session_state["playground.pair"]
    dear = max((0, 1), key=lambda side: pair.llms[side].output_price)
    button(app, f"{'AB'[dear]} is").click().run()
    assert not app.exception and not app.error
    name = pair.llms[dear].name
    assert "more per 1,000 such queries" in words(app)
    button(app, f"Yes, {name}").click().run()
    assert "more per 1,000 such queries" not in words(app)
    (answer,) = Tradeoffs(demo).of(ADA)
    assert answer.dearer and answer.dollars > 0
