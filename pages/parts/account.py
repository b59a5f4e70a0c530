"""The sidebar's account block, and the form that signs a person in."""

import streamlit as st

from core.errors import PrefRouteError
from pages.parts.context import context, current_person, sign_in, sign_out

_FORM_ERROR = "account.error"


def show_account() -> None:
    """Who is here, with the way out, and the standing notice of open mode."""
    person = current_person()
    with st.sidebar:
        if person is None:
            st.caption("Not signed in")
            return
        st.markdown(f"Signed in as **{_plain(person.name)}**")
        if context().settings.auth == "open":
            st.caption("No sign-in is set up: anyone who opens this app can rate as anyone.")
        else:
            st.caption(f"Role: {person.role}")
        st.button("Sign out", key="account.out", on_click=sign_out)


def show_sign_in() -> None:
    """Ask for a name. What is wrong with it stands under the field, and the field keeps it."""
    with st.form("account.form", border=False):
        st.text_input(
            "Your name", key="account.typed", max_chars=60, placeholder="For example Ada", autocomplete="name"
        )
        st.form_submit_button("Start", type="primary", on_click=_submit)
    if message := st.session_state.pop(_FORM_ERROR, None):
        st.error(message)


def _submit() -> None:
    try:
        sign_in(st.session_state.get("account.typed", ""))
    except PrefRouteError as error:
        st.session_state[_FORM_ERROR] = str(error)


def _plain(name: str) -> str:
    return "".join(
        f"\\{character}" if not character.isalnum() and character != " " else character for character in name
    )
