"""Charts as functions of a DataFrame: one look everywhere, the accent for the person in question, grey for the average
user.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

Layered = alt.LayerChart | alt.FacetChart  # what alt.layer gives

ACCENT = "#2a7ab9"  # between the light and the dark theme's accent: legible on both grounds
GREY = "#8a9096"
ROW_HEIGHT = 34
TALL_ROW = 44  # of two lines
STRIP = 8  # pixels between a heat map and its labels, for the colours of LLMs


def llm_colour(name: str, colour: Mapping[str, str]) -> alt.Color:
    """The one colour of each LLM, by the field that names it. Charts label LLMs beside it: no legend."""
    scale = alt.Scale(domain=list(colour), range=list(colour.values()))
    return alt.Color(f"{name}:N", scale=scale, legend=None)


def choice_chart(choices: pd.DataFrame, colour: Mapping[str, str], reference: str = "Average user") -> Layered:
    """Dot and interval of each LLM for this person, a grey mark for the average user or another `reference`.

    `choices` has one row an LLM in the order to draw: `llm`, `probability`, `low`, `high`, `average` (all 0..1);
    `colour` is each LLM's.
    """
    y = alt.Y("llm:N", sort=None, title=None, axis=alt.Axis(labelLimit=220, ticks=False, domain=False))
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(choices).encode(y=y)
    tooltip = [
        alt.Tooltip("llm:N", title="LLM"),
        alt.Tooltip("probability:Q", title="For this person", format=".0%"),
        alt.Tooltip("low:Q", title="95 % from", format=".0%"),
        alt.Tooltip("high:Q", title="95 % to", format=".0%"),
        alt.Tooltip("average:Q", title=reference, format=".0%"),
    ]
    x = alt.X(
        "probability:Q",
        scale=scale,
        title="Probability of being liked best",
        axis=alt.Axis(format="%", grid=True, tickCount=5),
    )
    interval = base.mark_rule(color=ACCENT, strokeWidth=3, opacity=0.45).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q"
    )
    average = base.mark_tick(color=GREY, thickness=3, size=20).encode(
        x=alt.X("average:Q", scale=scale), tooltip=tooltip
    )
    dot = base.mark_point(filled=True, size=150, opacity=1).encode(
        x=x, tooltip=tooltip, color=llm_colour("llm", colour)
    )
    label = base.mark_text(align="left", dx=9, dy=-11, color=ACCENT).encode(
        x=x, text=alt.Text("probability:Q", format=".0%")
    )
    return alt.layer(interval, average, dot, label).properties(height=alt.Step(ROW_HEIGHT))


def height_of(rows: int) -> int:
    """Pixels that a chart of so many rows needs with its axis: Streamlit would else squeeze it into its default."""
    return ROW_HEIGHT * max(rows, 1) + 60


def loss_chart(curve: pd.DataFrame) -> Layered:
    """Training and validation loss by epoch, labelled directly. `curve`: `epoch`, `train_loss`, `validation_loss`."""
    long = curve.melt("epoch", ["train_loss", "validation_loss"], "which", "loss")
    long["which"] = long["which"].map({"train_loss": "training", "validation_loss": "validation"})
    colour = alt.Color("which:N", scale=alt.Scale(domain=["training", "validation"], range=[GREY, ACCENT]), legend=None)
    base = alt.Chart(long).encode(
        x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d")),
        y=alt.Y("loss:Q", title="Log-loss", scale=alt.Scale(zero=False)),
        color=colour,
    )
    last = base.transform_window(
        rank="rank()", sort=[alt.SortField("epoch", order="descending")], groupby=["which"]
    ).transform_filter("datum.rank == 1")
    return alt.layer(
        base.mark_line(),
        base.mark_point(filled=True, size=25),
        last.mark_text(align="left", dx=6).encode(text="which:N"),
    ).properties(height=220)


def daily_chart(daily: pd.DataFrame) -> alt.Chart:
    """Ratings per day, people's in the accent and simulated users' in grey. `daily`: `day`, `kind`, `ratings`."""
    kinds = ["people", "simulated users"]
    shown = [kind for kind in kinds if kind in set(daily["kind"])]
    colour = alt.Scale(domain=shown, range=[{kinds[0]: ACCENT, kinds[1]: GREY}[kind] for kind in shown])
    chart: alt.Chart = (
        alt.Chart(daily)
        .mark_bar(minBandSize=2)
        .encode(
            x=alt.X("yearmonthdate(day):T", title="Day"),
            y=alt.Y("sum(ratings):Q", title="Ratings", axis=alt.Axis(tickMinStep=1, format=",d")),
            color=alt.Color("kind:N", scale=colour, title=None, legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("day:T", title="Day"), alt.Tooltip("kind:N", title="Of"),
                alt.Tooltip("sum(ratings):Q", title="Ratings", format=","),
            ],
        )
    )  # fmt: skip
    return chart


def standing_chart(standings: pd.DataFrame) -> Layered:
    """Accuracy of each router on the same held-out ratings with its interval. `standings`: `router`, `accuracy`, `low`,
    `high`.
    """
    base = alt.Chart(standings).encode(
        y=alt.Y("router:N", sort=None, title=None, axis=alt.Axis(labelLimit=240, ticks=False, domain=False))
    )
    scale = alt.Scale(domain=[min(0.4, float(standings["low"].min())), 1])
    x = alt.X("accuracy:Q", scale=scale, title="Right about held-out pairs", axis=alt.Axis(format="%"))
    interval = base.mark_rule(color=ACCENT, strokeWidth=3, opacity=0.45).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q"
    )
    dot = base.mark_point(color=ACCENT, filled=True, size=110, opacity=1).encode(x=x)
    label = base.mark_text(align="left", dx=9, dy=-11, color=ACCENT).encode(
        x=x, text=alt.Text("accuracy:Q", format=".0%")
    )
    return alt.layer(interval, dot, label).properties(height=alt.Step(ROW_HEIGHT))


def strength_chart(standings: pd.DataFrame, colour: Mapping[str, str]) -> Layered:
    """Dot and range of each LLM, best first. `standings`: `rank`, `llm`, `chance`, `low`, `high` (all three 0..1),
    `ratings`; `colour` is each LLM's.
    """
    shown = standings.assign(label=[f"{r.rank}. {r.llm}|n {r.ratings:,}" for r in standings.itertuples()])
    lines = alt.Axis(labelLimit=240, ticks=False, domain=False, labelExpr="split(datum.label, '|')", labelOffset=-7)
    low, high = float(standings["low"].min()), float(standings["high"].max())
    scale = alt.Scale(domain=[max(0.0, min(low, 0.5) - 0.03), min(1.0, max(high, 0.5) + 0.05)], nice=False, zero=False)
    tooltip = [
        alt.Tooltip("llm:N", title="LLM"),
        alt.Tooltip("rank:Q", title="Rank"),
        alt.Tooltip("chance:Q", title="Wins against an average LLM", format=".1%"),
        alt.Tooltip("low:Q", title="95 % from", format=".1%"),
        alt.Tooltip("high:Q", title="95 % to", format=".1%"),
        alt.Tooltip("ratings:Q", title="Ratings", format=","),
    ]
    axis = alt.Axis(format="%", grid=True, tickCount=5)
    x = alt.X("chance:Q", scale=scale, title="Wins against an average LLM", axis=axis)
    base = alt.Chart(shown).encode(y=alt.Y("label:N", sort=None, title=None, axis=lines), tooltip=tooltip)
    even = alt.Chart(pd.DataFrame({"even": [0.5]})).mark_rule(color=GREY, strokeDash=[4, 4])
    own = llm_colour("llm", colour)
    interval = base.mark_rule(strokeWidth=3, opacity=0.6).encode(x=alt.X("low:Q", scale=scale), x2="high:Q", color=own)
    dot = base.mark_point(filled=True, size=150, opacity=1).encode(x=x, color=own)
    label = base.mark_text(dy=-14, color=ACCENT).encode(x=x, text=alt.Text("chance:Q", format=".0%"))
    middle = even.encode(x=alt.X("even:Q", scale=scale, axis=axis))
    return alt.layer(middle, interval, dot, label).properties(height=alt.Step(TALL_ROW))


def tall_height(rows: int) -> int:
    """Pixels that a chart of so many rows of two lines needs with its axis."""
    return TALL_ROW * max(rows, 1) + 90


# Opaque, with dark words on them, so that a cell reads the same on the light and the dark ground.
LOST, EVEN, WON, FEW, INK = "#e8935c", "#e4e6e8", "#68aede", "#a9aeb3", "#1f2328"
MANY_COLUMNS = 12


def matrix_row(columns: int) -> int:
    """Height of a row: one line among many, two else."""
    return 28 if columns > MANY_COLUMNS else TALL_ROW


def matrix_height(columns: int) -> int:
    """Pixels that a win matrix needs with its slanted labels."""
    return matrix_row(columns) * columns + 150


def above_columns(columns: Sequence[str], colour: Mapping[str, str]) -> alt.Chart:
    """A strip in each LLM's colour between a column and its label."""
    return _strip("column", columns, colour, alt.X, "y")


