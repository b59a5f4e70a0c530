"""Three questions about the person here, asked once and skippable."""

import streamlit as st

from core.domain import UserId
from core.profile import LENGTHS, OFTEN, USES, Profile
from pages.parts.context import context
from pages.parts.errors import callback

ASKED = {
    "mostly_for": ("What do you mostly use LLMs for?", USES),
    "how_often": ("How often do you use them?", OFTEN),
    "likes_answers": ("How do you like their answers?", LENGTHS),
}


@callback
def answer(name: UserId, *, skip: bool = False) -> None:
    """Keep what was chosen, or that the person would rather not say."""
    said = {} if skip else {key: st.session_state.get(f"profile.{key}") for key in ASKED}
    context().people.describe(name, Profile(**said))


def show_profile(name: UserId) -> None:
    """The questions with what was said before, to save or to take back."""
    known = context().people.profile(name)
    st.caption("All optional. Analysts see them as groups of raters; *My ratings* changes or empties them.")
    for key, (question, answers) in ASKED.items():
        st.pills(question, answers, default=getattr(known, key) if known else None, key=f"profile.{key}")
    with st.container(horizontal=True):
        st.button("Save", key="profile.save", on_click=answer, args=(name,))
        if known is None:
            st.button("Skip", key="profile.skip", type="tertiary", on_click=answer, args=(name,), kwargs={"skip": True})
