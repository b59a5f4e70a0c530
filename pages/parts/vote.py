"""The vote bar and what stands on it: keys, reasons, flags, and the way back when a rating could not be saved.

No shortcut lies in an expander, a tab or a dialog, where a key would be taken although nobody sees it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from core.answers import MAX_COMMENT, STEPS, Detail, Reason
from core.campaigns import Kind, Mode, Scale
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


@dataclass(frozen=True, slots=True)
class Said:
    """An answer to a pair with what stands beside it, ready to be sent."""

    vote: Vote
    detail: Detail

    @property
    def label(self) -> str:
        """In words."""
        return self.vote.label


@dataclass(frozen=True, slots=True)
class Choice:
    """Places from 0 of the best and, if chosen, of the worst of several, ready to be sent."""

    best: int
    worst: int | None = None

    @property
    def label(self) -> str:
        """In words."""
        return f"best {self.best + 1}" + (f", worst {self.worst + 1}" if self.worst is not None else "")


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
    if st.session_state.get(FLAGGING) == assignment.token:
        _show_flagging(user, assignment.token)
    with st.container(horizontal=True, key="rate.bar"):
        if assignment.campaign.plan.kind is Kind.PAIR:
            _show_votes(user, assignment)
        else:
            _show_numbers(user, assignment)
        token = assignment.token
        st.button("Skip", f"rate.skip.{token}", shortcut="S", on_click=skip, args=(user, token), type="tertiary")
        st.button("Flag", f"rate.flag.{token}", shortcut="F", on_click=toggle_flag, args=(token,), type="tertiary")
        st.button(
            "Undo", "rate.undo", shortcut="U", on_click=undo, args=(user,), disabled=not may_undo, type="tertiary"
        )


def _show_votes(user: UserId, assignment: Assignment) -> None:
    """The answers to a pair, and in detailed mode what saves the one that is selected."""
    detailed = assignment.campaign.plan.mode is Mode.DETAILED
    chosen = _chosen(user, assignment)
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
    if detailed:
        st.button(
            "Save", f"rate.commit.{assignment.token}", shortcut="Ctrl+Enter", type="primary", disabled=chosen is None,
            on_click=commit, args=(user, assignment), help=None if chosen else "Choose an answer first.",
        )  # fmt: skip


def _show_numbers(user: UserId, assignment: Assignment) -> None:
    """The best by its number; then, where the campaign asks for it, the worst or none."""
    token = assignment.token
    asks_worst = assignment.campaign.plan.kind is Kind.BEST_WORST
    best = st.session_state.get(f"rate.best.{token}") if asks_worst else None
    if best is not None:
        st.caption(f"Best: {best + 1}.", width="content")
    for place in range(len(assignment.responses)):
        if place == best:
            continue
        choice = Choice(place) if best is None else Choice(best, place)
        st.button(
            f"{place + 1} is {'best' if best is None else 'worst'}",
            key=f"rate.place.{place}.{best}.{token}",
            shortcut=str(place + 1),
            on_click=choose_best if asks_worst and best is None else send_choice,
            args=(user, token, choice),
        )
    if best is not None:
        st.button(
            "No worst", f"rate.no_worst.{token}", shortcut="0", on_click=send_choice, args=(user, token, Choice(best))
        )
        st.button("Another best", f"rate.other_best.{token}", shortcut="Backspace", on_click=forget_best, args=(token,))


def _show_notice(assignment: Assignment) -> None:
    status = st.session_state.pop(NOTICE, None)
    seen = st.session_state.pop("rate.seen", None)
    if status in ("saved", "nothing_to_undo", "flagged"):
        st.caption(NOTICES[status] + (f" A was {seen[0]}, B was {seen[1]}." if seen else ""))
    elif status:
        st.warning(NOTICES[status])
    elif assignment.previous and assignment.campaign.plan.kind is Kind.PAIR:
        before = next((vote.label for vote in FOUR if vote.outcome == assignment.previous), "")
        st.caption(f"Your answer before: {before}. Both versions are kept.")


def _show_retry(user: UserId, unsaved: dict[str, Any]) -> None:
    st.error(f"Not saved: {unsaved['why']} Your choice is kept: {unsaved['said'].label}.")
    st.button(
        "Not saved. Retry", key="rate.retry", shortcut="Ctrl+Enter", type="primary", on_click=send_again,
        args=(user, unsaved["token"], unsaved["said"]),
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
    plan = assignment.campaign.plan
    if plan.kind is not Kind.PAIR or plan.mode is not Mode.DETAILED or _chosen(user, assignment) is None:
        return
    token, keep = assignment.token, partial(keep_draft, user, assignment.token)
    with st.container(border=True, key="rate.details"):
        st.pills(
            "Why?", list(REASONS), selection_mode="multi", format_func=REASONS.__getitem__, key=f"rate.reasons.{token}",
            on_change=keep,
        )  # fmt: skip
        for number, criterion in enumerate(plan.criteria):
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
def choose_best(_user: UserId, token: str, choice: Choice) -> None:
    """The best is chosen; the worst is asked next, and nothing is saved yet."""
    st.session_state[f"rate.best.{token}"] = choice.best


@callback
def forget_best(token: str) -> None:
    """Back to the first question."""
    st.session_state.pop(f"rate.best.{token}", None)


@callback
def send_choice(user: UserId, token: str, choice: Choice) -> None:
    """Save the best, and the worst if one was chosen."""
    _send(user, token, choice)


@callback
def rate(user: UserId, token: str, vote: Vote) -> None:
    """Save one rating; whatever is clicked or held, an assignment has one."""
    _send(user, token, Said(vote, Detail(strength=vote.strength)))


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
    detail = Detail(chosen.strength, reasons, stars, given.get("comment") or "")
    _send(user, assignment.token, Said(chosen, detail))


def _send(user: UserId, token: str, said: Said | Choice) -> None:
    store, dwell = context().store, context().settings.minimum_dwell
    try:
        if isinstance(said, Choice):
            recorded = store.record_choice(user, token, said.best, said.worst, minimum_dwell=dwell)
        else:
            recorded = store.record(user, token, said.vote.outcome, minimum_dwell=dwell, detail=said.detail)
    except DatabaseUnavailable as error:
        st.session_state[UNSAVED] = {"token": token, "said": said, "why": str(error)}
        return
    st.session_state.pop(UNSAVED, None)
    st.session_state[NOTICE] = recorded.status
    if recorded.status in ("saved", "extra"):
        st.session_state["rate.seen"] = store.revealed(user, token)


@callback
def send_again(user: UserId, token: str, said: Said | Choice) -> None:
    """Save what could not be saved before."""
    _send(user, token, said)


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
