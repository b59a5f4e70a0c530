"""Training and routers: is there enough, train, watch, what came of it, and which router is in service."""

from typing import Any

import streamlit as st

from core.presets import CUSTOM_DEFAULTS, CUSTOM_LIMITS, PRESETS, likely_seconds, settings_for
from db.reports import past_trainings, training_readiness
from db.worker import spawn_worker
from pages.parts.auto_training import show_auto_training
from pages.parts.clock import shown
from pages.parts.context import context, require
from pages.parts.errors import callback
from pages.parts.registry import show_registry
from pages.parts.training_card import show_active_run, show_ended_run

person = require("admin")
runs = context().runs
LABELS = {"epochs": "Epochs at most", "patience": "Epochs without progress before stopping", "seed": "Seed"}


def request(settings: dict[str, Any]) -> None:
    """Queue a run and see to it that a worker takes it."""
    runs.request({"device": context().settings.device, **settings}, by=person.name)
    if context().settings.spawn_worker:
        spawn_worker(context().settings)


@callback
def start() -> None:
    """Train with the preset chosen; values are checked again here, whatever the browser let through."""
    state = st.session_state
    custom = {name: state.get(f"training.custom.{name}", default) for name, default in CUSTOM_DEFAULTS.items()}
    request(settings_for(state.get("training.preset") or "Standard", custom))


@callback
def retry(config: dict[str, Any]) -> None:
    """The same run once more."""
    request(config)


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
    preset = st.segmented_control("Preset", list(PRESETS), default="Standard", required=True, key="training.preset")
    chosen: dict[str, Any] = {}
    if preset == "Custom":
        for column, (name, (low, high)) in zip(st.columns(len(CUSTOM_LIMITS)), CUSTOM_LIMITS.items(), strict=True):
            chosen[name] = column.number_input(
                LABELS[name], low, high, CUSTOM_DEFAULTS[name], key=f"training.custom.{name}"
            )
    epochs = int({**CUSTOM_DEFAULTS, **PRESETS[preset or "Standard"], **chosen}["epochs"])
    likely = likely_seconds(past_trainings(context().database), needs[0].have, epochs)
    st.button(
        "Train", key="training.start", type="primary", on_click=start, disabled=bool(missing) or active is not None,
        help=f"More ratings are needed first: {', '.join(missing)}" if missing else None,
    )  # fmt: skip
    if active:
        began = shown(active.started_at or active.created_at)
        st.caption(f"Already {active.status}: started {began} by {active.requested_by}; one runs at a time.")
    elif likely:
        st.caption(f"Likely to take about {max(likely / 60, 1):.0f} min, judging by past trainings here.")
    st.caption("What is trained serves by itself only where held-out ratings show that it is better.")
    show_auto_training(person.name)


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
        if latest[0].status in ("interrupted", "failed"):
            st.button("Try again", key="training.retry", on_click=retry, args=(dict(latest[0].config),))

show_registry(person.name)
