"""People and settings: who may do what, links that let people in, how the database is, and who did what."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from core.domain import UserId
from db.audit import actions, events
from db.base import utc_now
from db.health import back_up, backup_folder, health
from db.models import Role
from pages.parts.account import INVITE
from pages.parts.campaigns import show_campaigns
from pages.parts.clock import shown
from pages.parts.context import context, require
from pages.parts.errors import callback
from pages.parts.llms import show_keys, show_llms

PARTS = ("People", "Invites", "Campaigns", "LLMs", "API keys", "Health", "Audit log")
ROLES = [role.value for role in Role]
EVENTS_SHOWN = 200

person = require("admin")
here = context()


@callback
def set_role(name: UserId) -> None:
    """Give a person the role that the picker shows."""
    here.people.set_role(name, Role(st.session_state["settings.role"]), by=person.name)
    st.session_state["settings.notice"] = f"{name} is now {st.session_state['settings.role']}."


@callback
def invite() -> None:
    """Make a link; it is shown once, and only its hash is kept."""
    state = st.session_state
    someone = state.get("settings.invite.person")
    token = here.invites.create(
        Role(state["settings.invite.role"]), uses=1 if someone else int(state["settings.invite.uses"]),
        days=int(state["settings.invite.days"]), by=person.name, person=someone,
    )  # fmt: skip
    state["settings.invite.link"] = token


@callback
def revoke(number: int) -> None:
    """End a link."""
    here.invites.revoke(number, by=person.name)


@callback
def back_up_now() -> None:
    """A copy of the database, named by the moment."""
    ending = "db" if here.database.dialect == "sqlite" else "dump"
    path = backup_folder(here.database) / f"prefroute-{utc_now():%Y%m%d-%H%M%S}.{ending}"
    size = back_up(here.database, path, by=person.name)
    st.session_state["settings.notice"] = f"Backed up to {path} ({megabytes(size)})."


def megabytes(size: int) -> str:
    """A size that people read."""
    return f"{size / 1e6:,.1f} MB"


def show_people() -> None:
    """Everyone who is not simulated, with the way to another role."""
    listed = here.people.list(simulated=False)
    st.dataframe(
        [{"person": one.person.name, "role": one.person.role.value, "ratings": one.ratings} for one in listed],
        hide_index=True, alt="People, their roles and numbers of ratings",
    )  # fmt: skip
    if here.settings.auth == "open":
        st.caption("In open mode everyone may do everything; roles count once PREFROUTE_AUTH is 'invite'.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Person", [one.person.name for one in listed], key="settings.person")
        st.selectbox("Role", ROLES, index=ROLES.index(Role.RATER), key="settings.role")
        st.button("Change role", key="settings.set_role", on_click=set_role, args=(name,))


def show_invites() -> None:
    """Links that still work, and a new one."""
    if token := st.session_state.pop("settings.invite.link", None):
        st.success("Send this link; it is shown only once.")
        st.code(f"{st.context.url or ''}".rsplit("/", 1)[0] + f"/?{INVITE}={token}", language=None)
    with st.form("settings.invite", border=True):
        st.selectbox("Role", ROLES, index=ROLES.index(Role.RATER), key="settings.invite.role")
        left, right = st.columns(2)
        left.number_input("Uses", 1, 1000, 1, key="settings.invite.uses")
        right.number_input("Days", 1, 365, 14, key="settings.invite.days")
        people = [one.person.name for one in here.people.list(simulated=False)]
        st.selectbox(
            "Or sign in someone who is here, on another browser", people, None, key="settings.invite.person",
            placeholder="Nobody: the link makes a new person",
        )  # fmt: skip
        st.form_submit_button("Make a link", type="primary", on_click=invite)
    links = here.invites.list()
    if not links:
        st.caption("No link works now.")
    for link in links:
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            whom = f"signs in {link.person}" if link.person else f"new {link.role}"
            st.text(f"{whom} · {link.uses_left} left · until {shown(link.expires_at)} · by {link.created_by}")
            st.button("Revoke", key=f"settings.revoke.{link.id}", on_click=revoke, args=(link.id,))


def show_health() -> None:
    """What an operator asks first, and a copy of everything."""
    now = health(here.database)
    first, second, third = st.columns(3)
    first.metric("Database", f"{now.kind}{f' ({now.journal})' if now.journal else ''}")
    second.metric("Size", megabytes(now.size))
    third.metric("Free disk", megabytes(now.free_disk) if now.free_disk is not None else "not known here")
    first.metric("Schema revision", now.revision)
    second.metric("Last rating", shown(now.last_rating) if now.last_rating else "none yet")
    third.metric("Training runs waiting or active", now.waiting_runs)
    st.caption(f"Last backup: {shown(now.last_backup) if now.last_backup else 'none yet'}.")
    st.button("Back up now", key="settings.backup", on_click=back_up_now)


def show_audit() -> None:
    """The newest events, by kind."""
    kinds = st.multiselect("Only", actions(here.database), key="settings.actions", placeholder="Every kind of event")
    rows = events(here.database, kinds, EVENTS_SHOWN)
    st.dataframe([{**row, "at": shown(row["at"])} for row in rows], hide_index=True, alt="Audit events, newest first")
    st.caption(f"The newest {len(rows)} events{' of these kinds' if kinds else ''}, at most {EVENTS_SHOWN}.")


st.title("People and settings")
if notice := st.session_state.pop("settings.notice", None):
    st.success(notice)
tabs = st.tabs(PARTS, key="settings.part", on_change="rerun", bind="query-params")
shows: tuple[Callable[[], None], ...] = (
    show_people, show_invites, partial(show_campaigns, person.name), partial(show_llms, person.name),
    partial(show_keys, person.name), show_health, show_audit,
)  # fmt: skip
for tab, show in zip(tabs, shows, strict=True):
    if tab.open:
        with tab:
            show()
