"""The sidebar's account block, and the forms that sign a person in."""

import streamlit as st

from core.errors import PrefRouteError
from pages.parts.context import context, current_person, join, sign_in, sign_out

_FORM_ERROR = "account.error"
INVITE = "invite"  # the parameter of a link


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
        if context().settings.auth != "proxy":  # which would bring the person back at once
            st.button("Sign out", key="account.out", on_click=sign_out)


def show_sign_in() -> None:
    """What the configured way of signing in asks for. What is wrong stands under the field, and the field keeps it."""
    invite, auth = st.query_params.get(INVITE), context().settings.auth
    if auth == "open":
        _show_form(None, named=False)
    elif auth == "proxy":
        st.info(
            "People are signed in here by a proxy, and it named nobody. Open PrefRoute by the address of that proxy; "
            "if you did, ask whoever runs it."
        )
    elif auth == "oidc":
        _show_provider()
    elif invite:
        _show_form(invite, named=context().invites.names_person(invite))
    else:
        st.info(
            "This PrefRoute is by invitation. Open the link that you were sent; "
            "for a new one ask whoever runs it. (Administrators: the first link is in the server's log.)"
        )
    if message := st.session_state.pop(_FORM_ERROR, None):
        st.error(message)


def _show_provider() -> None:
    st.button("Sign in", key="account.provider", type="primary", on_click=st.login)
    if st.user.get("is_logged_in"):
        st.warning(
            "You are signed in with the provider, but it gives no name that counts here (a verified e-mail address, if "
            "nothing else was set). Ask whoever runs this PrefRoute."
        )
        st.button("Sign out", key="account.provider.out", on_click=sign_out)


def _show_form(invite: str | None, *, named: bool) -> None:
    with st.form("account.form", border=False):
        if named:
            st.write("This link signs you in on this browser.")
        else:
            st.text_input(
                "Your name", key="account.typed", max_chars=60, placeholder="For example Ada", autocomplete="name"
            )
        st.form_submit_button("Start", type="primary", on_click=_submit, args=(invite,))


def _submit(invite: str | None) -> None:
    name = st.session_state.get("account.typed", "")
    try:
        if invite is None:
            sign_in(name)
        else:
            join(invite, name)
            st.query_params.pop(INVITE, None)
    except PrefRouteError as error:
        st.session_state[_FORM_ERROR] = str(error)


def _plain(name: str) -> str:
    return "".join(
        f"\\{character}" if not character.isalnum() and character != " " else character for character in name
    )
