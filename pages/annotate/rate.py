"""Rate responses: a blind pair, one key, the next pair. A rating is saved before the next pair appears."""

from datetime import datetime

import streamlit as st

from core.domain import UserId
from pages.parts.clock import midnight, viewer_zone
from pages.parts.consent import require_consent
from pages.parts.context import context, require
from pages.parts.device import on_phone
from pages.parts.empty import show_nothing_to_rate
from pages.parts.guidelines import show_guidelines, toggle_guidelines
from pages.parts.panes import show_differences, show_pair, show_query, show_several
from pages.parts.vote import show_bar, show_details, undo

QUESTION = "Which answer do you like better?"
VIEWS = WHOLE, DIFFERENCES, RAW = "Expand both", "Show differences", "Raw text"
LOOK_AGAIN = 30  # seconds between two looks whether somebody gave a pair back

person = require("rater")
require_consent(person)
store = context().store


def show_end(user: UserId) -> None:
    """All is rated, or others are on the last ones, or there was never anything."""
    rated = store.progress(user).rated
    free = store.next_free(user)
    if free is not None:
        _show_waiting(user)
    elif rated:
        st.success(f"You rated all {rated}. Thank you.")
        st.page_link("pages/annotate/my_ratings.py", label="My ratings: how I choose")
        st.page_link("pages/explore/routing.py", label="See which LLM you would get")
    else:
        show_nothing_to_rate()
    if rated:
        st.button("Undo", key="rate.undo", on_click=undo, args=(user,), shortcut="U")


@st.fragment(run_every=LOOK_AGAIN)
def _show_waiting(user: UserId) -> None:
    """Until a lease ends or somebody gives a pair back."""
    if store.assign(user) is not None:
        st.rerun()
    free = store.next_free(user)
    if free is not None:
        minutes = max(1, -(-int((free - datetime.now(free.tzinfo)).total_seconds()) // 60))
        st.info(f"Others are on the last items; check again in about {minutes} min.")
        st.caption("This page looks again by itself.")


assignment = store.assign(person.name)
if assignment is None:
    st.subheader(QUESTION)
    show_end(person.name)
    st.stop()

today = midnight(datetime.now(viewer_zone()).date())
progress = store.progress(person.name, today, assignment.campaign)
total = progress.done + progress.available
phone = on_phone()
with st.container(horizontal=not phone, vertical_alignment="center", key="rate.line"):  # beside it there is no room
    st.subheader(QUESTION, anchor=False)
    # Buttons, not switches: while a switch has the focus, the keys that rate would do nothing.
    offered = [view for view in VIEWS if view == RAW or (not phone and (view == WHOLE or not assignment.others))]
    views = st.pills("View", offered, selection_mode="multi", key="rate.view", label_visibility="collapsed")
line = [f"{progress.today} today", f"{progress.done} of {total}"]
if progress.seconds_each:
    left = progress.seconds_each * progress.available / 60
    line += [f"about {progress.seconds_each:.0f} s each", f"≈ {max(1, round(left))} min left"]
with st.container(horizontal=True, vertical_alignment="center", key="rate.progress"):
    st.caption(" · ".join([*line, assignment.campaign.plan.name]))
    st.button("Guidelines", key="rate.guidelines", shortcut="G", on_click=toggle_guidelines, type="tertiary")
st.progress(progress.done / max(total, 1))
show_guidelines(assignment.campaign.plan.guidelines)

show_query(assignment.query)
if assignment.others:
    show_several(assignment.responses, raw=RAW in views, whole=WHOLE in views)
elif DIFFERENCES in views:
    show_differences(assignment.response_a, assignment.response_b, whole=WHOLE in views)
else:
    show_pair(assignment.response_a, assignment.response_b, raw=RAW in views, whole=WHOLE in views, one_at_a_time=phone)
show_details(person.name, assignment)

with st.bottom:
    show_bar(person.name, assignment, may_undo=progress.rated > 0 or assignment.number > 1)