def before_rows(rows: Sequence[str], colour: Mapping[str, str]) -> alt.Chart:
    """The same between a row and its label."""
    return _strip("row", rows, colour, alt.Y, "x")


def _strip(
    field: str, names: Sequence[str], colour: Mapping[str, str], along: type[alt.X | alt.Y], across: str
) -> alt.Chart:  # fmt: skip
    strip: alt.Chart = (
        alt.Chart(pd.DataFrame({field: list(names)}))
        .mark_rect(stroke=None)
        .encode(
            along(f"{field}:N", sort=list(names)),
            color=llm_colour(field, colour),
            **{across: alt.value(-STRIP), f"{across}2": alt.value(-2)},
        )
    )
    return strip


def win_matrix_chart(cells: pd.DataFrame, order: list[str], colour: Mapping[str, str]) -> Layered:
    """How often the row's LLM won against the column's, ties half. `cells`: `row`, `column`, `share` (0..1), `n`,
    `few`; a cell with few ratings is grey and says only its n. `colour` is each LLM's.
    """
    shown = cells.assign(
        note=["" if r.few else f"{r.share:.0%}" for r in cells.itertuples()],
        count=[f"n {r.n:,}" for r in cells.itertuples()],
    )
    plain: dict[str, Any] = {
        "ticks": False, "domain": False, "grid": False, "labelOverlap": False, "labelPadding": STRIP + 4,
    }  # fmt: skip
    across = alt.Axis(labelAngle=-40, labelLimit=120, orient="top", **plain)
    base = alt.Chart(shown).encode(
        x=alt.X("column:N", sort=order, title="against", axis=across, scale=alt.Scale(domain=order)),
        y=alt.Y("row:N", sort=order, title=None, axis=alt.Axis(labelLimit=180, **plain)),
        tooltip=[
            alt.Tooltip("row:N", title="LLM"),
            alt.Tooltip("column:N", title="against"),
            alt.Tooltip("share:Q", title="won", format=".1%"),
            alt.Tooltip("n:Q", title="Ratings", format=","),
        ],
    )
    scale = alt.Scale(domain=[0.2, 0.5, 0.8], range=[LOST, EVEN, WON], clamp=True, interpolate="rgb")
    ground = base.mark_rect(stroke=GREY, strokeWidth=0.5).encode(
        color=alt.condition("datum.few", alt.value(FEW), alt.Color("share:Q", scale=scale, legend=None))
    )
    many = len(order) > MANY_COLUMNS  # then there is no room for n, which the tooltip has
    share = base.mark_text(dy=0 if many else -7, fontSize=10 if many else 13, color=INK).encode(text="note:N")
    count = base.mark_text(dy=9, fontSize=10, color=INK).encode(text="count:N")
    strips = above_columns(order, colour), before_rows(order, colour)
    cell = [ground, share] if many else [ground, share, count]
    whole: Layered = alt.layer(*cell, *strips).resolve_scale(color="independent")
    return whole.properties(height=alt.Step(matrix_row(len(order))))


