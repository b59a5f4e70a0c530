"""Training and routers: is there enough, train, watch, and which router is in service."""

import streamlit as st

from db.reports import training_readiness
from db.worker import spawn_worker
from pages.parts.context import context, require
from pages.parts.errors import callback
from pages.parts.training_card import show_active_run, show_ended_run

person = require("admin")
runs, registry = context().runs, context().registry


@callback
def start() -> None:
    """Queue a run and see to it that a worker takes it."""
    runs.request({"device": context().settings.device}, by=person.name)
    if context().settings.spawn_worker:
        spawn_worker(context().settings)


@callback
def activate(version: int) -> None:
    """Put another version in service; effective with the next decision."""
    registry.activate(version, by=person.name, reason="chosen on the training page")


st.title("Training and routers")
needs = training_readiness(context().database)
active = runs.active()

with st.container(border=True):
    st.subheader("Is there enough to train on?")
    for column, need in zip(st.columns(len(needs)), needs, strict=True):
        column.metric(
            need.name[0].upper() + need.name[1:], f"{need.have:,}", "enough" if need.met else f"needs {need.need:,}",
            delta_color="off", delta_arrow="off",
        )  # fmt: skip
    missing = [f"{need.have} of {need.need} {need.name}" for need in needs if not need.met]
    st.button(
        "Train", key="training.start", type="primary", on_click=start, disabled=bool(missing) or active is not None,
        help=f"More ratings are needed first: {', '.join(missing)}" if missing else None,
    )  # fmt: skip
    if active:
        st.caption(f"Run {active.id} was started by {active.requested_by}; one runs at a time.")


@st.fragment(run_every=1.0 if active else None)
def watch() -> None:
    """Polls while a run is active, and redraws the whole page once when it has ended."""
    runs.reap()
    current = runs.active()
    if current:
        show_active_run(current, person.name)
    elif active:
        st.rerun()


watch()
latest = runs.latest(1)
if not active and latest:
    with st.container(border=True):
        show_ended_run(latest[0])

st.subheader("Routers")
versions = registry.versions()
in_service = registry.active()
if not versions:
    st.info("No router yet; routing uses one ranking for all until the first training is done.")
for version in versions:
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        mark = " · **in service**" if in_service and version.id == in_service.id else ""
        users = version.card.get("users")
        st.markdown(
            f"**Version {version.id}** · {version.kind}{mark} · {version.created_at:%d %b %Y %H:%M} UTC · {users} users"
        )
        if not mark:
            st.button("Put in service", key=f"training.activate.{version.id}", on_click=activate, args=(version.id,))
