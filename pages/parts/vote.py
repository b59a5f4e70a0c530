"""The vote bar and what stands on it: keys, reasons, flags, and the way back when a rating could not be saved.

No shortcut lies in an expander, a tab or a dialog, where a key would be taken although nobody sees it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from core.answers import MAX_COMMENT, STEPS, Detail, Reason
from core.campaigns import Mode, Scale
from core.domain import Outcome, UserId
from core.errors import DatabaseUnavailable
from db.assignments import Assignment
from db.models import FlagReason
from pages.parts.context import context
from pages.parts.errors import callback

NOTICE = "rate.notice"
UNSAVED = "rate.unsaved"
FLAGGING = "rate.flagging"

NOTICES = {
    "saved": "Saved.",
    "extra": "This one went to someone else; your answer was saved as an extra rating.",
    "already_saved": "Already saved: this pair was rated before, here or in another tab.",
    "too_quick": "Too quick: please read both. Nothing was saved.",
    "flagged": "Flagged. Somebody will look at it; it does not come back to you.",
    "nothing_to_undo": "Nothing to undo.",
}
REASONS = {
    Reason.CORRECT: "Correct",
    Reason.COMPLETE: "Complete",
    Reason.FOLLOWS: "Does what was asked",
    Reason.CLEAR: "Clear",
    Reason.CONCISE: "Concise",
    Reason.STYLE: "Style",
    Reason.SAFE: "Safe",
}
FLAGS = {
    FlagReason.WRONG_LANGUAGE: "Wrong language",
    FlagReason.IDENTITY: "Says which LLM it is",
    FlagReason.BROKEN: "Broken",
    FlagReason.HARMFUL: "Harmful",
    FlagReason.PERSONAL_DATA: "Personal data",
}


@dataclass(frozen=True, slots=True)
class Vote:
    """One button of the bar."""

    label: str
    outcome: Outcome
    strength: int | None = None

    @property
    def name(self) -> str:
        """Names it in keys and drafts."""
        return self.outcome if self.strength is None else f"{self.outcome}.{self.strength}"


FOUR = (
    Vote("A is better", Outcome.A),
    Vote("B is better", Outcome.B),
    Vote("Tie", Outcome.TIE),
    Vote("Both bad", Outcome.BOTH_BAD),
)
FIVE = tuple(
    Vote(label, step.outcome, step.strength)
    for label, step in zip(
        ("A much better", "A better", "About equal", "B better", "B much better"), STEPS, strict=True
    )
)


def votes_of(assignment: Assignment) -> tuple[Vote, ...]:
    """The answers that the assignment's campaign offers; the n-th has the key n."""
    return FIVE if assignment.campaign.plan.scale is Scale.FIVE else FOUR


def show_bar(user: UserId, assignment: Assignment, *, may_undo: bool) -> None:
    """What became of the last answer, and the buttons, each with its key."""
    _show_notice(assignment)
    if (unsaved := st.session_state.get(UNSAVED)) and unsaved["token"] == assignment.token:
        _show_retry(user, unsaved)
        return
    detailed = assignment.campaign.plan.mode is Mode.DETAILED
    chosen = _chosen(user, assignment)
    if st.session_state.get(FLAGGING) == assignment.token:
        _show_flagging(user, assignment.token)
    with st.container(horizontal=True, key="rate.bar"):
        for key, vote in enumerate(votes_of(assignment), 1):
            # The key carries the assignment: a click meant for the last pair can never fall on this one.
            st.button(
                vote.label,
                key=f"rate.{vote.name}.{assignment.token}",
                shortcut=str(key),
                type="primary" if chosen and vote.name == chosen.name else "secondary",
                on_click=select if detailed else rate,
                args=(user, assignment.token, vote),
            )
        token = assignment.token
        if detailed:
            st.button(
                "Save", f"rate.commit.{token}", shortcut="Ctrl+Enter", type="primary", disabled=chosen is None,
                on_click=commit, args=(user, assignment), help=None if chosen else "Choose an answer first.",
            )  # fmt: skip
        st.button("Skip", f"rate.skip.{token}", shortcut="S", on_click=skip, args=(user, token), type="tertiary")
        st.button("Flag", f"rate.flag.{token}", shortcut="F", on_click=toggle_flag, args=(token,), type="tertiary")
        st.button(
            "Undo", "rate.undo", shortcut="U", on_click=undo, args=(user,), disabled=not may_undo, type="tertiary"
        )


