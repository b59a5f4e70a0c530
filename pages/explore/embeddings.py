"""Learned map: people, queries and LLMs as the router sees them, with who gets which LLM beside the selection."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.domain import UserId
from core.layout import KINDS, Layout, aligned
from db.models import Role
from db.surveys import Surveyed
from pages.parts.colours import colours
from pages.parts.context import context, require
from pages.parts.drawing import show_chart, spreadsheet
from pages.parts.empty import show_nothing_to_rate
from pages.parts.everyone import to_come
from pages.parts.map_charts import BRUSH, CLICK, heat_height, map_chart, rating_graph, share_heat_chart
from pages.parts.map_pictures import PCA, chosen_layout, drawn, pictures
from pages.parts.map_points import COLOURINGS, SIMULATED, point_table, shown_names, text_table

MOST_ROWS = 25
MOST_HITS = 50
GRAPHED = 24
NEAR = 5
PLURAL = dict(zip(KINDS, ("People", "Queries", "LLMs"), strict=True))
AVERAGE = "Average user"
NOTE = "Distances on this picture are approximate: two of many dimensions. Neighbours are found in the full space."


def show_texts() -> None:
    """What there is to see before any training: queries by their words."""
    st.info(
        "No router yet, so nobody's taste is on the map. The queries can be shown by their words, which needs none."
    )
    st.page_link("pages/manage/training.py", label="Go to Training and routers")
    if not st.toggle(
        "Show the queries by their words", key="map.texts", help="Reads every query once; it may take a while."
    ):
        return
    with st.spinner("Reading the queries"):
        queries, layout = here.surveys.texts()
    if not queries:
        show_nothing_to_rate()
        return
    points, colour = text_table(queries, layout)
    show_chart(
        map_chart(points.assign(found=False), colour), points, "map.words",
        alt_text=f"Map of {len(points)} queries by their text vectors, coloured by task; the table below lists them",
    )  # fmt: skip
    first, second = layout.explained
    st.caption(
        f"{len(points):,} queries. The axes hold {first:.0%} and {second:.0%} of the text vectors' variance (PCA)."
    )
    table = points[["name", "group"]].rename(columns={"name": "Query", "group": "Task"})
    st.dataframe(table, hide_index=True, alt="Every query on the map with its task")


def show_controls(active: int | None) -> tuple[int, int | None, str, str, str]:
    """Version, version to compare with, kind of picture, colouring, and what is searched for."""
    versions = [version.id for version in here.registry.versions()]
    versions.sort(reverse=True)

    def version_label(version: int | None) -> str:
        if version is None:
            return "None"
        return f"Version {version} · in service" if version == active else f"Version {version}"

    with st.container(horizontal=True):
        start = versions.index(active) if active in versions else 0
        version = st.selectbox("Router", versions, start, key="map.version", format_func=version_label, width=215)
        rest: list[int | None] = [None, *(other for other in versions if other != version)]
        other = st.selectbox(
            "Compare with", rest, key="map.other", format_func=version_label, width=185,
            help="Laid over this version by turning, mirroring, scaling and moving it (Procrustes). "
            "Grey lines lead from where people stood there.",
        )  # fmt: skip
        picture = st.selectbox(
            "Picture", pictures(), key="map.picture", width=110,
            help="PCA keeps distances as far as two axes can; t-SNE keeps neighbours together, and a worker draws it.",
        )  # fmt: skip
        colouring = st.selectbox("Colour by", COLOURINGS, key="map.colour", width=230)
        sought = st.text_input("Find", key="map.find", placeholder="A person, query or LLM", width=220)
    return version, other, picture, colouring, sought.strip()


def movement(surveyed: Surveyed, layout: Layout, other: int, picture: str) -> tuple[pd.DataFrame | None, str]:
    """Lines from where each person stood in another version, laid over this one, and how alike the two are."""
    theirs = here.surveys.of(other)
    before = theirs.survey
    if picture == PCA:
        earlier = before.layout
    else:
        found = drawn(theirs, picture)
        if found is None or layout is surveyed.survey.layout:
            return None, f"To compare, {picture} pictures of both versions must be drawn; choose each and draw it."
        earlier = found.layout
    pairs = []
    for kind, mine, its_own in (
        ("person", surveyed.survey.users, before.users),
        ("query", surveyed.survey.mapped, before.mapped),
        ("LLM", surveyed.survey.llms, before.llms),
    ):
        row = {key: i for i, key in enumerate(its_own)}
        for i, key in enumerate(mine):
            if key in row:
                own, its = layout.position(kind, i), earlier.position(kind, row[key])
                if own is not None and its is not None:
                    pairs.append((its, own))
    alignment = aligned(earlier, layout, pairs)
    lines = [
        (*alignment.place[its], *layout.place[own]) for its, own in pairs if layout.kind[own] == KINDS.index("person")
    ]
    said = (
        f"Version {other} laid over version {surveyed.version} on {alignment.common:,} common points: "
        f"{alignment.agreement:.0%} of the picture is the same."
    )
    return pd.DataFrame(lines, columns=["x", "y", "x2", "y2"]), said


def selected(points: pd.DataFrame, state: Any) -> tuple[pd.DataFrame, str | None, bool]:
    """The points inside the brush (all without one), the id of the point clicked, and whether there is a brush."""
    selection = state.get("selection", {}) if state else {}
    box = selection.get(BRUSH) or {}
    clicked = selection.get(CLICK) or []
    point = next((row["id"] for row in clicked if row.get("id") in set(points["id"])), None)
    if "x" not in box or "y" not in box:
        return points, point, False
    inside = points["x"].between(*sorted(box["x"])) & points["y"].between(*sorted(box["y"]))
    return points[inside], point, True


def show_heat(surveyed: Surveyed, rows: np.ndarray, people: list[str], llms: list[str], brushed: bool) -> None:
    """Who in the selection gets which LLM, the most personal first, under the average user."""
    survey = surveyed.survey
    if not len(rows):
        st.info("Nobody stands in this part of the map. Click on an empty place of the map to clear the selection.")
        return
    personal = survey.differs()
    order = rows[np.argsort(-personal[rows], kind="stable")]
    drawn, share, usual = order[:MOST_ROWS], survey.shares(), survey.average_shares()
    lines = [(AVERAGE, usual), *((people[u].removesuffix(SIMULATED), share[u]) for u in drawn)]
    cells = pd.DataFrame(
        [(who, llm, s, a, s - a) for who, of in lines for llm, s, a in zip(llms, of, usual, strict=True)],
        columns=["row", "column", "share", "average", "apart"],
    )
    st.markdown(f"**Who gets which LLM** · {'in the selection' if brushed else 'everyone'}, {len(rows):,} people")
    show_chart(
        share_heat_chart(cells, [who for who, _ in lines], llms, colours(list(llm_name.values()))), cells, "map.heat",
        height=heat_height(len(lines)),
        alt_text=f"Share of queries routed to each LLM for the {len(drawn)} most personal of {len(rows)} people",
    )  # fmt: skip
    more = f" The {MOST_ROWS} most personal of {len(rows):,}; the table has all." if len(rows) > MOST_ROWS else ""
    st.caption(
        f"Of {len(survey.queries)} queries, evenly over the tasks, that everybody was asked about. "
        f"Blue: more often than the average user; orange: less often.{more}{made_up(surveyed, rows)}"
    )


def made_up(surveyed: Surveyed, rows: np.ndarray) -> str:
    """How many of these people are simulated."""
    n = sum(surveyed.simulated.get(surveyed.survey.users[u], False) for u in rows)
    return f" {n:,} of them are simulated." if n else ""


def show_tables(surveyed: Surveyed, points: pd.DataFrame, people: list[str], llms: list[str]) -> None:
    """The selection as tables: the same as the picture, for reading aloud and for download."""
    survey = surveyed.survey
    rows = points.loc[points["kind"] == "Person", "row"].to_numpy(int)
    personal, share, top = survey.differs(), survey.shares(), survey.top()
    persons, queries, models = st.tabs(["People", "Queries", "LLMs"], key="map.tab")
    table = pd.DataFrame({
        "Who": [people[u] for u in rows], "Ratings": survey.ratings[rows], "Gets most": [llms[i] for i in top[rows]],
        "Personal": 100 * personal[rows], **{llm: 100 * share[rows, i] for i, llm in enumerate(llms)},
    })  # fmt: skip
    percent = st.column_config.NumberColumn(format="%.0f %%")
    personal_column = st.column_config.NumberColumn(
        format="%.0f %%", help="Share of the queries for which this person gets another LLM than the average user."
    )
    persons.dataframe(
        table.sort_values("Personal", ascending=False, kind="stable"), hide_index=True, key="map.people",
        column_config={"Personal": personal_column, **dict.fromkeys(llms, percent)},
        alt="Each person in the selection with the share of queries routed to each LLM",
    )  # fmt: skip
    asked = points.loc[points["kind"] == "Query", "row"].to_numpy(int)
    queries.dataframe(
        pd.DataFrame({
            "Query": points.loc[points["kind"] == "Query", "name"].to_list(),
            "Task": [survey.mapped[q].task for q in asked],
            "The average user gets": [llms[survey.usual[q]] for q in asked],
        }),
        hide_index=True, alt="Each query in the selection",
    )  # fmt: skip
    models.dataframe(
        points.loc[points["kind"] == "LLM", ["name"]].rename(columns={"name": "LLM"}), hide_index=True,
        alt="Each LLM in the selection",
    )  # fmt: skip


def open_in_routing(user: str) -> None:
    """Show this person on the routing page."""
    st.session_state["routing.user"] = user
    st.session_state["map.leave"] = True


def show_point(surveyed: Surveyed, layout: Layout, points: pd.DataFrame, chosen: str) -> None:
    """One point with its neighbours in the full space, and where to go from there."""
    survey = surveyed.survey
    place = int(np.flatnonzero(points["id"] == chosen)[0])
    point = points.iloc[place]
    st.subheader(point["name"], anchor=False)
    st.caption(f"{point['kind']} · nearest in the full space (cosine, 1 is the same direction)")
    for column, kind in zip(st.columns(3), KINDS, strict=True):
        near = layout.neighbours(place, kind, NEAR)
        column.dataframe(
            pd.DataFrame({
                PLURAL[kind]: [points.iloc[n]["name"] for n, _ in near],
                "Cosine": [cosine for _, cosine in near],
            }),
            hide_index=True, column_config={"Cosine": st.column_config.NumberColumn(format="%.2f")},
            alt=f"The nearest of kind {kind} to {point['name']}",
        )  # fmt: skip
    if point["kind"] != "Person":
        return
    user = survey.users[int(point["row"])]
    if not (analyst or user == person.name):
        st.caption("Whose ratings these are is for analysts to see.")
        return
    st.button("Open in Who gets which LLM", key="map.open", on_click=open_in_routing, args=(user,))
    if user == person.name:
        st.page_link("pages/annotate/my_ratings.py", label="See my ratings")
    show_graph(user)


def show_graph(user: UserId) -> None:
    """One person's newest ratings as a graph of person, queries and LLMs."""
    said = here.store.history(user)
    if not len(said):
        return
    names = {str(llm.llm_id): llm.name or llm.llm_id for llm in here.store.llms()}
    n = min(len(said), GRAPHED)
    st.markdown(f"**Ratings of {user}** · the newest {n} of {len(said)}")
    st.echarts_chart(
        rating_graph(user, said, names, colours(list(names)), GRAPHED),
        key="map.graph",
        height=max(340, 26 * n),
        alt=f"Graph of the newest {n} ratings of {user}: queries in the middle, LLMs on the right",
    )
    st.caption("Blue leads to the LLM that was preferred, a dashed line to the other, dotted ones to both of a tie.")
    figures = pd.DataFrame([
        {"query": said.queries[said.query[i]].turns[-1], "a": names[said.llms[said.llm_a[i]].llm_id],
         "b": names[said.llms[said.llm_b[i]].llm_id], "outcome": str(said.outcome_of(i))}
        for i in range(len(said) - n, len(said))
    ])  # fmt: skip
    st.download_button(
        "Save these ratings as CSV", spreadsheet(figures), "map-ratings.csv", "text/csv", key="map.graph.csv",
        on_click="ignore",
    )  # fmt: skip


