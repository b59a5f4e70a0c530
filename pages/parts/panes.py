"""A query and a blind pair of responses, as they are read: equal panes that keep their height."""

import streamlit as st

from core.domain import Query, Response
from pages.parts.markdown import show_text

PANE_HEIGHT = 460


def show_query(query: Query) -> None:
    """The prompt: earlier turns folded, the last one open."""
    with st.container(border=True, key="panes.query"):
        if len(query.turns) > 1:
            with st.expander(f"Earlier in this conversation ({len(query.turns) - 1})"):
                for turn in query.turns[:-1]:
                    _show_prompt(turn)
        _show_prompt(query.turns[-1])


def _show_prompt(text: str) -> None:
    """A person's words, line by line as typed. Only a fence says that they meant Markdown."""
    show_text(text, raw="```" not in text)


def show_pair(response_a: Response, response_b: Response, *, raw: bool, whole: bool) -> None:
    """Two equal panes headed A and B. Nothing drawn here names an LLM."""
    for column, side, response in zip(st.columns(2), "AB", (response_a, response_b), strict=True):
        with column:
            st.markdown(f"**{side}**")
            with st.container(height="content" if whole else PANE_HEIGHT, border=True, key=f"panes.{side}"):
                _show_response(response, raw)


def _show_response(response: Response, raw: bool) -> None:
    if len(response.turns) > 1:
        with st.expander("Its earlier replies"):
            for turn in response.turns[:-1]:
                show_text(turn, raw=raw)
    if response.text.strip():
        show_text(response.text, raw=raw)
    else:
        st.caption("This response is empty.")
