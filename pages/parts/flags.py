"""The queue of what people flagged: what is wrong with it, by whom, and what becomes of it."""

import streamlit as st

from core.domain import QueryId
from db.flags import MAX_WHY, Flagged, Flags, Retired
from db.models import FlagResolution
from pages.parts.clock import shown
from pages.parts.context import context
from pages.parts.errors import callback
from pages.parts.markdown import show_text
from pages.parts.panes import PANE_HEIGHT
from pages.parts.vote import FLAGS

AT_ONCE = 50
SETTLED = "quality.settled"
BECOMES = {
    FlagResolution.DISMISSED: ("Fit to be rated", "It is shown again."),
    FlagResolution.FIXED: ("Mended", "It is shown again."),
    FlagResolution.RETIRED: ("Retire", "It is shown to nobody any more. What was rated stays and counts."),
}


def flags() -> Flags:
    """What was flagged here."""
    return Flags(context().database)


def show_flags(by: str) -> None:
    """The flagged query that most people flagged, and what can be done; and those retired, which can come back."""
    st.subheader("Flagged", anchor=False)
    if told := st.session_state.pop(SETTLED, None):
        st.success(told)
    waiting = flags().waiting(AT_ONCE)
    if waiting:
        paused = sum(one.paused for one in waiting)
        more = " or more" if len(waiting) == AT_ONCE else ""
        st.caption(
            f"{len(waiting)}{more} waiting, {paused} of them shown to nobody meanwhile because several people flagged "
            "them."
        )
        with st.expander("Look at the next one", key="quality.flagged"):
            _show_one(waiting[0], by)
    else:
        st.caption("Nothing that people flagged waits for a decision.")
    _show_retired(by)


def _show_one(one: Flagged, by: str) -> None:
    key = one.query.query_id
    for flag in one.flags:
        said = f": {flag.note}" if flag.note else ""
        st.text(f"{FLAGS[flag.reason]}, by {flag.user}, {shown(flag.flagged_at)}{said}")
    with st.container(border=True):
        show_text("\n\n".join(one.query.turns), raw=True)
    for start in range(0, len(one.responses), 2):
        for column, response in zip(st.columns(2), one.responses[start : start + 2], strict=False):
            with column, st.container(height=PANE_HEIGHT, border=True):
                st.text(response.llm_id)
                show_text("\n\n".join(response.turns), raw=True)
    why = st.text_input("Why (kept in the audit log)", key=f"quality.flag.why.{key}", max_chars=MAX_WHY)
    with st.container(horizontal=True):
        for resolution, (label, effect) in BECOMES.items():
            st.button(
                label, key=f"quality.flag.{resolution}.{key}", help=effect, on_click=_settle,
                args=(key, resolution, by, why),
            )  # fmt: skip


def _show_retired(by: str) -> None:
    gone = {one.query.query_id: one for one in flags().retired()}
    if not gone:
        return
    with st.expander(f"{len(gone):,} retired", key="quality.retired"):
        key = st.selectbox(
            "Query", list(gone), key="quality.retired.which",
            format_func=lambda key: f"{_brief(gone[key])} (by {gone[key].by}, {shown(gone[key].at)})",
        )  # fmt: skip
        why = st.text_input("Why it comes back", key="quality.retired.why", max_chars=MAX_WHY)
        st.button("Show it again", key="quality.retired.back", on_click=_bring_back, args=(key, by, why))


def _brief(one: Retired) -> str:
    return " ".join(one.query.text.split())[:90]


@callback
def _settle(query: QueryId, resolution: FlagResolution, by: str, why: str) -> None:
    """Decide what becomes of a flagged query."""
    flags().settle(query, resolution, by, why)
    st.session_state[SETTLED] = f"Settled. {BECOMES[resolution][1]}"


@callback
def _bring_back(query: QueryId, by: str, why: str) -> None:
    """Let a retired query be shown again."""
    flags().bring_back(query, by, why)
    st.session_state[SETTLED] = "It is shown again."
