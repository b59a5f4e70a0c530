"""Two versions side by side: whose pick changes."""

import streamlit as st

from db.comparisons import COMPARISON, KEPT, changes_of, latest_comparison, pair
from db.models import RunStatus
from db.routers import RouterVersion
from db.worker import spawn_worker
from pages.parts.context import context
from pages.parts.errors import callback
from pages.parts.training_card import show_active_run


@callback
def compare(before: int, after: int, by: str) -> None:
    """Queue the comparison and see to it that a worker takes it."""
    context().runs.request(pair(before, after), by=by, kind=COMPARISON)
    if context().settings.spawn_worker:
        spawn_worker(context().settings)


def show_comparison(versions: list[RouterVersion], active: RouterVersion | None, person: str) -> None:
    """Choose two versions, and see exactly the users whose pick changes on the queries they rated."""
    if len(versions) < 2:
        return
    st.subheader("Compare two versions")
    numbers = [version.id for version in versions]
    first = numbers.index(active.id) if active and active.id in numbers else 1
    left, right = st.columns(2)
    before = left.selectbox("From version", numbers, first, key="training.before")
    others = [number for number in numbers if number != before]
    after = right.selectbox("To version", others, key="training.after")
    runs = context().runs
    going = runs.active(COMPARISON)
    st.button("Compare", key="training.compare", on_click=compare, args=(before, after, person), disabled=bool(going))
    _watch(person, waited=going is not None)
    run = latest_comparison(runs.latest(KEPT, COMPARISON), before, after)
    if run is None or run.active:
        return
    if run.status != RunStatus.DONE:
        st.error(run.error or f"The comparison was {run.status}.")
        return
    found = changes_of(context().database, run)
    st.markdown(
        f"From version {before} to version {after} the pick changes for **{len(found.table):,} of {found.users:,} "
        "users** on queries they rated."
    )
    if len(found.table):
        st.dataframe(found.table, hide_index=True)


def _watch(person: str, *, waited: bool) -> None:
    @st.fragment(run_every=1.0 if waited else None)
    def watch() -> None:
        current = context().runs.active(COMPARISON)
        if current:
            show_active_run(current, person)
        elif waited:
            st.rerun()

    watch()
