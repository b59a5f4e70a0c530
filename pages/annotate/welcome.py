"""Welcome: what this is, who you are, and the first step."""

import streamlit as st

from db.models import Role
from pages.parts.account import show_sign_in
from pages.parts.consent import has_agreed, show_consent, show_practice
from pages.parts.context import context, current_person
from pages.parts.empty import show_nothing_to_rate
from pages.parts.profile import show_profile

PURPOSE = (
    "Rate pairs of answers without knowing who wrote them. "
    "PrefRoute learns your taste and sends each query to the LLM you would pick."
)

st.title("PrefRoute")
st.write(PURPOSE)

arriving = "welcome.seen" not in st.session_state
st.session_state["welcome.seen"] = True
person = current_person()
if person is None:
    show_sign_in()
    st.stop()
if not has_agreed(person):
    show_consent(person)
    st.stop()

progress = context().store.progress(person.name)
if progress.rated and arriving:  # who has begun comes back to the state of things; Welcome stays in the navigation
    st.switch_page("pages/explore/overview.py")
if progress.available:
    label = "Go on rating" if progress.rated else "Start rating"
    if st.button(f"{label} ({progress.available} left)", key="welcome.rate", type="primary"):
        st.switch_page("pages/annotate/rate.py")
    if not progress.rated:
        if context().people.profile(person.name) is None:
            with st.container(border=True):
                st.subheader("Three questions, if you like", anchor=False)
                show_profile(person.name)
        show_practice()
elif progress.rated:
    st.success(f"You rated all {progress.rated}. Thank you.")
else:
    show_nothing_to_rate()
st.page_link("pages/explore/overview.py", label="See how things stand")
st.page_link("pages/explore/routing.py", label="See which LLM you would get")
if person.role.includes(Role.ADMIN):
    st.page_link("pages/manage/training.py", label="Train a router")
