"""What every page stands on: the database and its stores, the router in service, and the person here."""

from dataclasses import dataclass, replace

import streamlit as st

from core.domain import UserId
from core.encoders import SentenceEncoder
from core.errors import NotAllowed, NotFound
from core.providers import Providers
from core.settings import Settings, load_settings
from db.answers import StoredResponses
from db.calls import CallLedger
from db.campaigns import Campaigns
from db.embeddings import CachedEncoder
from db.engine import Database
from db.gold import Gold
from db.invites import Invites
from db.matchmaker import Matchmaker
from db.measures import Measures
from db.models import Role
from db.people import People, Person
from db.preferences import PreferenceStore
from db.routers import RouterRegistry
from db.runs import TrainingRuns
from db.serving import Serving
from db.surveys import Surveys
from pages.parts.browser import COOKIE
from pages.parts.identity import NAME, arrived

PACE = 0.04  # seconds a word of a stored answer: about as fast as an LLM writes, and it can be read along


@dataclass(frozen=True)
class Context:
    """One per server process; every part is safe to share between sessions."""

    settings: Settings
    database: Database
    store: PreferenceStore
    people: People
    campaigns: Campaigns
    invites: Invites
    runs: TrainingRuns
    registry: RouterRegistry
    serving: Serving
    providers: Providers
    surveys: Surveys
    measures: Measures
    gold: Gold


@st.cache_resource(show_spinner=False)
def context() -> Context:
    """Opened at the first page of a server and kept. Raises DatabaseUnavailable and NewerDatabase."""
    settings = load_settings()
    database = Database.open(settings.database_url)
    encoder = CachedEncoder(SentenceEncoder(settings.encoder), database)
    serving = Serving(database, encoder)
    store = PreferenceStore(database, suggest=Matchmaker(database, serving).suggestions)
    return Context(
        settings, database, store, People(database), Campaigns(database), Invites(database),
        TrainingRuns(database, settings.heartbeat_timeout), RouterRegistry(database), serving,
        Providers(settings.providers, StoredResponses(database, encoder), CallLedger(database), pace=PACE),
        Surveys(database, encoder), Measures(database), Gold(database),
    )  # fmt: skip


def browser_token() -> str | None:
    """The random name of this browser; None before its first answer from `server.py`."""
    return st.context.cookies.get(COOKIE)


def visitor_address() -> str:
    """Whence this browser comes, for counting tries; "local" from this machine."""
    return st.context.ip_address or "local"


def current_person() -> Person | None:
    """Who is here, with the role that counts. In open mode everyone is an administrator: a role that anyone can take by
    typing a name would protect nothing, and the frame says so.
    """
    person = _signed_in()
    if person and context().settings.auth == "open":
        return replace(person, role=Role.ADMIN)
    return person


def _signed_in() -> Person | None:
    """Whom the proxy or the provider names; else the sign-in of this tab, or after a reload the one this browser
    remembers.
    """
    people = context().people
    if context().settings.auth in ("proxy", "oidc"):
        return arrived(people, context().settings)
    if name := st.session_state.get(NAME):
        try:
            return people.get(UserId(name))
        except NotFound:  # removed meanwhile
            del st.session_state[NAME]
    token = browser_token()
    person = people.recall(token) if token else None
    if person:
        st.session_state[NAME] = person.name
    return person


def role_here() -> Role:
    """The role that counts for what the navigation shows; a viewer's where nobody is signed in."""
    if context().settings.auth == "open":
        return Role.ADMIN
    person = current_person()
    return person.role if person else Role.VIEWER


def sign_in(name: str) -> None:
    """Open mode: whoever gives a name is that person. Raises InvalidInput for a name that cannot be one, and NotAllowed
    in every other mode, where a name alone opens nothing.
    """
    if context().settings.auth != "open":
        raise NotAllowed("A name alone opens nothing here: sign in as Welcome says.")
    _remember(context().people.sign_in(name))


def join(invite: str, name: str) -> None:
    """Invite mode: whoever brings a link that works. Raises as `Invites.redeem`."""
    _remember(context().invites.redeem(invite, name, address=visitor_address()))


def _remember(person: Person) -> None:
    st.session_state[NAME] = person.name
    if token := browser_token():
        context().people.remember(token, person)


def sign_out() -> None:
    """Forget this browser's person; their ratings stay theirs."""
    st.session_state.clear()
    if token := browser_token():
        context().people.forget(token)
    if context().settings.auth == "oidc":
        st.logout()


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
