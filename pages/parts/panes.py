"""A query and a blind pair of responses, as they are read: equal panes that keep their height."""

from collections.abc import Sequence
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.differences import differences
from core.domain import Query, Response
from pages.parts.markdown import show_marked, show_text

PANE_HEIGHT = 460
SIDE = "panes.side"


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


def show_pair(
    response_a: Response, response_b: Response, *, raw: bool, whole: bool, one_at_a_time: bool = False
) -> None:
    """Two equal panes headed A and B, or on a phone the one that is chosen. Nothing drawn here names an LLM."""
    sides = dict(zip("AB", (response_a, response_b), strict=True))
    if one_at_a_time:
        side = st.session_state.get(SIDE, "A")
        with st.container(horizontal=True):  # two buttons make one switch, as high as a thumb needs it
            for letter in sides:
                kind: Literal["primary", "secondary"] = "primary" if letter == side else "secondary"
                st.button(letter, f"{SIDE}.{letter}", type=kind, width="stretch", on_click=_turn_to, args=(letter,))
        with st.container(border=True, key=f"panes.{side}"):
            _show_response(sides[side], raw)
        return
    for column, (side, response) in zip(st.columns(2), sides.items(), strict=True):
        with column, _pane(side, whole=whole):
            _show_response(response, raw)


def _turn_to(letter: str) -> None:
    st.session_state[SIDE] = letter


def show_several(responses: Sequence[Response], *, raw: bool, whole: bool) -> None:
    """More than two responses, headed 1 to N as their keys are, two or three beside each other."""
    across = 3 if len(responses) % 3 == 0 else 2
    for start in range(0, len(responses), across):
        row = responses[start : start + across]
        for column, number, response in zip(
            st.columns(across), range(start + 1, start + 1 + len(row)), row, strict=False
        ):
            with column, _pane(str(number), whole=whole):
                _show_response(response, raw)


def show_differences(response_a: Response, response_b: Response, *, whole: bool) -> None:
    """The two replies that are judged, character by character, with what only one of them has on a coloured ground."""
    said = differences(response_a.text, response_b.text)
    for column, side, pieces in zip(st.columns(2), "AB", said, strict=True):
        with column, _pane(side, whole=whole):
            show_marked(pieces)


def _pane(side: str, *, whole: bool) -> DeltaGenerator:
    st.markdown(f"**{side}**")
    return st.container(height="content" if whole else PANE_HEIGHT, border=True, key=f"panes.{side}")


def _show_response(response: Response, raw: bool) -> None:
    if len(response.turns) > 1:
        with st.expander("Its earlier replies"):
            for turn in response.turns[:-1]:
                show_text(turn, raw=raw)
    if response.text.strip():
        show_text(response.text, raw=raw)
    else:
        st.caption("This response is empty.")