def share_chart(shares: pd.DataFrame, title: str, colour: Mapping[str, str] | None = None) -> Layered:
    """Dot and interval of each share, with its note beside it and a grey tick where chance or the average lies.

    `shares` has one row a line in the order to draw: `name`, `value`, `low`, `high`, `reference` (0..1, may be
    missing), `note`. Where the lines are LLMs, `colour` is each one's.
    """
    axis = alt.Axis(labelLimit=320, ticks=False, domain=False)
    base = alt.Chart(shares).encode(y=alt.Y("name:N", sort=None, title=None, axis=axis))
    scale = alt.Scale(domain=[0, 1])
    tooltip = [
        alt.Tooltip("name:N", title="What"),
        alt.Tooltip("value:Q", title="Share", format=".0%"),
        alt.Tooltip("low:Q", title="95 % from", format=".0%"),
        alt.Tooltip("high:Q", title="95 % to", format=".0%"),
    ]
    x = alt.X("value:Q", scale=scale, title=title, axis=alt.Axis(format="%", grid=True, tickCount=5))
    interval = base.mark_rule(color=ACCENT, strokeWidth=3, opacity=0.45).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q"
    )
    reference = (
        base.transform_filter("isValid(datum.reference)")
        .mark_tick(color=GREY, thickness=3, size=20)
        .encode(x=alt.X("reference:Q", scale=scale))
    )
    dot = base.mark_point(color=ACCENT, filled=True, size=110 if colour is None else 150, opacity=1).encode(
        x=x, tooltip=tooltip
    )
    if colour is not None:
        dot = dot.encode(color=llm_colour("name", colour))
    label = base.mark_text(align="left", dx=9, dy=-11, color=ACCENT).encode(x=x, text="note:N")
    return alt.layer(interval, reference, dot, label)


