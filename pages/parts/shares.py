"""Shares with their intervals as one chart, and in words where there is too little for a share."""

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from core.habits import Share
from pages.parts.charts import share_chart, share_height
from pages.parts.drawing import show_chart

Line = tuple[str, Share, float | None]  # what it is called, the share, and what chance would give


def show_shares(
    lines: Sequence[Line], key: str, axis: str, about: str, in_words: Callable[[str, Share], str], caption: str = ""
) -> None:
    """Draw the shares that rest on enough ratings, with a `caption` if there are any; then say of the others what they
    lack. `about` begins the chart's alternative text.
    """
    drawn = pd.DataFrame([
        {"name": name, "value": share.value, "low": share.low, "high": share.high, "reference": chance,
         "note": f"{share.value:.0%}, n = {share.n}"}
        for name, share, chance in lines if share.enough
    ])  # fmt: skip
    if len(drawn):
        alt_text = f"{about} with their 95 % intervals: " + "; ".join(in_words(name, share) for name, share, _ in lines)
        show_chart(share_chart(drawn, axis), drawn, key, alt_text=alt_text, height=share_height(len(drawn)))
        if caption:
            st.caption(caption)
    for name, share, _ in lines:
        if not share.enough:
            st.caption(in_words(name, share))
