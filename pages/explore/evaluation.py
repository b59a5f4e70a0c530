"""Honest evaluation: is personal routing real on these ratings, and what is it worth; computed by a worker."""

import streamlit as st

from core.routers import ROUTERS
from db.evaluations import EVALUATION, of_kind
from db.models import Role, RunStatus
from db.worker import spawn_worker
from pages.parts.clock import shown
from pages.parts.context import context, require
from pages.parts.errors import callback
from pages.parts.examination import show_examination
from pages.parts.routers import name_of
from pages.parts.training_card import show_active_run

person = require("viewer")
runs = context().runs


@callback
def start() -> None:
    """Queue an evaluation and see to it that a worker takes it."""
    runs.request(of_kind(st.session_state.get("evaluation.router") or "ladder"), by=person.name, kind=EVALUATION)
    if context().settings.spawn_worker:
        spawn_worker(context().settings)


st.title("Honest evaluation")
active = runs.active(EVALUATION)
if person.role.includes(Role.ANALYST):
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kinds = ["ladder", *(kind for kind in ROUTERS if kind != "ladder")]
        st.selectbox("Kind of router", kinds, format_func=name_of, key="evaluation.router", width=340)
        st.button("Evaluate", key="evaluation.start", type="primary", on_click=start, disabled=active is not None)
    if active:
        st.caption(f"Already {active.status}: started {shown(active.created_at)} by {active.requested_by}.")


@st.fragment(run_every=1.0 if active else None)
def watch() -> None:
    """Polls while an evaluation is active, and redraws the whole page once when it has ended."""
    runs.reap()
    current = runs.active(EVALUATION)
    if current:
        show_active_run(current, person.name)
    elif active:
        st.rerun()


watch()
past = runs.latest(10, EVALUATION)
if past and past[0].status == RunStatus.FAILED:
    st.error(past[0].error or "The last evaluation failed.")
done = next((run for run in past if run.status == RunStatus.DONE and run.report), None)
if done is None or done.report is None:
    st.info(
        "Nothing was evaluated yet. An evaluation fits the router anew under every honest split, puts it to its "
        "controls, and keeps what it found here; it changes nothing that is in service."
    )
    st.stop()
if done.finished_at:
    st.caption(
        f"{name_of(done.report['router'])}, evaluated {shown(done.finished_at)} on {done.report['ratings']:,} ratings "
        f"(fingerprint {str(done.dataset_fingerprint)[:12]}), seed {done.report['seed']}."
    )
show_examination(done.report)
