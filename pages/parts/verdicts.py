"""Disagreements to settle, blind, and the gold items that people are tested with."""

import pandas as pd
import streamlit as st

from core.domain import Outcome
from db.gold import MAX_REASON
from db.raters import disagreement, disputed
from pages.parts.context import context
from pages.parts.errors import callback
from pages.parts.panes import show_pair, show_query

CHOICES = {Outcome.A: "A is better", Outcome.B: "B is better", Outcome.TIE: "Tie", Outcome.BOTH_BAD: "Both bad"}
DECIDED = "quality.decided"
AT_ONCE = 50


def show_disagreements(by: str) -> None:
    """The next pair on which people prefer different sides; who said what only after the decision."""
    st.subheader("Disagreements", anchor=False)
    if told := st.session_state.pop(DECIDED, None):
        st.success(told)
    waiting = disputed(context().database, AT_ONCE)
    if not waiting:
        st.caption("No pair on which people prefer different sides waits for a decision.")
        return
    more = " or more" if len(waiting) == AT_ONCE else ""
    st.caption(f"{len(waiting)} waiting{more}. Who said what is shown once you decide.")
    with st.expander("Decide the next one", key="quality.next"):
        next_one = disagreement(context().database, waiting[0])
        show_query(next_one.query)
        show_pair(next_one.response_a, next_one.response_b, raw=False, whole=False)
        token = "-".join(map(str, next_one.ids))
        reason = st.text_input(
            "Make it a gold item (optional): why is this answer known?", key=f"quality.gold.{token}",
            max_chars=MAX_REASON,
        )  # fmt: skip
        with st.container(horizontal=True):
            for outcome, label in CHOICES.items():
                said = "; ".join(f"{user}: {CHOICES[answer]}" for user, answer in next_one.said)
                st.button(
                    label, key=f"quality.decide.{outcome}.{token}", on_click=decide,
                    args=(next_one.ids, outcome, by, reason or None, said),
                )  # fmt: skip


@callback
def decide(ids: tuple[int, int, int], outcome: Outcome, by: str, reason: str | None, said: str) -> None:
    """Store a decision, and only now tell who said what."""
    context().gold.decide(ids, outcome, by, reason)
    st.session_state[DECIDED] = f"Decided: {CHOICES[outcome]}. People had said: {said}."


def show_gold(by: str) -> None:
    """The items in use and those retired."""
    st.subheader("Gold items", anchor=False)
    items = context().gold.items()
    if not items:
        st.caption(
            "No pair with a known answer yet. Make one from a disagreement above, or with `python cli.py gold`. "
            "They come up in the share of draws that the campaign sets."
        )
        return
    table = pd.DataFrame([
        {
            "Number": i.id, "Prompt": " ".join(i.prompt.split())[:110], "A": i.llm_a, "B": i.llm_b,
            "Expected": CHOICES[i.expected], "Answers": i.asked, "Why": i.reason, "Set by": i.set_by,
            "State": "retired" if i.retired_at else "in use",
        }
        for i in items
    ])  # fmt: skip
    st.dataframe(table, hide_index=True, alt="Gold items")
    in_use = [i.id for i in items if i.retired_at is None]
    if in_use:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            number = st.selectbox("Retire number", in_use, key="quality.retire", width=160)
            st.button("Retire", key="quality.retire.now", on_click=retire, args=(number, by))


@callback
def retire(item: int, by: str) -> None:
    """Ask an item no more."""
    context().gold.retire(item, by)
