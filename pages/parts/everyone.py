"""Who gets which LLM, over everyone: the heat map of routed shares, and whether personal routing is real."""

import numpy as np
import pandas as pd
import streamlit as st

from core.domain import UserId
from db.surveys import Surveyed
from pages.parts.colours import llm_colours
from pages.parts.context import context
from pages.parts.drawing import show_chart
from pages.parts.map_charts import heat_height, share_heat_chart
from pages.parts.map_points import SIMULATED, shown_names
from pages.parts.separable import last_measured
from pages.parts.training_card import show_report

MOST_ROWS = 40
ALL_TASKS = "All tasks"
PERSONAL, NAME, RATINGS = "Most personal first", "By name", "Most ratings first"
AVERAGE = "Average user"


def show_everyone(viewer: UserId) -> None:
    """The heat map of the router in service over everybody who rated, as a table too, and its hit rate."""
    here = context()
    active = here.registry.active()
    if active is None:
        show_nobody_personal()
        return
    with st.spinner("Asking the router about everyone"):
        surveyed = here.surveys.of(active.id)
    survey = surveyed.survey
    if not survey.users:
        st.info("Nobody has rated yet, so there is nobody to route for.")
        return
    with st.container(horizontal=True):
        task = st.selectbox("Task", [ALL_TASKS, *survey.tasks], key="everyone.task", width=260)
        order = st.selectbox("Order", [PERSONAL, RATINGS, NAME], key="everyone.order", width=260)
    show_shares(surveyed, viewer, None if task == ALL_TASKS else task, order)
    if "standings" in active.card:
        st.subheader("Is it real?", anchor=False)
        st.caption(f"How often each router was right about ratings that none had seen, before version {active.id}.")
        show_report(active.card)


def show_nobody_personal() -> None:
    """That everybody gets the same, and whether that is for want of a training or because one gained nothing."""
    measured = last_measured()
    if measured is None:
        st.info("No router yet: everybody gets the same. Train a router to see who gets which LLM.")
    else:
        what, report = measured
        st.info("No personal router serves: everybody gets one ranking for all.")
        st.subheader("Is it real?", anchor=False)
        st.caption(f"{what}: how often each router was right about ratings that none had seen.")
        show_report({key: report[key] for key in report if key not in ("router_version", "gains", "groups")})
    st.page_link("pages/manage/training.py", label="Go to Training and routers")


def show_shares(surveyed: Surveyed, viewer: UserId, task: str | None, order: str) -> None:
    """Who gets which LLM for how many of the queries everybody was asked about, under the average user."""
    survey = surveyed.survey
    known = context().store.llms()
    names = {llm.llm_id: llm.name or llm.llm_id for llm in known}
    llms = [names.get(llm, llm) for llm in survey.llms]
    people = shown_names(survey.users, viewer, surveyed.simulated, all_names=True)
    share, usual, personal = survey.shares(task), survey.average_shares(task), survey.differs(task)
    key = {PERSONAL: -personal, RATINGS: -survey.ratings, NAME: np.arange(len(people))}[order]
    rows = np.argsort(key, kind="stable")
    lines = [(AVERAGE, usual), *((people[u].removesuffix(SIMULATED), share[u]) for u in rows[:MOST_ROWS])]
    cells = pd.DataFrame(
        [(who, llm, s, a, s - a) for who, of in lines for llm, s, a in zip(llms, of, usual, strict=True)],
        columns=["row", "column", "share", "average", "apart"],
    )
    show_chart(
        share_heat_chart(cells, [who for who, _ in lines], llms, llm_colours(known)),
        cells,
        "everyone.heat",
        height=heat_height(len(lines)),
        alt_text=f"Share of queries routed to each LLM for {len(lines) - 1} of {len(people)} people; the table has all",
    )
    asked = sum(task is None or query.task == task for query in survey.queries)
    made_up = sum(surveyed.simulated.values())
    shown = f"{surveyed.population:,} people" if len(people) == surveyed.population else (
        f"{len(people):,} of {surveyed.population:,} people, evenly sampled"
    )  # fmt: skip
    differ = float(personal.mean())
    low, high = interval(personal)
    st.caption(
        f"{shown}{f', {made_up:,} of them simulated' if made_up else ''}; {asked} queries. Number: share of them "
        "routed to the LLM. Blue: more often than the average user; orange: less often. "
        f"On average a person gets another LLM than the average user for {differ:.0%} of the queries "
        f"({low:.0%} to {high:.0%}, 95 % over people). Router version {surveyed.version}.{to_come(surveyed)}"
    )
    with st.expander("Everyone as a table"):
        table = pd.DataFrame({
            "Who": [people[u] for u in rows], "Ratings": survey.ratings[rows], "Personal": 100 * personal[rows],
            **{llm: 100 * share[rows, i] for i, llm in enumerate(llms)},
        })  # fmt: skip
        percent = st.column_config.NumberColumn(format="%.0f %%")
        st.dataframe(
            table,
            hide_index=True,
            column_config=dict.fromkeys(("Personal", *llms), percent),
            alt="Share of queries routed to each LLM for everybody, and how often it is not the average user's",
        )


def to_come(surveyed: Surveyed) -> str:
    """What is said while not everybody was asked yet."""
    return f" {surveyed.to_come:,} more are being asked now: come back in a minute." if surveyed.to_come else ""


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean over people, inside 0..1."""
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.5
    return max(float(values.mean()) - half, 0.0), min(float(values.mean()) + half, 1.0)


def show_tasks(user: UserId) -> None:
    """What one person gets by task, beside the average user; nothing where the router never heard of them."""
    active = context().registry.active()
    if active is None:
        return
    surveyed = context().surveys.of(active.id, user)
    survey = surveyed.survey
    if user not in survey.users or not survey.tasks:
        return
    u = survey.users.index(user)
    known = context().store.llms()
    names = {llm.llm_id: llm.name or llm.llm_id for llm in known}
    llms = [names.get(llm, llm) for llm in survey.llms]
    cells = pd.DataFrame(
        [
            (task, llm, s, a, s - a)
            for task in survey.tasks
            for llm, s, a in zip(llms, survey.shares(task)[u], survey.average_shares(task), strict=True)
        ],
        columns=["row", "column", "share", "average", "apart"],
    )
    st.subheader("By task", anchor=False)
    show_chart(
        share_heat_chart(cells, list(survey.tasks), llms, llm_colours(known)),
        cells,
        "routing.tasks",
        height=heat_height(len(survey.tasks)),
        alt_text="Share of the queries of each task that this person gets from each LLM",
    )
    st.caption(
        f"Of {len(survey.queries)} queries, how many of each task go to each LLM. Blue: more than the average user; "
        f"orange: less. Another LLM than the average user for {survey.differs()[u]:.0%} of them."
    )
