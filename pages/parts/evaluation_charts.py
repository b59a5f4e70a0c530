"""Charts of an evaluation: functions of a DataFrame in the look of `pages.parts.charts`."""

import altair as alt
import pandas as pd

from pages.parts.charts import ACCENT, GREY, ROW_HEIGHT, Layered


def gain_chart(gains: pd.DataFrame) -> Layered:
    """Dot and interval of each log-loss gain, with a line at none. `gains`: `split`, `value`, `low`, `high`."""
    return _dots(gains, "split", "Log-loss gained", 0.0, ".3f")


def recall_chart(recalls: pd.DataFrame) -> Layered:
    """Dot and interval of each recall, with a line at a half. `recalls`: `known`, `value`, `low`, `high` (0..1)."""
    return _dots(recalls, "known", "Put first where it won", 0.5, ".0%")


def _dots(rows: pd.DataFrame, name: str, title: str, line: float, form: str) -> Layered:
    base = alt.Chart(rows).encode(
        y=alt.Y(f"{name}:N", sort=None, title=None, axis=alt.Axis(labelLimit=320, ticks=False, domain=False)),
        tooltip=[alt.Tooltip(f"{column}:{'N' if column == name else 'Q'}") for column in rows.columns],
    )
    axis = alt.Axis(format=form, tickCount=5)
    mark = alt.Chart(pd.DataFrame({"line": [line]})).mark_rule(color=GREY, strokeDash=[4, 4])
    interval = base.mark_rule(color=ACCENT, strokeWidth=3, opacity=0.45).encode(x="low:Q", x2="high:Q")
    dot = base.mark_point(color=ACCENT, filled=True, size=110, opacity=1).encode(
        x=alt.X("value:Q", title=title, axis=axis)
    )
    label = base.mark_text(dy=-12, color=ACCENT).encode(x="value:Q", text=alt.Text("value:Q", format=form))
    return alt.layer(mark.encode(x="line:Q"), interval, dot, label).properties(height=alt.Step(ROW_HEIGHT + 8))


def calibration_chart(bins: pd.DataFrame) -> Layered:
    """How often the favoured side won against its probability, with the diagonal. `bins`: `predicted`, `value`, `low`,
    `high`, `ratings`.
    """
    scale = alt.Scale(domain=[0.5, 1])
    whole = alt.Scale(domain=[0, 1])
    diagonal = alt.Chart(pd.DataFrame({"x": [0.5, 1.0], "y": [0.5, 1.0]})).mark_line(color=GREY, strokeDash=[4, 4])
    base = alt.Chart(bins).encode(
        x=alt.X("predicted:Q", scale=scale, title="Probability given", axis=alt.Axis(format="%", tickCount=5)),
        tooltip=[alt.Tooltip(f"{column}:Q", format=",.3~f") for column in bins.columns],
    )
    interval = base.mark_rule(color=ACCENT, strokeWidth=3, opacity=0.45).encode(
        y=alt.Y("low:Q", scale=whole, title="Won"), y2="high:Q"
    )
    dot = base.mark_point(color=ACCENT, filled=True, size=80, opacity=1).encode(
        y=alt.Y("value:Q", scale=whole, title="Won", axis=alt.Axis(format="%", tickCount=5))
    )
    return alt.layer(diagonal.encode(x="x:Q", y="y:Q"), interval, dot).properties(height=300)


def call_chart(curve: pd.DataFrame) -> Layered:
    """Quality against the share of calls to the stronger of two LLMs. `curve` as of `curve_chart`."""
    return curve_chart(curve, "Share of calls to the stronger LLM")


def curve_chart(curve: pd.DataFrame, title: str = "Mean output price") -> Layered:
    """Quality against cost, one line each, the router's in the accent. `curve`: `which`, `cost`, `quality`."""
    names = list(dict.fromkeys(curve["which"]))
    colour = alt.Color(
        "which:N", scale=alt.Scale(domain=names, range=[ACCENT, GREY][: len(names)]), title=None,
        legend=alt.Legend(orient="top", labelLimit=0) if len(names) > 1 else None,
    )  # fmt: skip
    base = alt.Chart(curve).encode(
        x=alt.X("cost:Q", title=title, scale=alt.Scale(zero=False)),
        y=alt.Y("quality:Q", title="Quality", scale=alt.Scale(zero=False), axis=alt.Axis(format=".2f")),
        color=colour, tooltip=["which:N", alt.Tooltip("cost:Q", format=".3f"), alt.Tooltip("quality:Q", format=".3f")],
    )  # fmt: skip
    return alt.layer(base.mark_line(), base.mark_point(filled=True, size=20)).properties(height=300)