def share_height(rows: int) -> int:
    """Pixels of a `share_chart`: each line has room for the note above its dot."""
    return 44 * rows + 90


def change_chart(changes: pd.DataFrame) -> Layered:
    """Two dots with intervals of each LLM, the past in grey and what is now in the accent, a line between them.

    `changes` has a row an LLM in the order to draw: `name`, `before`, `before_low`, `before_high`, `now`, `now_low`,
    `now_high` (0..1), `note`.
    """
    axis = alt.Axis(labelLimit=220, ticks=False, domain=False)
    base = alt.Chart(changes).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=axis),
        tooltip=[
            alt.Tooltip("name:N", title="LLM"),
            *(
                alt.Tooltip(f"{column}:Q", title=column.replace("_", ", "), format=".0%")
                for column in changes.columns[1:-1]
            ),
        ],
    )
    scale = alt.Scale(domain=[0, 1])
    x = alt.X(
        "now:Q", scale=scale, title="Preferred, of the times it was shown", axis=alt.Axis(format="%", tickCount=5)
    )
    layers = [base.mark_rule(color=GREY, strokeDash=[2, 3]).encode(x=alt.X("before:Q", scale=scale), x2="now:Q")]
    for which, colour, offset in (("before", GREY, 5), ("now", ACCENT, -5)):
        low, high = alt.X(f"{which}_low:Q", scale=scale), f"{which}_high:Q"
        layers.append(base.mark_rule(color=colour, strokeWidth=3, opacity=0.45, yOffset=offset).encode(x=low, x2=high))
        dot = base.mark_point(color=colour, filled=True, size=110, opacity=1, yOffset=offset)
        layers.append(dot.encode(x=x if which == "now" else alt.X("before:Q", scale=scale)))
    layers.append(base.mark_text(align="left", dx=9, dy=-16, color=ACCENT).encode(x=x, text="note:N"))
    return alt.layer(*layers)
