"""Rate responses: a blind pair, one key, the next pair. A rating is saved before the next pair appears."""

import streamlit as st

from core.domain import Outcome
from pages.parts.consent import require_consent
from pages.parts.context import context, require
from pages.parts.empty import show_nothing_to_rate
from pages.parts.errors import callback
from pages.parts.panes import show_pair, show_query

KEYS = {
    Outcome.A: ("A is better", "1"),
    Outcome.B: ("B is better", "2"),
    Outcome.TIE: ("Tie", "3"),
    Outcome.BOTH_BAD: ("Both bad", "4"),
}
NOTICES = {
    "saved": "Saved.",
    "already_saved": "Already saved: this pair was rated before, here or in another tab.",
    "too_quick": "Too quick: please read both. Nothing was saved.",
}

person = require("rater")
require_consent(person)
store = context().store


@callback
def rate(token: str, outcome: Outcome) -> None:
    """Save one rating; whatever is clicked or held, an assignment has one."""
    recorded = store.record(person.name, token, outcome, minimum_dwell=context().settings.minimum_dwell)
    st.session_state["rate.notice"] = recorded.status


@callback
def skip(token: str) -> None:
    """Put the pair back; it returns when the others are done."""
    store.skip(person.name, token)


@callback
def undo() -> None:
    """Take the last rating back and show its pair again; both versions stay in the record."""
    if store.undo(person.name) is None:
        st.session_state["rate.notice"] = "nothing_to_undo"


assignment = store.assign(person.name)
progress = store.progress(person.name)

st.subheader("Which answer do you like better?")
if assignment is None:
    if progress.rated:
        st.success(f"You rated all {progress.rated}. Thank you.")
        st.page_link("pages/explore/routing.py", label="See which LLM you would get")
    else:
        show_nothing_to_rate()
    if progress.rated:
        st.button("Undo", key="rate.undo", on_click=undo, shortcut="U")
    st.stop()

with st.container(horizontal=True, vertical_alignment="center", key="rate.line"):
    pace = f" · about {progress.seconds_each:.0f} s each" if progress.seconds_each else ""
    total = progress.rated + progress.available
    st.caption(f"{progress.today} today · {progress.rated} of {total}{pace}")
    whole = st.toggle("Expand both", key="rate.whole")
    raw = st.toggle("Raw text", key="rate.raw")
st.progress(progress.rated / max(total, 1))

show_query(assignment.query)
show_pair(assignment.response_a, assignment.response_b, raw=raw, whole=whole)

with st.bottom:
    status = st.session_state.pop("rate.notice", None)
    if status == "nothing_to_undo":
        st.caption("Nothing to undo.")
    elif status == "saved":
        st.caption(NOTICES["saved"])
    elif status:
        st.warning(NOTICES[status])
    with st.container(horizontal=True, key="rate.bar"):
        for outcome, (label, key) in KEYS.items():
            # The key carries the assignment: a click meant for the last pair can never fall on this one.
            st.button(
                label,
                key=f"rate.{outcome}.{assignment.token}",
                shortcut=key,
                on_click=rate,
                args=(assignment.token, outcome),
            )
        st.button(
            "Skip",
            key=f"rate.skip.{assignment.token}",
            shortcut="S",
            on_click=skip,
            args=(assignment.token,),
            type="tertiary",
        )
        st.button("Undo", key="rate.undo", shortcut="U", on_click=undo, disabled=not progress.rated, type="tertiary")
