"""My ratings: what I said, to look at, change and take back; how I choose; my data."""

import streamlit as st

from db.histories import Tally, tally
from pages.parts.context import context, require
from pages.parts.habits import show_habits, show_ranking
from pages.parts.history import show_drafts, show_ratings, show_skipped
from pages.parts.my_data import show_farewell, show_my_data

PARTS = ("Ratings", "How I choose", "My data")

show_farewell()  # before who is here is asked: whoever just left is nobody now
person = require("rater")
if st.session_state.pop("my_ratings.go", False):
    st.switch_page("pages/annotate/rate.py")


def show_counts(done: Tally) -> None:
    """How much there is."""
    line = [f"{done.rated} rated", f"{done.decisive} prefer one response"]
    line += [f"{n} {what}" for n, what in ((done.changed, "edited"), (done.withdrawn, "withdrawn")) if n]
    st.caption(" · ".join([*line, f"{done.skipped} skipped"]))


st.title("My ratings")
done = tally(context().database, person.name)
rated = done.rated + done.withdrawn
show_counts(done)
ratings, habits, data = st.tabs(PARTS, key="my_ratings.part", on_change="rerun", bind="query-params")
if ratings.open:
    with ratings:
        if rated:
            show_ratings(person.name)
        else:
            st.info("No ratings yet. The first takes about 10 seconds.")
            if st.button("Rate", key="my_ratings.rate", type="primary"):
                st.switch_page("pages/annotate/rate.py")
        show_drafts(person.name)
        show_skipped(person.name, done.skipped)
if habits.open:
    with habits:
        show_habits(person.name)
        show_ranking(person.name)
if data.open:
    with data:
        show_my_data(person.name)
