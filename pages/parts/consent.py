"""What a person agrees to before the first rating, and the practice that follows."""

import streamlit as st

from core.domain import UserId
from db.people import Person
from pages.parts.context import context
from pages.parts.errors import callback

VERSION = 2  # count up when the text changes: everybody is then asked again
TEXT = """
- **What is stored**: your name here, what you rate and when, how long a pair was on screen, what was routed for you,
  and what you say of yourself if you answer three questions.
- **Who sees it**: administrators and analysts of this PrefRoute. Other raters never see what you said.
- **What it is for**: training routers, and measuring them. Exports carry a random name in place of yours.
- **Your way out**: change or withdraw any rating, download everything, or delete it all under *My ratings*.
"""
PRACTICE = (
    ("Name the largest planet.", "Jupiter.", "Saturn, which has the largest rings of all planets.",
     "A answers the question; B is wrong. `1` would be a fine choice."),
    ("Say hello in French.", "Bonjour!", "Salut!",
     "Both will do. Take the one you like better, or `3` for a tie: there is no wrong answer about taste."),
)  # fmt: skip


def has_agreed(person: Person) -> bool:
    """Whether this person agreed to the text as it is now; remembered by the session, as each rerun asks."""
    if st.session_state.get("consent.agreed") != person.name:
        if not context().people.has_agreed(person.name, VERSION):
            return False
        st.session_state["consent.agreed"] = person.name
    return True


def require_consent(person: Person) -> None:
    """The second statement of a page that collects ratings: the end of the page for who has not agreed."""
    if not has_agreed(person):
        st.info("Before your first rating, please read what is stored and agree to it.")
        st.page_link("pages/annotate/welcome.py", label="Go to Welcome")
        st.stop()


@callback
def agree(name: UserId) -> None:
    """Keep the agreement."""
    context().people.agree(name, VERSION)


@callback
def withdraw(name: UserId) -> None:
    """Take the agreement back; ratings given before stay until they are deleted."""
    context().people.withdraw_consent(name)
    st.session_state.pop("consent.agreed", None)


def show_consent(person: Person) -> None:
    """The text, the tick, the button."""
    with st.container(border=True):
        st.subheader("What is stored, and who sees it", anchor=False)
        st.markdown(TEXT)
        read = st.checkbox("I have read this", key="consent.read")
        st.button(
            "I agree", key="consent.agree", type="primary", disabled=not read, on_click=agree, args=(person.name,),
            help=None if read else "Tick the box first.",
        )  # fmt: skip


def show_practice() -> None:
    """Two pairs to try, with what an answer means; nothing of it is stored."""
    with st.expander("How it works: two practice pairs (nothing is saved)"):
        for number, (query, a, b, comment) in enumerate(PRACTICE):
            st.markdown(f"**{query}**")
            left, right = st.columns(2)
            left.container(border=True).markdown(f"**A** {a}")
            right.container(border=True).markdown(f"**B** {b}")
            said = st.segmented_control(
                "Your answer", ["A", "B", "Tie", "Both bad"], key=f"consent.practice.{number}",
                label_visibility="collapsed",
            )  # fmt: skip
            if said:
                st.caption(comment)
