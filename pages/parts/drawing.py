"""A chart on a page with a way to keep it: drawn as PNG or SVG without any outside host, and its figures as CSV."""

from collections.abc import Callable
from html import escape
from io import BytesIO, StringIO
from typing import Any, Literal

import altair as alt
import pandas as pd
import streamlit as st

from core.exporters.files import escaped
from pages.parts.charts import Layered

SAVED_WIDTH = 760  # pixels; on the page a chart is as wide as its place


def show_chart(
    chart: alt.Chart | Layered, data: pd.DataFrame, key: str, *, alt_text: str, height: int | None = None,
    on_select: Literal["rerun", "ignore"] = "ignore",
) -> Any:  # fmt: skip
    """Draw it under this key, and below it what saves it; `data` are the figures that it shows. What is returned is
    the selection, where there is one.
    """
    more: dict[str, Any] = {"on_select": on_select} | ({} if height is None else {"height": height})
    state = st.altair_chart(chart, key=key, alt=alt_text, width="stretch", **more)
    name = key.replace(".", "-").replace("_", "-")
    with st.popover("Save chart", key=f"{key}.save"):
        for label, mime, made in (
            ("PNG", "image/png", picture(chart, alt_text, "png")),
            ("SVG", "image/svg+xml", picture(chart, alt_text, "svg")),
            ("CSV", "text/csv", lambda: spreadsheet(data)),
        ):
            st.download_button(
                label, made, f"{name}.{label.lower()}", mime, key=f"{key}.{label}", on_click="ignore", width="stretch"
            )
    return state


def picture(chart: alt.Chart | Layered, description: str, kind: Literal["png", "svg"]) -> Callable[[], bytes]:
    """Draws the chart when called: that takes a moment, and most charts are only looked at."""

    def drawn() -> bytes:
        whole = chart.properties(width=SAVED_WIDTH)
        if kind == "png":
            pixels = BytesIO()
            whole.save(pixels, format="png", scale_factor=2)
            return pixels.getvalue()
        words = StringIO()
        whole.save(words, format="svg")
        head, start, rest = words.getvalue().partition(">")
        return f"{head}{start}<title>{escape(description)}</title>{rest}".encode()

    return drawn


def spreadsheet(data: pd.DataFrame) -> bytes:
    """For spreadsheets: text that would be a formula there is kept as text."""
    safe = data.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]):
            safe[column] = [escaped(value) if isinstance(value, str) else value for value in safe[column]]
    return safe.to_csv(index=False).encode()
