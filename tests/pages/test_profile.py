"""Three questions, once: answered, skipped, changed under My ratings, and a group of raters on the leaderboard."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from core.domain import UserId
from core.profile import Profile
from db.engine import Database
from db.people import People
from tests.pages.test_pages import button, words

Open = Callable[..., AppTest]
QUESTION = "What do you mostly use LLMs for?"


def asks(app: AppTest) -> bool:
    return "Three questions, if you like" in words(app)


def test_answers_are_kept_and_changed_and_make_a_group_of_the_leaderboard(open_page: Open, demo: Database) -> None:
    app, people = open_page("welcome", "Ada"), People(demo)
    assert asks(app)
    app.pills(key="profile.mostly_for").set_value("Code").run()
    app.button(key="profile.save").click().run()
    assert not asks(app) and people.profile(UserId("Ada")) == Profile("Code")
    rate = app.switch_page("pages/annotate/rate.py").run()
    button(rate, "A is").click().run()
    board = rate.switch_page("pages/explore/leaderboard.py").run()
    board.selectbox(key="leaderboard.use").select("Code").run()
    assert "**1 of 2,401 ratings**" in words(board) and "2,400 by people who mostly use LLMs" in words(board)
    board.button(key="leaderboard.count.USE").click().run()
    assert "**2,401 of 2,401 ratings**" in words(board)


def test_who_skips_is_not_asked_again(open_page: Open, demo: Database) -> None:
    app = open_page("welcome", "Bob")
    app.button(key="profile.skip").click().run()
    assert not asks(app) and People(demo).profile(UserId("Bob")) == Profile()
    assert not asks(open_page("welcome", "Bob"))
