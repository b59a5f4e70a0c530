"""Why this LLM: the person's own ratings that moved the choice most."""

import pandas as pd
import streamlit as st

from core.domain import Outcome
from db.serving import Decision

MOST_SHOWN = 8
SNIPPET = 90


def show_reasons(decision: Decision) -> None:
    """A table of the ratings that weighed most, called what they are; a sentence where there are none."""
    st.subheader("Ratings that weighed most")
    if not decision.reasons:
        st.caption("No own rating took part in this choice.")
        return
    names = {choice.llm: choice.name for choice in decision.choices}
    top = decision.choices[0].name
    rows = []
    for reason in decision.reasons[:MOST_SHOWN]:
        a, b = names.get(reason.llm_a, reason.llm_a), names.get(reason.llm_b, reason.llm_b)
        said = {
            Outcome.A: f"{a} over {b}", Outcome.B: f"{b} over {a}",
            Outcome.TIE: f"{a} and {b}: tie", Outcome.BOTH_BAD: f"{a} and {b}: both bad",
        }[reason.outcome]  # fmt: skip
        moved = {"They said": said, "Effect": 100 * reason.effect, "Attention": 100 * reason.attention}
        rows.append(moved | {"On": " ".join(reason.query.turns[-1].split())[:SNIPPET]})
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "Effect": st.column_config.NumberColumn(
                f"Moved {top} by", format="%+.1f points", help="Its probability with this rating minus without it."
            ),
            "Attention": st.column_config.NumberColumn(
                format="%.1f %%", help="Where the network looked when it formed its first guess; not proof of cause."
            ),
        },
    )