person = require("rater")
analyst = person.role.includes(Role.ANALYST)
here = context()
st.title("Learned map")
if st.session_state.pop("map.leave", False):
    st.switch_page("pages/explore/routing.py")
in_service = here.registry.active()
if in_service is None:
    show_texts()
    st.stop()

version, compared, picture, colouring, sought = show_controls(in_service.id)
with st.spinner("Asking the router about everyone"):
    surveyed = here.surveys.of(version)
survey = surveyed.survey
if survey.states is None:
    st.info(f"Version {version} has no vectors of people, so there is no map of it. Choose another version.")
    st.stop()
llm_name = {str(llm.llm_id): llm.name or llm.llm_id for llm in here.store.llms()}
people = shown_names(survey.users, person.name, surveyed.simulated, all_names=analyst)
llms = [llm_name.get(llm, llm) for llm in survey.llms]
layout, axes = chosen_layout(surveyed, picture, person)
points, colour = point_table(survey, people, llm_name, surveyed.simulated, colouring, layout)
hits = points[points["name"].str.contains(sought, case=False, regex=False)] if sought else points.iloc[:0]
moved, likeness = movement(surveyed, layout, compared, picture) if compared else (None, "")

left, right = st.columns(2, gap="medium")
with left:
    state = show_chart(
        map_chart(points.assign(found=points["id"].isin(hits["id"])), colour, moved), points, "map.chart",
        on_select="rerun",
        alt_text=f"Map of {len(survey.users)} people, {len(survey.mapped)} queries and {len(llms)} LLMs, coloured by "
        f"{colouring.lower()}; the tables below list them",
    )  # fmt: skip
    sampled = "".join(
        f" {shown:,} of {all_:,} {what}, evenly sampled." if shown < all_ else ""
        for shown, all_, what in (
            (len(survey.users), surveyed.population, "people"), (len(survey.mapped), surveyed.queries_known, "queries"),
        )
    )  # fmt: skip
    odd = survey.layout.left_out
    st.caption(
        f"Circles: {len(survey.users):,} people, larger with more ratings. Squares: {len(survey.mapped):,} queries. "
        f"Diamonds: LLMs. {axes} Version {version}.{sampled}{to_come(surveyed)} "
        + (f"{odd} points have numbers that are not finite and were left out. " if odd else "")
        + f"Drag to select, click for neighbours. {NOTE}"
    )
    if likeness:
        st.caption(likeness)
    inside, clicked, brushed = selected(points, state)
    only = st.multiselect(
        "Show only", list(colour), key=f"map.only.{colouring}", placeholder="Every group",
        help="Filters the heat map and the tables, as a selection on the map does.",
    )  # fmt: skip
if only:
    inside = inside[inside["group"].isin(only)]
rows = inside.loc[inside["kind"] == "Person", "row"].to_numpy(int)
with right:
    show_heat(surveyed, rows, people, llms, brushed or bool(only))
if sought and not len(hits):
    st.info(f"No person, query or LLM called “{sought}”.")
chosen = clicked
if len(hits):
    named = dict(zip(hits["id"], hits["kind"] + ": " + hits["name"], strict=True))
    listed = list(named)[:MOST_HITS]
    picked = st.selectbox(f"{len(hits):,} found", listed, key=f"map.hit.{sought}", format_func=lambda i: named[i])
    chosen = chosen or picked
if chosen:
    show_point(surveyed, layout, points, chosen)
show_tables(surveyed, inside, people, llms)
