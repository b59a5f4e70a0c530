"""Who somebody else says this is: a proxy in front of the app, or an OpenID Connect provider by Streamlit's login."""

import streamlit as st

from core.domain import UserId
from core.errors import NotFound
from core.settings import Settings
from db.models import Role
from db.people import People, Person

NAME = "account.name"


def named_elsewhere(settings: Settings) -> str | None:
    """The name under which the proxy or the provider knows this visitor; None where it vouches for nobody."""
    name: object = None
    if settings.auth == "proxy":
        name = st.context.headers.get(settings.proxy_header)
    elif st.user.get("is_logged_in"):
        name = st.user.get(settings.oidc_claim)
        # Whoever can register any e-mail address with a provider would otherwise be whoever has it here.
        if settings.oidc_claim == "email" and st.user.get("email_verified") not in (True, "true"):
            name = None
    return " ".join(str(name or "").split()) or None


def arrived(people: People, settings: Settings) -> Person | None:
    """The person so named, who comes in as a rater, or as an administrator where the settings list them. Raises
    InvalidInput for a name that cannot be one here.
    """
    name = named_elsewhere(settings)
    if name is None:
        st.session_state.pop(NAME, None)
        return None
    if st.session_state.get(NAME) == name:
        try:
            return people.get(UserId(name))
        except NotFound:  # removed meanwhile: comes in anew
            pass
    person = people.sign_in(name)
    if person.role != Role.ADMIN and name in settings.administrators:
        people.set_role(person.name, Role.ADMIN, by="PREFROUTE_ADMINS")
        person = people.get(person.name)
    st.session_state[NAME] = person.name
    return person
