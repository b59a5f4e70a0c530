"""Whoever has rated nothing yet: the global answer, and the sentence that says so."""

from collections.abc import Callable

import numpy as np
from streamlit.testing.v1 import AppTest

from db.engine import Database
from tests.pages.test_pages import words

Open = Callable[..., AppTest]


def test_a_person_without_ratings_gets_the_global_answer_and_is_told_so(open_page: Open, trained: Database) -> None:
    app = open_page("routing", "Ada")
    assert not app.exception and app.selectbox(key="routing.user").value == "Ada"
    assert "has no ratings yet, so this is what the average user gets" in words(app)
    table = next(frame.value for frame in app.dataframe if "average" in frame.value)
    assert len(table) > 1 and np.allclose(table["probability"], table["average"])
    app.selectbox(key="routing.user").select("simulated-brief-03").run()  # who has rated gets another one
    table = next(frame.value for frame in app.dataframe if "average" in frame.value)
    assert not np.allclose(table["probability"], table["average"])
    assert "has no ratings yet" not in words(app)
