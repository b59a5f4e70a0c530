"""A person's data in their own hands: take it along, or leave."""

import io

import streamlit as st

from core.domain import UserId
from core.errors import InvalidInput
from db import histories, takeout
from pages.parts.consent import withdraw
from pages.parts.context import context, sign_out
from pages.parts.errors import callback
from pages.parts.profile import show_profile

GONE = "my_ratings.gone"
HOW = "my_ratings.how"
TYPED = "my_ratings.typed"
WAYS = {
    "anonymise": "Anonymise: my ratings stay, under a random name that nothing here leads back from",
    "erase": "Erase: my ratings and everything else of mine are deleted",
}
FAREWELLS = {
    "anonymise": "Your name is gone from here. Your ratings stay under a random one.",
    "erase": "Everything of yours was deleted.",
}


def show_my_data(user: UserId) -> None:
    """Download, and the way out."""
    st.subheader("Download", anchor=False)
    st.caption("All my ratings with queries, both responses, outcomes, times and every version; what I skipped.")
    st.download_button(
        "Download my data (JSON)", lambda: _document(user), "prefroute-my-data.json", "application/json",
        key="my_ratings.download", on_click="ignore",
    )  # fmt: skip
    st.subheader("About me", anchor=False)
    show_profile(user)
    st.subheader("Consent", anchor=False)
    st.caption("Take it back and you are asked again before the next rating. Ratings given so far stay until deleted.")
    st.button("Withdraw consent", key="my_ratings.consent", on_click=withdraw, args=(user,))
    st.subheader("Delete my data", anchor=False)
    how = st.radio("What should happen?", list(WAYS), None, key=HOW, format_func=WAYS.__getitem__)
    _show_consequences(user, how)
    typed = st.text_input("Type your name to confirm", key=TYPED, placeholder=user, autocomplete="off")
    ready = how is not None and typed == user
    st.button(
        "Delete my data", key="my_ratings.delete", on_click=leave, args=(user,), disabled=not ready,
        help=None if ready else "Choose what should happen and type your name exactly.",
    )  # fmt: skip


def _document(user: UserId) -> io.BytesIO:
    data = io.BytesIO()
    for piece in takeout.document(context().database, user):
        data.write(piece.encode())
    data.seek(0)
    return data


def _show_consequences(user: UserId, how: str | None) -> None:
    trained = histories.routers_trained_on(context().database, user)
    if trained:
        named = ", ".join(f"{version.kind} {version.version}" for version in trained)
        st.caption(f"Router versions trained while your ratings were here: {named}.")
    else:
        st.caption("No router version was trained while ratings of yours were here.")
    if how == "anonymise":
        st.caption(
            "Sign-ins, routing decisions and your name in the logs are forgotten. Your ratings keep their times and go "
            "on being used in training. Backups and downloads made earlier keep your name."
        )
    elif how == "erase":
        st.caption(
            "Ratings, assignments, routing decisions and sign-ins are deleted; the log keeps only that someone was "
            "erased. The next training leaves your ratings out; versions trained before keep what they learned, and "
            "backups and downloads made earlier keep the data. A file that your ratings were imported from would bring "
            "them back."
        )
    if how and context().runs.active():
        st.caption("A training is queued or running now and may still use your ratings.")


@callback
def leave(user: UserId) -> None:
    """Do what was chosen, if the name is typed as it is, and sign out."""
    how, typed = st.session_state.get(HOW), st.session_state.get(TYPED)
    if how not in WAYS or typed != user:
        raise InvalidInput("Nothing was deleted: choose what should happen and type your name exactly.")
    people = context().people
    if how == "erase":
        people.erase(user)
    else:
        people.anonymise(user)
    sign_out()
    st.session_state[GONE] = how


def show_farewell() -> None:
    """Said once, to whom was just here."""
    if how := st.session_state.pop(GONE, None):
        st.success(FAREWELLS[how])