def _show_notice(assignment: Assignment) -> None:
    status = st.session_state.pop(NOTICE, None)
    seen = st.session_state.pop("rate.seen", None)
    if status in ("saved", "nothing_to_undo", "flagged"):
        st.caption(NOTICES[status] + (f" A was {seen[0]}, B was {seen[1]}." if seen else ""))
    elif status:
        st.warning(NOTICES[status])
    elif assignment.previous:
        before = next((vote.label for vote in FOUR if vote.outcome == assignment.previous), "")
        st.caption(f"Your answer before: {before}. Both versions are kept.")


def _show_retry(user: UserId, unsaved: dict[str, Any]) -> None:
    st.error(f"Not saved: {unsaved['why']} Your choice is kept: {unsaved['vote'].label}.")
    st.button(
        "Not saved. Retry", key="rate.retry", shortcut="Ctrl+Enter", type="primary", on_click=_send,
        args=(user, unsaved["token"], unsaved["vote"], unsaved["detail"]),
    )  # fmt: skip


def _chosen(user: UserId, assignment: Assignment) -> Vote | None:
    """What is selected: in this tab, in the draft, or by the answer that an undo took back."""
    key = f"rate.chosen.{assignment.token}"
    if key not in st.session_state:
        draft = context().store.draft(user, assignment.token) if assignment.campaign.plan.mode is Mode.DETAILED else {}
        said = draft.get("chosen") or assignment.previous
        st.session_state[key] = said
        for name, value in draft.get("widgets", {}).items():
            st.session_state[f"rate.{name}.{assignment.token}"] = value
    said = st.session_state[key]
    return next((vote for vote in votes_of(assignment) if said in (vote.name, vote.outcome)), None)


def show_details(user: UserId, assignment: Assignment) -> None:
    """Once an answer is selected in detailed mode: why, and how each does by the criteria. Touched, kept as a draft."""
    if assignment.campaign.plan.mode is not Mode.DETAILED or _chosen(user, assignment) is None:
        return
    token, keep = assignment.token, partial(keep_draft, user, assignment.token)
    with st.container(border=True, key="rate.details"):
        st.pills(
            "Why?", list(REASONS), selection_mode="multi", format_func=REASONS.__getitem__, key=f"rate.reasons.{token}",
            on_change=keep,
        )  # fmt: skip
        for number, criterion in enumerate(assignment.campaign.plan.criteria):
            for column, side in zip(st.columns(2), "ab", strict=True):
                with column, st.container(horizontal=True, vertical_alignment="center"):
                    st.text(f"{side.upper()}: {criterion}", width="content")
                    st.feedback("stars", key=f"rate.stars.{side}.{number}.{token}", on_change=keep)
        st.text_area(
            "Comment", key=f"rate.comment.{token}", max_chars=MAX_COMMENT, height=100, placeholder="Optional",
            on_change=keep,
        )  # fmt: skip


def _show_flagging(user: UserId, token: str) -> None:
    with st.container(key="rate.flagging_row"):
        st.pills("What is wrong with it?", list(FLAGS), format_func=FLAGS.__getitem__, key=f"rate.why.{token}")
        st.text_input("Note", key=f"rate.note.{token}", max_chars=MAX_COMMENT, placeholder="Optional")
        with st.container(horizontal=True):
            st.button(
                "Send flag", key=f"rate.send_flag.{token}", type="primary", on_click=flag, args=(user, token),
                disabled=not st.session_state.get(f"rate.why.{token}"), help="Choose what is wrong first.",
            )  # fmt: skip
            st.button("Cancel", key=f"rate.no_flag.{token}", on_click=toggle_flag, args=(token,))


