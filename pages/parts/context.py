"""What every page stands on: the database and its stores, the router in service, and the person here."""

from dataclasses import dataclass, replace

import streamlit as st

from core.domain import UserId
from core.encoders import SentenceEncoder
from core.errors import NotFound
from core.providers import Providers
from core.settings import Settings, load_settings
from db.answers import StoredResponses
from db.campaigns import Campaigns
from db.embeddings import CachedEncoder
from db.engine import Database
from db.models import Role
from db.people import People, Person
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.runs import TrainingRuns
from db.serving import Serving
from pages.parts.browser import COOKIE

_NAME = "account.name"


@dataclass(frozen=True)
class Context:
    """One per server process; every part is safe to share between sessions."""

    settings: Settings
    database: Database
    store: PreferenceStore
    people: People
    campaigns: Campaigns
    runs: TrainingRuns
    registry: RouterRegistry
    serving: Serving
    providers: Providers


@st.cache_resource(show_spinner=False)
def context() -> Context:
    """Opened at the first page of a server and kept. Raises DatabaseUnavailable and NewerDatabase."""
    settings = load_settings()
    database = Database.open(settings.database_url)
    encoder = CachedEncoder(SentenceEncoder(settings.encoder), database)
    return Context(
        settings, database, PreferenceStore(database), People(database), Campaigns(database),
        TrainingRuns(database, settings.heartbeat_timeout), RouterRegistry(database), Serving(database, encoder),
        Providers(settings.providers, StoredResponses(database, encoder)),
    )  # fmt: skip


def browser_token() -> str | None:
    """The random name of this browser; None before its first answer from `server.py`."""
    return st.context.cookies.get(COOKIE)


def current_person() -> Person | None:
    """Who is here, with the role that counts. In open mode everyone is an administrator: a role that anyone can take by
    typing a name would protect nothing, and the frame says so.
    """
    person = _signed_in()
    if person and context().settings.auth == "open":
        return replace(person, role=Role.ADMIN)
    return person


def _signed_in() -> Person | None:
    """The sign-in of this tab, or after a reload the one this browser remembers."""
    people = context().people
    if name := st.session_state.get(_NAME):
        try:
            return people.get(UserId(name))
        except NotFound:  # removed meanwhile
            del st.session_state[_NAME]
    token = browser_token()
    person = people.recall(token) if token else None
    if person:
        st.session_state[_NAME] = person.name
    return person


def sign_in(name: str) -> None:
    """Open mode: whoever gives a name is that person. Raises InvalidInput for a name that cannot be one."""
    person = context().people.sign_in(name)
    st.session_state[_NAME] = person.name
    if token := browser_token():
        context().people.remember(token, person)


def sign_out() -> None:
    """Forget this browser's person; their ratings stay theirs."""
    st.session_state.clear()
    if token := browser_token():
        context().people.forget(token)


def require(role: str) -> Person:
    """The first statement of a page: the person here, who has this role or a higher one ("viewer" < "rater" < "analyst"
    < "admin"). Else a sentence that says who to ask, and the end of the page.
    """
    person = current_person()
    if person is None:
        st.info("Say who you are first: your ratings are kept under your name.")
        st.page_link("pages/annotate/welcome.py", label="Go to Welcome")
        st.stop()
    if not person.role.includes(Role(role)):
        st.warning(
            f"This page is for people with the role '{role}'; yours is '{person.role}'. "
            "An administrator of this PrefRoute can change that under People and settings."
        )
        st.stop()
    return person
