"""Which picture the learned map shows: principal components at once, others when a worker has drawn them."""

import streamlit as st

from core.layout import Layout
from core.projection import methods
from db.models import Role, RunStatus
from db.people import Person
from db.projections import PROJECTION, Projected, latest, of_version, projected
from db.surveys import Surveyed
from db.worker import spawn_worker
from pages.parts.clock import shown
from pages.parts.context import context
from pages.parts.errors import callback
from pages.parts.training_card import show_active_run

PCA = "PCA"


def pictures() -> list[str]:
    """The kinds of picture that can be had here."""
    return [PCA, *methods()]


@callback
def request(version: int, method: str, by: str) -> None:
    """Queue a drawing and see to it that a worker takes it."""
    here = context()
    here.runs.request(of_version(version, method), by=by, kind=PROJECTION)
    if here.settings.spawn_worker:
        spawn_worker(here.settings)


def drawn(surveyed: Surveyed, method: str) -> Projected | None:
    """The newest picture of a version, where a worker has drawn one."""
    run = latest(context().database, surveyed.version, method)
    return None if run is None else projected(context().database, run, surveyed.survey)


def chosen_layout(surveyed: Surveyed, method: str, person: Person) -> tuple[Layout, str]:
    """The layout to show and what is to be said of it: principal components where another was never drawn."""
    layout = surveyed.survey.layout
    first, second = layout.explained
    axes = f"Axes: {first:.0%} and {second:.0%} of the variance (PCA)."
    if method == PCA:
        return layout, axes
    found = drawn(surveyed, method)
    show_drawing(surveyed.version, method, person, again=found is not None)
    if found is None:
        return layout, axes
    missing = f" {found.missing:,} points joined since and are not on it." if found.missing else ""
    return found.layout, (
        f"{method}, drawn {shown(found.at)}: near means alike, but distances and sizes of groups mean nothing.{missing}"
    )


def show_drawing(version: int, method: str, person: Person, *, again: bool) -> None:
    """The button that asks for a picture, and how far a worker is."""
    runs = context().runs
    active = runs.active(PROJECTION)
    if active is None:
        if not again:
            st.info(f"No {method} picture of version {version} was drawn yet. This is the PCA picture.")
        if person.role.includes(Role.ANALYST):
            st.button(
                f"Draw {method} {'again' if again else 'now'}", key="map.draw", on_click=request,
                args=(version, method, person.name),
                help="A worker draws it. It takes about a minute for 5,000 points.",
            )  # fmt: skip
        last = next(iter(runs.latest(1, PROJECTION)), None)
        if last and last.status == RunStatus.FAILED:
            st.error(last.error or "The last drawing failed.")
        return

    @st.fragment(run_every=1.0)
    def watch() -> None:
        """Polls while a worker draws, and redraws the page once when it has ended."""
        runs.reap()
        current = runs.active(PROJECTION)
        if current is None:
            st.rerun()
        show_active_run(current, person.name)

    watch()