@callback
def rate(user: UserId, token: str, vote: Vote) -> None:
    """Save one rating; whatever is clicked or held, an assignment has one."""
    _send(user, token, vote, Detail(strength=vote.strength))


@callback
def select(user: UserId, token: str, vote: Vote) -> None:
    """Choose an answer without saving it yet."""
    st.session_state[f"rate.chosen.{token}"] = vote.name
    context().store.save_draft(user, token, {"chosen": vote.name, "widgets": _widgets(token)})


@callback
def keep_draft(user: UserId, token: str) -> None:
    """Keep what is chosen and written, for a reload and another device."""
    chosen = st.session_state.get(f"rate.chosen.{token}")
    context().store.save_draft(user, token, {"chosen": chosen, "widgets": _widgets(token)})


def _widgets(token: str) -> dict[str, Any]:
    """The values of this pair's reasons, stars and comment, by the middle of their keys."""
    found = {}
    for key, value in st.session_state.items():
        name = str(key)
        if name.startswith(("rate.reasons.", "rate.stars.", "rate.comment.")) and name.endswith(f".{token}"):
            found[name.removeprefix("rate.").removesuffix(f".{token}")] = value
    return found


@callback
def commit(user: UserId, assignment: Assignment) -> None:
    """Save what is selected with all that stands beside it."""
    chosen = _chosen(user, assignment)
    if chosen is None:
        return
    given, stars = _widgets(assignment.token), {}
    for number, criterion in enumerate(assignment.campaign.plan.criteria):
        sides = {side: given.get(f"stars.{side}.{number}") for side in "ab"}
        if rated := {side: value + 1 for side, value in sides.items() if value is not None}:
            stars[criterion] = rated
    reasons = tuple(Reason(reason) for reason in given.get("reasons") or ())
    _send(user, assignment.token, chosen, Detail(chosen.strength, reasons, stars, given.get("comment") or ""))


def _send(user: UserId, token: str, vote: Vote, detail: Detail) -> None:
    store, settings = context().store, context().settings
    try:
        recorded = store.record(user, token, vote.outcome, minimum_dwell=settings.minimum_dwell, detail=detail)
    except DatabaseUnavailable as error:
        st.session_state[UNSAVED] = {"token": token, "vote": vote, "detail": detail, "why": str(error)}
        return
    st.session_state.pop(UNSAVED, None)
    st.session_state[NOTICE] = recorded.status
    if recorded.status in ("saved", "extra"):
        st.session_state["rate.seen"] = store.revealed(user, token)


@callback
def skip(user: UserId, token: str) -> None:
    """Put the pair back; it returns when the others are done."""
    context().store.skip(user, token)


@callback
def toggle_flag(token: str) -> None:
    """Open or close the row that asks what is wrong."""
    st.session_state[FLAGGING] = None if st.session_state.get(FLAGGING) == token else token


@callback
def flag(user: UserId, token: str) -> None:
    """Say what is wrong with it; it never comes back to this person."""
    reason = st.session_state.get(f"rate.why.{token}")
    if reason:
        context().store.flag(user, token, FlagReason(reason), st.session_state.get(f"rate.note.{token}") or "")
        st.session_state[FLAGGING], st.session_state[NOTICE] = None, "flagged"


@callback
def undo(user: UserId) -> None:
    """Take the last rating back and show its pair again; both versions stay in the record."""
    back = context().store.undo(user)
    if back is None:
        st.session_state[NOTICE] = "nothing_to_undo"
    else:
        st.session_state.pop(f"rate.chosen.{back.token}", None)
