"""Which ratings a leaderboard counts: the filters, each in the URL, and every rating left out with its reason and its
way back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import streamlit as st

from core.tally import STANDINGS, Inclusion, Tally, Why, choose
from db.demo import SOURCE as DEMO
from db.models import Role
from db.tallies import Span
from pages.parts.clock import midnight
from pages.parts.context import current_person

TASK, GROUP, FROM, TO = "leaderboard.task", "leaderboard.group", "leaderboard.from", "leaderboard.to"
SIMULATED, ADJUST, ALSO = "leaderboard.simulated", "leaderboard.adjust", "leaderboard.also"
USE, EVERYBODY = "leaderboard.use", "Everybody"
ALL_TASKS, ALL_GROUPS = "All tasks", "All campaigns and files"
FIRST_DAY = date(2001, 1, 1)  # of what can be chosen; left to itself it is ten years ago
OFFERED = (Why.GOLD, Why.REPEAT)  # left out by themselves, and counted on request


@dataclass(frozen=True)
class Wanted:
    """What the person chose; None is no limit."""

    task: str | None
    group: str | None
    use: str | None
    simulated: bool
    adjust: bool
    also: tuple[Why, ...]

    def of(self, tally: Tally, *, known_style: bool = False) -> tuple[Tally, Inclusion]:
        """What of it counts then, and why the rest does not."""
        return choose(
            tally, self.task, group=self.group, use=self.use, simulated=self.simulated, also=self.also,
            known_style=known_style,
        )  # fmt: skip


def clear_filters() -> None:
    """Back to every task, campaign, file, day and user."""
    st.session_state[TASK], st.session_state[GROUP], st.session_state[SIMULATED] = ALL_TASKS, ALL_GROUPS, True
    st.session_state[USE] = EVERYBODY
    st.session_state[FROM] = st.session_state[TO] = None


def show_days() -> Span:
    """From which day to which; a span the other way round is turned, and said to be."""
    with st.container(horizontal=True):
        days: list[date | None] = [
            st.date_input(label, None, FIRST_DAY, key=key, bind="query-params", width=200)
            for key, label in ((FROM, "From"), (TO, "To, with this day"))
        ]
    first, last = days
    if first and last and first > last:
        first, last = last, first
        st.caption("These dates were the other way round and are read as a span.")
    return midnight(first) if first else None, midnight(last + timedelta(days=1)) if last else None


def show_filters(everything: Tally) -> Wanted:
    """The other filters."""
    with st.container(horizontal=True):
        task = st.selectbox("Task", [ALL_TASKS, *everything.tasks], key=TASK, bind="query-params", width=320)
        group = st.selectbox(
            "Campaign or file", [ALL_GROUPS, *everything.groups], key=GROUP, bind="query-params", width=320,
            format_func=lambda name: "Demo world (simulated users)" if name == DEMO else name,
            help="Who rated: the people of a campaign here, or those whose ratings a file brought.",
        )  # fmt: skip
        use = EVERYBODY
        if everything.uses:
            use = st.selectbox(
                "People who mostly use LLMs for", [EVERYBODY, *everything.uses], key=USE, bind="query-params", width=320
            )
    with st.container(horizontal=True):
        simulated = st.toggle("Count simulated users", value=True, key=SIMULATED, bind="query-params")
        adjust = st.toggle(
            "Adjust for length and format", key=ADJUST, bind="query-params",
            help="Ranks the LLMs as if all responses had the same length, headers, lists and bold passages.",
        )  # fmt: skip
        there = [why for why in OFFERED if (everything.standing == STANDINGS.index(why)).any()]
        also = st.pills("Count too", there, selection_mode="multi", key=ALSO, bind="query-params") if there else []
    return Wanted(
        None if task == ALL_TASKS else task, None if group == ALL_GROUPS else group,
        None if use == EVERYBODY else use, simulated, adjust,
        tuple(Why(why) for why in also),
    )  # fmt: skip


def show_inclusion(inclusion: Inclusion, simulated: int) -> None:
    """How many ratings count, how many of them are by simulated users, and why the others do not, each with its way
    back.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Included **{inclusion.included:,} of {inclusion.total:,} ratings**")
        if simulated:
            st.badge(f"{simulated:,} by simulated users", color="orange")
    if not inclusion.left_out:
        return
    st.caption("Left out: " + "; ".join(f"{row.ratings:,} {row.reason}" for row in inclusion.left_out) + ".")
    with st.expander("Count them after all"):
        for row in inclusion.left_out:
            with st.container(horizontal=True, vertical_alignment="center", key=f"leaderboard.out.{row.reason.name}"):
                st.markdown(f"**{row.ratings:,}** {row.reason}", width="stretch")
                _show_way_back(row.reason)


def _show_way_back(why: Why) -> None:
    if why in WAYS_BACK:
        st.button("Count them", key=f"leaderboard.count.{why.name}", on_click=WAYS_BACK[why])
    elif why is Why.TAKEN_BACK:
        st.caption("Theirs to give again, under My ratings")
    elif (person := current_person()) and person.role.includes(Role.ANALYST):
        st.page_link("pages/manage/quality.py", label="Lift it under Rating quality")
    else:
        st.caption("An analyst can lift it")


def _reset(key: str, value: object) -> Callable[[], None]:
    def reset() -> None:
        st.session_state[key] = value

    return reset


def _all_days() -> None:
    st.session_state[FROM] = st.session_state[TO] = None


def _count(why: Why) -> Callable[[], None]:
    def count() -> None:
        st.session_state[ALSO] = [*st.session_state.get(ALSO, ()), why]

    return count


WAYS_BACK: dict[Why, Callable[[], None]] = {
    Why.DAYS: _all_days,
    Why.GROUP: _reset(GROUP, ALL_GROUPS),
    Why.USE: _reset(USE, EVERYBODY),
    Why.TASK: _reset(TASK, ALL_TASKS),
    Why.SIMULATED: _reset(SIMULATED, True),
    Why.SAMPLE: _reset(ADJUST, False),
    Why.STYLE: _reset(ADJUST, False),
    **{why: _count(why) for why in OFFERED},
}
