"""Who would get one's queries at every price: the slider's whole range in one picture."""

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from core.costs import ALPHA_DOLLARS, alpha_of, shares_by_alpha
from core.domain import UserId
from core.habits import wilson
from db.pricing import Past
from pages.parts.charts import GREY, Layered
from pages.parts.colours import colours
from pages.parts.context import context
from pages.parts.drawing import show_chart
from pages.parts.money import FOUR_IN_FIVE, THOUSAND, last_queries, whose

POINTS = 61
CHEAP, DEAR = 0.01, 100.0  # dollars per 1,000 queries: the ends of the axis
LABELLED = 0.08  # a share below it has no room for its LLM's name
HEIGHT = 260


def worth_of(alpha: float) -> float:
    """What being liked 4 times in 5 is worth at this alpha, in dollars per 1,000 queries."""
    return float("inf") if alpha == 0 else FOUR_IN_FIVE * ALPHA_DOLLARS * (1 - alpha) / alpha * THOUSAND


def spending(known: Past) -> pd.DataFrame:
    """One row for each point of the axis and LLM that gets any query: `worth`, `llm`, `share` with its 95 % interval
    `low` to `high`, and where its band lies, `bottom` to `top`.
    """
    worth = np.geomspace(CHEAP, DEAR, POINTS)
    alphas = np.array([alpha_of(FOUR_IN_FIVE * THOUSAND / each) for each in worth])
    shares = shares_by_alpha(known.probability, known.cost, alphas)  # [P, L]
    top = shares.cumsum(1)
    used = np.flatnonzero(shares.any(0))
    rows = []
    for i, each in enumerate(worth):
        for column in used:
            part = wilson(round(shares[i, column] * len(known)), len(known))
            bottom = top[i, column] - shares[i, column]
            rows.append((each, known.names[column], part.value, part.low, part.high, bottom, top[i, column]))
    return pd.DataFrame(rows, columns=["worth", "llm", "share", "low", "high", "bottom", "top"])


def spending_chart(bands: pd.DataFrame, order: list[str], here: float) -> Layered:
    """Bands of shares over what a better answer is worth, each named where it is widest; a line where the slider
    stands. `bands` as `spending` gives them, `order` the LLMs as they are stored.
    """
    colour = colours(order)
    shown = [name for name in order if name in set(bands["llm"])]
    scale = alt.Scale(domain=shown, range=[colour[name] for name in shown])
    ticks = [0.01, 0.1, 1, 10, 100]
    x = alt.X(
        "worth:Q", scale=alt.Scale(type="log", domain=[CHEAP, DEAR]),
        title="Worth of an answer liked 4 times in 5, $ per 1,000 queries",
        axis=alt.Axis(values=ticks, format="~g", grid=False),
    )  # fmt: skip
    y = alt.Y("bottom:Q", scale=alt.Scale(domain=[0, 1]), title="Share of queries", axis=alt.Axis(format="%"))
    tooltip = [
        alt.Tooltip("llm:N", title="LLM"), alt.Tooltip("worth:Q", title="Worth, $", format=".2f"),
        alt.Tooltip("share:Q", title="Share", format=".0%"), alt.Tooltip("low:Q", title="95 % from", format=".0%"),
        alt.Tooltip("high:Q", title="95 % to", format=".0%"),
    ]  # fmt: skip
    fill = alt.Color("llm:N", scale=scale, legend=None)
    area = alt.Chart(bands).mark_area(opacity=0.75).encode(x=x, y=y, y2="top:Q", color=fill)
    points = alt.Chart(bands).mark_bar(opacity=0, size=8).encode(x=x, y=y, y2="top:Q", tooltip=tooltip)
    widest = bands.loc[bands.groupby("llm")["share"].idxmax()]
    named = widest[widest["share"] >= LABELLED].assign(middle=lambda rows: (rows["bottom"] + rows["top"]) / 2)
    # At an end of the axis a name would be cut off: it is moved inwards.
    named["worth"] = named["worth"].clip(CHEAP * 6, DEAR / 6)
    label = alt.Chart(named).mark_text(color="#1f2328", fontSize=13).encode(x=x, y="middle:Q", text="llm:N")
    line = pd.DataFrame({"worth": [float(np.clip(here, CHEAP, DEAR))]})
    rule = alt.Chart(line).mark_rule(color=GREY, strokeWidth=3, strokeDash=[6, 4]).encode(x=x)
    return alt.layer(area, label, rule, points).properties(height=HEIGHT)


def show_spending(taste: UserId, who: str, alpha: float) -> None:
    """The picture, where there are queries and prices to draw it from."""
    known = last_queries(taste)
    if not len(known) or not np.isfinite(known.cost).any():
        return
    if not st.toggle("Show every setting at once", key="playground.spending"):
        return
    names = [llm.name or llm.llm_id for llm in context().store.llms()]
    bands = spending(known)
    show_chart(
        spending_chart(bands, names, worth_of(alpha)), bands, "playground.prices", height=HEIGHT + 60,
        alt_text="Share of queries that each LLM would get, by how much a better answer is worth",
    )  # fmt: skip
    widest = float((bands["high"] - bands["low"]).max()) / 2
    router = context().serving.service().name
    st.caption(
        f"To the right a better answer may cost more. Dashed: where the slider stands. On {whose(who)} last "
        f"{len(known)} rated {'query' if len(known) == 1 else 'queries'}, each share to within "
        f"{100 * widest:.0f} points (95 %). Router: {router}."
    )
