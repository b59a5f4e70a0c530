"""The rating page by Streamlit's test runner: kinds of rating, flags, drafts, and what it says when all is not well."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from core.campaigns import CampaignPlan, Kind, Mode, Reveal, Scale
from core.domain import LLM, Bundle, LLMId, Outcome, Query, QueryId, Response, UserId
from core.errors import DatabaseUnavailable
from db.campaigns import Campaigns
from db.demo import LLMS
from db.engine import Database
from db.models import AssignmentRow, AuditEventRow, FlagRow, RatingDetailRow
from db.people import People
from db.preferences import PreferenceStore
from tests.pages.test_pages import button, sent, words

Open = Callable[..., AppTest]
ADA = UserId("Ada")
NAMES = [name for llm in LLMS for name in (llm.llm_id, llm.name)]


@pytest.fixture
def plan(demo: Database) -> Callable[..., None]:
    """plan(scale=...) changes how people are asked."""

    def changed(**changes: Any) -> None:
        Campaigns(demo).edit("Everything", "test", **changes)

    return changed


def details(database: Database) -> list[RatingDetailRow]:
    with database.read() as session:
        return session.query(RatingDetailRow).all()


def widget(app: AppTest, key: str) -> Any:
    return app.get_by_key(key)


def asked(store: PreferenceStore, user: UserId = ADA) -> Any:
    assignment = store.assign(user)
    assert assignment is not None
    return assignment


@pytest.mark.parametrize(
    ("label", "outcome", "strength"), [("A much", "a", 2), ("About", "tie", 0), ("B better", "b", 1)]
)
def test_five_steps_store_who_is_better_and_how_much(
    open_page: Open, demo: Database, store: PreferenceStore, plan: Any, label: str, outcome: str, strength: int
) -> None:
    plan(scale=Scale.FIVE)
    app = open_page("rate", "Ada")
    button(app, label).click().run()
    assert [store.history(ADA).outcome_of(0)] == [Outcome(outcome)]
    assert [row.strength for row in details(demo)] == [strength]


def test_in_detailed_mode_a_vote_selects_and_only_the_commit_saves_with_all_that_stands_beside_it(
    open_page: Open, demo: Database, store: PreferenceStore, plan: Any
) -> None:
    plan(mode=Mode.DETAILED, criteria=("Tone",))
    app = open_page("rate", "Ada")
    first = asked(store)
    assert button(app, "Save").disabled
    button(app, "B is").click().run()
    assert len(store.history(ADA)) == 0
    widget(app, f"rate.reasons.{first.token}").select("clear").run()
    widget(app, f"rate.stars.b.0.{first.token}").set_value(4).run()
    app.text_area(key=f"rate.comment.{first.token}").set_value("Says why.").run()
    button(app, "Save").click().run()
    row = details(demo)[0]
    assert (row.reasons, row.criteria, row.comment) == (["clear"], {"Tone": {"b": 5}}, "Says why.")
    assert store.history(ADA).outcome_of(0) is Outcome.B
    assert asked(store).token != first.token
    assert store.draft(ADA, first.token) == {}


def test_a_reload_brings_back_what_was_chosen_and_written_but_not_sent(
    open_page: Open, demo: Database, store: PreferenceStore, plan: Any
) -> None:
    plan(mode=Mode.DETAILED)
    app = open_page("rate", "Ada")
    token = asked(store).token
    button(app, "Tie").click().run()
    app.text_area(key=f"rate.comment.{token}").set_value("Half a thought").run()
    again = open_page("rate", "Ada")
    assert button(again, "Tie").proto.type == "primary"
    assert again.text_area(key=f"rate.comment.{token}").value == "Half a thought"
    assert len(store.history(ADA)) == 0


def test_a_flag_needs_a_reason_and_the_pair_does_not_come_back_to_this_person(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    app = open_page("rate", "Ada")
    first = asked(store)
    button(app, "Flag").click().run()
    assert button(app, "Send flag").disabled
    widget(app, f"rate.why.{first.token}").set_value("broken").run()
    app.text_input(key=f"rate.note.{first.token}").set_value("Ends midway").run()
    button(app, "Send flag").click().run()
    assert "Flagged" in words(app)
    with demo.read() as session:
        row = session.query(FlagRow).one()
    assert (row.reason, row.note) == ("broken", "Ends midway")
    assert asked(store).query != first.query
    assert len(store.history(ADA)) == 0


def test_when_the_database_is_busy_the_choice_is_kept_and_sent_again(
    open_page: Open, demo: Database, store: PreferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page("rate", "Ada")
    first = asked(store)
    with monkeypatch.context() as broken:

        def busy(*_: Any, **__: Any) -> None:
            raise DatabaseUnavailable("The database is busy.")

        broken.setattr(PreferenceStore, "record", busy)
        button(app, "B is").click().run()
    assert "Your choice is kept: B is better" in words(app)
    assert [found.label for found in app.button if found.label.startswith(("A is", "B is"))] == []
    assert len(store.history(ADA)) == 0 and asked(store).token == first.token
    button(app, "Not saved. Retry").click().run()
    assert store.history(ADA).outcome_of(0) is Outcome.B
    assert "Saved." in words(app)


def test_too_quick_an_answer_leaves_no_row_and_one_event_for_the_quality_of_ratings(
    open_page: Open, demo: Database, store: PreferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFROUTE_MINIMUM_DWELL", "3600")
    app = open_page("rate", "Ada")
    button(app, "A is").click().run()
    assert "Too quick" in words(app) and len(store.history(ADA)) == 0
    with demo.read() as session:
        assert session.query(AuditEventRow).filter_by(action="too_quick").count() == 1


def test_an_answer_after_the_pair_went_to_someone_else_is_kept_and_said_to_be_extra(
    open_page: Open, demo: Database, store: PreferenceStore, plan: Any
) -> None:
    plan(overlap=1)
    app = open_page("rate", "Ada")
    mine = asked(store)
    with demo.write() as session:
        session.execute(update(AssignmentRow).values(leased_until=mine.shown_at - timedelta(seconds=1)))
    bob = People(demo).sign_in("Bob").name
    while (other := asked(store, bob)).query != mine.query:
        store.record(bob, other.token, Outcome.A, minimum_dwell=0)
    button(app, "A is").click().run()
    assert "went to someone else; your answer was saved as an extra rating" in words(app)
    assert len(store.history(ADA)) == 1


def test_while_others_are_on_the_last_items_the_page_says_when_to_come_back(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    task = next(iter(store.queries())).task
    Campaigns(demo).create(CampaignPlan("one", tasks=(task,), overlap=1), "test")
    Campaigns(demo).set_open("Everything", "test", open=False)
    people = [People(demo).sign_in(f"rater {i}").name for i in range(60)]
    while store.assign(people.pop()) is not None:
        pass
    app = open_page("rate", "Ada")
    assert "Others are on the last items; check again in about 15 min" in words(app)


def test_guidelines_open_and_close_and_are_those_of_the_campaign(open_page: Open, demo: Database, plan: Any) -> None:
    app = open_page("rate", "Ada")
    assert "Press G" not in words(app)
    button(app, "Guidelines").click().run()
    assert "Both bad" in words(app) and "Press G to close" in words(app)
    plan(guidelines="Judge the *rhymes* only.")
    app.run()
    assert "Judge the *rhymes* only." in words(app)
    button(app, "Guidelines").click().run()
    assert "Judge the *rhymes* only." not in words(app)  # the drawn pair may speak of rhymes


@pytest.mark.parametrize("view", ["Raw text", "Show differences", "Expand both"])
def test_no_view_of_a_pair_names_an_llm_before_the_vote(open_page: Open, demo: Database, view: str) -> None:
    app = open_page("rate", "Ada")
    widget(app, "rate.view").set_value([view]).run()
    button(app, "Guidelines").click().run()
    button(app, "Flag").click().run()
    assert not app.exception
    assert [name for name in NAMES if name in sent(app)] == []


def test_names_are_told_at_once_only_where_the_campaign_says_so(open_page: Open, demo: Database, plan: Any) -> None:
    app = open_page("rate", "Ada")
    button(app, "A is").click().run()
    assert [name for name in NAMES if name in sent(app)] == []
    plan(reveal=Reveal.AT_ONCE)
    app.run()
    button(app, "A is").click().run()
    assert any(f"A was {llm.name}" in words(app) for llm in LLMS)


@pytest.fixture
def two_texts(database: Database) -> Callable[[str, str], None]:
    """two_texts(one, other) makes the only pair there is to rate of these."""

    def stored(one: str, other: str) -> None:
        query, llms = Query(QueryId("q"), ("First?", "And then?")), (LLM(LLMId("x")), LLM(LLMId("y")))
        said = tuple(
            Response(query.query_id, llm.llm_id, ("Well.", t)) for llm, t in zip(llms, (one, other), strict=True)
        )
        PreferenceStore(database).add_bundle(Bundle("two", (), (), llms, (query,), said))

    return stored


def test_differences_are_marked_and_nothing_is_read_as_markdown(open_page: Open, two_texts: Any) -> None:
    two_texts("# The same *start*\n    and :red[one] end", "# The same *start*\n    and another end")
    app = open_page("rate", "Ada")
    widget(app, "rate.view").set_value(["Show differences"]).run()
    shown = words(app)
    assert not app.exception
    assert ":blue-background[another]" in shown and "&#35; The same &#42;start&#42;" in shown
    assert ":red[" not in shown


def test_texts_of_fifty_thousand_characters_are_shown_whole_in_every_view(open_page: Open, two_texts: Any) -> None:
    one = "\n".join(f"Line {i} of the first, with some words." for i in range(1_300))
    other = one.replace("Line 7 ", "Line seven ")
    assert len(one) > 50_000
    two_texts(one, other)
    app = open_page("rate", "Ada")
    assert "Line 1299 of the first" in words(app)
    widget(app, "rate.view").set_value(["Show differences"]).run()
    assert "Line 1299 of the first" in words(app) and words(app).count(":blue-background[") == 2
    widget(app, "rate.view").set_value(["Raw text"]).run()
    assert "Line 1299 of the first" in words(app)


def test_on_a_phone_one_response_is_shown_at_a_time_and_chosen_by_its_letter(
    open_page: Open, two_texts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_texts("Said by one", "Said by the other")
    monkeypatch.setattr("pages.parts.device.on_phone", lambda: True)
    app = open_page("rate", "Ada")
    before = words(app)
    assert ("Said by one" in before) != ("Said by the other" in before)
    app.button(key="panes.side.B").click().run()
    assert ("Said by one" in before) != ("Said by one" in words(app))


def test_the_time_left_counts_what_the_quota_leaves(open_page: Open, demo: Database, plan: Any) -> None:
    plan(quota=10)
    app = open_page("rate", "Ada")
    assert "0 of 10" in words(app) and "Everything" in words(app)
    button(app, "Tie").click().run()
    assert "1 of 10" in words(app) and "min left" in words(app)


def test_the_best_and_the_worst_of_several_are_picked_by_number(
    open_page: Open, demo: Database, store: PreferenceStore, plan: Any
) -> None:
    plan(kind=Kind.BEST_WORST, options=4)
    app = open_page("rate", "Ada")
    first = asked(store)
    assert len(first.responses) == 4
    assert [name for name in NAMES if name in sent(app)] == []
    button(app, "3 is best").click().run()
    assert "Best: 3." in words(app) and len(store.history(ADA)) == 0
    assert [found.label for found in app.button if "is worst" in found.label] == [f"{n} is worst" for n in (1, 2, 4)]
    button(app, "Another best").click().run()
    button(app, "2 is best").click().run()
    button(app, "4 is worst").click().run()
    assert len(store.history(ADA)) == 5 and "1 of 54" in words(app)
    assert asked(store).token != first.token
    plan(kind=Kind.BEST, options=3)
    app.run()
    button(app, "Skip").click().run()
    button(app, "1 is best").click().run()
    assert len(store.history(ADA)) == 7
    button(app, "Undo").click().run()
    assert len(store.history(ADA)) == 5
