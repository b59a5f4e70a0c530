"""The front page: how things stand, and who arrives there."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from core.domain import Outcome, UserId
from db.engine import Database
from db.people import People
from db.preferences import PreferenceStore
from tests.pages.test_pages import words

Open = Callable[..., AppTest]


def test_the_demo_world_is_summed_up_and_what_needs_attention_is_said(open_page: Open, demo: Database) -> None:
    app = open_page("overview", "Ada")
    assert {metric.label: metric.value for metric in app.metric} == {
        "Ratings": "2,400", "Users": "61", "Active in 7 days": "0", "Pairs of LLMs compared": "10 of 10",
    }  # fmt: skip
    attention = [found.value for found in app.warning]
    assert any("enough to train one" in sentence for sentence in attention)
    assert any("Only simulated users have rated" in sentence for sentence in attention)


def test_who_has_rated_arrives_at_the_overview_and_a_newcomer_at_welcome(
    open_page: Open, demo: Database, store: PreferenceStore
) -> None:
    assert [title.value for title in open_page("welcome", "Ada").title] == ["PrefRoute"]
    People(demo).sign_in("Bob")
    assignment = store.assign(UserId("Bob"))
    assert assignment is not None
    store.record(UserId("Bob"), assignment.token, Outcome.A, minimum_dwell=0)
    app = open_page("welcome", "Bob")
    assert [title.value for title in app.title] == ["Overview"]
    app.switch_page("pages/annotate/welcome.py").run()
    assert [title.value for title in app.title] == ["PrefRoute"]
    assert "Signed in as **Bob**" in words(app)
