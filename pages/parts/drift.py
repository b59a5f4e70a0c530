"""A change of a person's taste: shown only where it is significant, with its evidence and what can be done about it."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from core.dataset import PreferenceDataset
from core.domain import UserId
from core.drift import ALPHA, Change
from db.drift import Chosen, DriftChoices, change_of, moment
from db.models import DriftChoice, Role
from db.people import Person
from pages.parts.charts import change_chart, share_height
from pages.parts.clock import viewer_zone
from pages.parts.context import context
from pages.parts.drawing import show_chart
from pages.parts.errors import callback


@st.cache_data(show_spinner=False, max_entries=200)
def found(
    _own: PreferenceDataset,
    user: UserId,  # noqa: ARG001
    url: str,  # noqa: ARG001
    version: int | None,  # noqa: ARG001
    ratings: tuple[int, ...],  # noqa: ARG001
    since: datetime | None,
) -> Change | None:
    """The change in these ratings: the same as long as all but the first are."""
    return change_of(context().serving.service().router, _own, since)


def show_drift(user: UserId, person: Person) -> None:
    """What was done about earlier changes, with the way back; and a change that was not dealt with."""
    here, own = context(), user == person.name
    may = own or person.role.includes(Role.ADMIN)
    dealt = DriftChoices(here.database).in_force(user)
    said = here.store.history(user, whole=True)
    for chosen in dealt:
        show_dealt_with(user, person, chosen, said, may=may)
    since = dealt[0].since if dealt else None
    active = here.registry.active_id()
    change = found(said, user, here.settings.database_url, active, tuple(said.ids.tolist()), since)
    if change is None:
        return
    st.subheader("Your taste changed" if own else f"The taste of {user} changed", anchor=False)
    st.markdown(
        f"Around **{day(moment(change))}**, between {day(at(change.earliest))} and {day(at(change.latest))}. "
        f"{'You' if own else 'They'} prefer other LLMs since then than before."
    )
    show_evidence(change)
    if may:
        with st.container(horizontal=True):
            st.button(
                "Route by newer ratings only", key="drift.newer", on_click=choose, type="primary",
                args=(user, DriftChoice.NEWER_ONLY, moment(change), person.name),
                help="The older ones are kept and still train. You can take this back here.",
            )  # fmt: skip
            st.button(
                "Ignore this change", key="drift.ignore", on_click=choose,
                args=(user, DriftChoice.IGNORE, moment(change), person.name),
            )  # fmt: skip


def show_dealt_with(user: UserId, person: Person, chosen: Chosen, said: PreferenceDataset, *, may: bool) -> None:
    """One line on a choice in force, with the way back."""
    newer = int((said.time >= chosen.since.timestamp()).sum())
    if chosen.choice == DriftChoice.NEWER_ONLY:
        st.info(
            f"Routed by the {newer:,} ratings since {day(chosen.since)}, of {len(said):,}: {chosen.by} chose so on "
            f"{day(chosen.at)}. The others are kept and still train."
        )
        label = "Route by all ratings again"
    else:
        st.caption(f"A change around {day(chosen.since)} is ignored: {chosen.by} chose so on {day(chosen.at)}.")
        label = f"Show the change of {day(chosen.since)} again"
    if may:
        st.button(
            label, key=f"drift.back.{chosen.since:%Y%m%d%H%M%S%f}", on_click=take_back,
            args=(user, chosen.since, person.name),
        )  # fmt: skip


def show_evidence(change: Change) -> None:
    """How often each LLM was preferred before and since, and how sure the test is."""
    names = {llm.llm_id: llm.name or llm.llm_id for llm in context().store.llms()}
    rows = [
        {
            "name": names.get(won.llm, won.llm),
            "before": won.before.value, "before_low": won.before.low, "before_high": won.before.high,
            "now": won.since.value, "now_low": won.since.low, "now_high": won.since.high,
            "note": f"{won.since.times} of {won.since.n}, before {won.before.times} of {won.before.n}",
        }
        for won in change.won
    ]  # fmt: skip
    show_chart(
        change_chart(pd.DataFrame(rows)),
        pd.DataFrame(rows),
        "drift.evidence",
        alt_text="How often each LLM was preferred: " + "; ".join(f"{row['name']} {row['note']}" for row in rows),
        height=share_height(len(rows)),
    )
    shown = f"p = {change.p:.1g}" if change.p >= 0.0005 else "p < 0.0005"
    st.caption(
        f"Blue: since then, {change.since} decisive ratings; grey: before, {change.before}. 95 % intervals (Wilson). "
        f"{shown}, where this look at the ratings may spend {change.level:.2g}: all looks together raise a false alarm "
        f"for at most {100 * ALPHA:.0f} of 100 people whose taste never changes. What was asked, about which "
        "tasks, is taken into account."
    )


def at(seconds: float) -> datetime:
    """A moment of a dataset."""
    return datetime.fromtimestamp(seconds, UTC)


def day(when: datetime) -> str:
    """A day as the person here counts them, for example "3 March 2026"."""
    here = when.astimezone(viewer_zone())
    return f"{here.day} {here:%B %Y}"


@callback
def choose(user: UserId, choice: DriftChoice, since: datetime, by: str) -> None:
    """Deal with a change."""
    DriftChoices(context().database).choose(user, choice, since, by)


@callback
def take_back(user: UserId, since: datetime, by: str) -> None:
    """Undo it."""
    DriftChoices(context().database).take_back(user, since, by)
