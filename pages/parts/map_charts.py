"""The charts of the learned map: the points, who gets which LLM beside them, and one person's ratings as a graph."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from core.dataset import PreferenceDataset
from pages.parts.charts import ACCENT, EVEN, GREY, INK, LOST, STRIP, WON, Layered, above_columns

SHAPES = {"Person": "circle", "Query": "square", "LLM": "diamond"}
MAP_HEIGHT = 560
ROW = 22
CLICK, BRUSH = "click", "brush"


def map_chart(points: pd.DataFrame, colour: dict[str, str], moved: pd.DataFrame | None = None) -> Layered:
    """Every point by shape (what it is), colour (its group) and size (ratings), LLMs and the average person labelled.

    `points`: `id`, `kind`, `name`, `x`, `y`, `group`, `size` (0..1), `ratings`, `label` (text or empty), `found`.
    `moved` are lines from where people stood in another version: `x`, `y`, `x2`, `y2`. A drag selects by `brush`, a
    click by `click` (its `id`).
    """
    direct = set(colour) <= set(points["label"])  # each group is a labelled LLM: a legend would say it again
    plain = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    scale = alt.Scale(zero=False, nice=False, padding=24)
    x, y = alt.X("x:Q", axis=plain, title=None, scale=scale), alt.Y("y:Q", axis=plain, title=None, scale=scale)
    click = alt.selection_point(name=CLICK, fields=["id"], on="click", nearest=False)
    brush = alt.selection_interval(name=BRUSH, encodings=["x", "y"])
    base = alt.Chart(points).encode(x=x, y=y)
    dots = (
        base.mark_point(filled=True, stroke=GREY, strokeWidth=0.5)
        .encode(
            shape=alt.Shape("kind:N", scale=alt.Scale(domain=list(SHAPES), range=list(SHAPES.values())), legend=None),
            color=alt.Color(
                "group:N", scale=alt.Scale(domain=list(colour), range=list(colour.values())),
                legend=None if direct else alt.Legend(orient="bottom", title=None, columns=2, labelLimit=170),
            ),
            size=alt.Size("size:Q", scale=alt.Scale(domain=[0, 1], range=[30, 320]), legend=None),
            opacity=alt.condition(brush, alt.value(0.9), alt.value(0.18)),
            tooltip=[
                alt.Tooltip("kind:N", title="Is"), alt.Tooltip("name:N", title="Name"),
                alt.Tooltip("group:N", title="Group"), alt.Tooltip("ratings:Q", title="Ratings", format=","),
            ],
        )
        .add_params(brush, click)
    )  # fmt: skip
    ring = base.transform_filter("datum.found").mark_point(size=900, strokeWidth=3, color=ACCENT)
    text = base.transform_filter("datum.label != ''").mark_text(dy=-14, fontWeight=600, color=GREY, fontSize=13)
    layers = [dots, ring, text.encode(text="label:N")]
    if moved is not None and len(moved):
        lines = alt.Chart(moved).mark_rule(color=GREY, opacity=0.5, strokeWidth=1)
        layers.insert(0, lines.encode(x=x, y=y, x2="x2:Q", y2="y2:Q"))
    return alt.layer(*layers).properties(height=MAP_HEIGHT)


def share_heat_chart(
    cells: pd.DataFrame, rows: list[str], columns: list[str], colour: Mapping[str, str]
) -> Layered:  # fmt: skip
    """Who gets which LLM how often: the number is the share, the colour how far it lies from the average user's.

    `cells`: `row`, `column`, `share` (0..1), `average` (0..1), `apart` (share minus average); `colour` is that of each
    LLM, which the columns are.
    """
    plain: dict[str, Any] = {"ticks": False, "domain": False, "grid": False, "labelOverlap": False}
    across = alt.Axis(labelAngle=-40, labelLimit=120, orient="top", labelPadding=STRIP + 4, **plain)
    base = alt.Chart(cells.assign(note=[f"{s:.0%}" if s >= 0.005 else "" for s in cells["share"]])).encode(
        x=alt.X("column:N", sort=columns, title=None, axis=across),
        y=alt.Y("row:N", sort=rows, title=None, axis=alt.Axis(labelLimit=190, **plain)),
        tooltip=[
            alt.Tooltip("row:N", title="Who"), alt.Tooltip("column:N", title="LLM"),
            alt.Tooltip("share:Q", title="Share of queries", format=".0%"),
            alt.Tooltip("average:Q", title="Average user", format=".0%"),
        ],
    )  # fmt: skip
    scale = alt.Scale(domain=[-0.6, 0, 0.6], range=[LOST, EVEN, WON], clamp=True, interpolate="rgb")
    ground = base.mark_rect(stroke=GREY, strokeWidth=0.4).encode(color=alt.Color("apart:Q", scale=scale, legend=None))
    words = base.mark_text(color=INK, fontSize=11).encode(text="note:N")
    whole: Layered = alt.layer(ground, words, above_columns(columns, colour)).resolve_scale(color="independent")
    return whole.properties(height=alt.Step(ROW))


def heat_height(rows: int) -> int:
    """Pixels that a heat map of so many rows needs with its slanted labels."""
    return ROW * max(rows, 1) + 130


def rating_graph(
    person: str, said: PreferenceDataset, names: dict[str, str], colour: dict[str, str], most: int
) -> dict[str, Any]:
    """An ECharts graph of one person's newest ratings: the person, the queries they rated, the LLMs that were compared.

    Places are fixed in three columns, so that the picture is the same whenever it is drawn. A line to an LLM is solid
    where it was preferred, dashed where it was not, dotted for a tie.
    """
    rows = range(max(len(said) - most, 0), len(said))
    queries = list(dict.fromkeys(int(said.query[i]) for i in rows))
    height = max(len(queries) - 1, 1)
    llms = sorted({int(m) for i in rows for m in (said.llm_a[i], said.llm_b[i])})
    nodes: list[dict[str, Any]] = [_node("person", person, 0, height / 2, 34, ACCENT, "left")]
    for place, q in enumerate(queries):
        words = " ".join(said.queries[q].turns[-1].split())
        nodes.append(_node(f"q{q}", words[:34] + ("…" if len(words) > 34 else ""), 5, place, 10, GREY, "left"))
    for place, m in enumerate(llms):
        llm = said.llms[m].llm_id
        at = height * (place + 0.5) / max(len(llms), 1)
        nodes.append(_node(f"m{m}", names.get(llm, llm), 10, at, 26, colour.get(llm, GREY), "right"))
    links = [{"source": "person", "target": f"q{q}", "lineStyle": {"color": GREY, "opacity": 0.35}} for q in queries]
    for i in rows:
        for m, liked in ((said.llm_a[i], said.label[i]), (said.llm_b[i], 1 - said.label[i])):
            kind = {1.0: "solid", 0.0: "dashed"}.get(float(liked), "dotted")
            line = {"type": kind, "color": ACCENT if liked == 1 else GREY, "width": 2 if liked == 1 else 1}
            links.append({"source": f"q{int(said.query[i])}", "target": f"m{int(m)}", "lineStyle": line})
    series = {
        "type": "graph", "layout": "none", "data": nodes, "links": links, "roam": False, "left": "12%", "right": "16%",
        "top": 16, "bottom": 16, "lineStyle": {"opacity": 0.7, "curveness": 0.05},
        "emphasis": {"focus": "adjacency"},
    }  # fmt: skip
    return {"series": [series], "tooltip": {"show": True}}


def _node(key: str, name: str, x: float, y: float, size: float, colour: str, side: str) -> dict[str, Any]:
    return {
        "id": key, "name": name, "x": 100 * x, "y": 30 * y, "symbolSize": size, "itemStyle": {"color": colour},
        "label": {"show": True, "position": side},
    }  # fmt: skip
