"""Compare the pick with the runner-up, blind: two responses written at the same time, one rating like any other, and
what it moved.
"""

import secrets
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from core.domain import LLM, LLMId, Outcome, Response, UserId
from core.errors import FailureKind, PrefRouteError, ProviderFailed
from core.providers.writing import Writing
from db.decisions import Decisions
from db.live_pairs import LiveComparisons
from db.serving import Decision
from pages.parts.answers import TICK, begin, llm_of
from pages.parts.asked import Asked
from pages.parts.charts import choice_chart, height_of
from pages.parts.colours import llm_colours
from pages.parts.context import context
from pages.parts.drawing import show_chart
from pages.parts.errors import callback
from pages.parts.markdown import safe_markdown, show_text
from pages.parts.money import show_price_after
from pages.parts.panes import PANE_HEIGHT

PAIR = "playground.pair"
NOTICE = "playground.notice"
VOTES = {
    Outcome.A: "A is better", Outcome.B: "B is better", Outcome.TIE: "Tie", Outcome.BOTH_BAD: "Both bad",
}  # fmt: skip
# Short and without any name: the pair must stay blind while one side fails.
CAUSES = {
    FailureKind.KEY_MISSING: "no key", FailureKind.NO_ENDPOINT: "no provider", FailureKind.RATE_LIMIT: "rate limit",
    FailureKind.TIMEOUT: "no answer in time", FailureKind.UNREACHABLE: "provider cannot be reached",
    FailureKind.GARBAGE: "unreadable answer", FailureKind.REFUSED: "request refused",
    FailureKind.OVER_BUDGET: "over budget", FailureKind.BUSY: "too many calls at once",
    FailureKind.TOO_LONG: "too long for it",
}  # fmt: skip
UNKNOWN = "something went wrong"


@dataclass
class Pair:
    """Two responses under way for one person, and what they said of them. `llms` and `writings` are in the order A, B;
    `token` will name the assignment.
    """

    token: str
    user: UserId
    asked: Asked
    llms: tuple[LLM, LLM]
    writings: list[Writing]
    seen: bool
    posed: bool = False
    problem: str = ""
    outcome: Outcome | None = None
    after: Decision | None = None

    @property
    def finished(self) -> bool:
        return all(writing.finished for writing in self.writings)

    @property
    def reason(self) -> str:
        """Why this pair was shown, and what an evaluation should know of it."""
        words = ["live"]
        if self.seen:
            words.append("one side seen before")
        if any(writing.stopped for writing in self.writings):
            words.append("stopped early")
        return ", ".join(words)

    def cause(self, side: int) -> str:
        """Why this side cannot be voted on, in words that name nobody; empty where it can."""
        writing = self.writings[side]
        if writing.failure is not None:
            kind = writing.failure.kind if isinstance(writing.failure, ProviderFailed) else None
            return CAUSES.get(kind, UNKNOWN) if kind else UNKNOWN
        return "stopped before its first word" if writing.finished and writing.reply is None else ""


@callback
def compare(user: UserId, asked: Asked, seen: Writing | None) -> None:
    """Begin a comparison. An answer that was read already is one side of it and is not asked for again."""
    under_way: Pair | None = st.session_state.get(PAIR)
    if asked.runner_up is None or (under_way is not None and under_way.asked.token == asked.token):
        return  # as by a double click
    order = LiveComparisons(context().database).sides(asked.pick.choice.llm, asked.runner_up.choice.llm)
    a, b = llm_of(order[0]), llm_of(order[1])
    known: dict[LLMId, Writing] = {}
    if seen is not None and seen.finished and seen.reply is not None and seen.failure is None:
        known[seen.reply.llm.llm_id] = seen
    writings = [known.get(llm.llm_id) or begin(asked, [llm]) for llm in (a, b)]
    used = any(llm.llm_id in known for llm in (a, b))
    st.session_state[PAIR] = Pair(secrets.token_urlsafe(16), user, asked, (a, b), writings, used)


@callback
def stop_both() -> None:
    """Stop and vote on what is there."""
    pair: Pair = st.session_state[PAIR]
    for writing in pair.writings:
        writing.stop()


@callback
def retry(side: int) -> None:
    """Ask the side that failed once more; the other one is kept as it is."""
    pair: Pair = st.session_state[PAIR]
    if pair.cause(side):  # else it came through meanwhile: a second click must not pay twice
        pair.writings[side] = begin(pair.asked, [llm_of(pair.llms[side].llm_id)])


@callback
def discard() -> None:
    """Leave this comparison, and let nothing more be written for it; the prompt stays."""
    pair: Pair | None = st.session_state.pop(PAIR, None)
    for writing in pair.writings if pair else []:
        writing.stop()


@callback
def vote(outcome: Outcome) -> None:
    """Record the rating, once, and ask the router again."""
    pair: Pair = st.session_state[PAIR]
    here = context()
    recorded = here.store.record(pair.user, pair.token, outcome, minimum_dwell=here.settings.minimum_dwell)
    if recorded.status == "too_quick":
        st.session_state[NOTICE] = "Too quick: please read both. Nothing was saved."
        return
    pair.outcome = recorded.outcome
    if recorded.outcome is not None:
        sides = (pair.llms[0].llm_id, pair.llms[1].llm_id)
        Decisions(here.database).compared(pair.asked.key, pair.asked.taste, sides, recorded.outcome)
    pair.after = here.serving.decide(pair.asked.taste, pair.asked.query, explained=False)


def pose(pair: Pair) -> None:
    """Write the pair down as soon as both sides are there, so that a vote has an assignment to fall on."""
    query = pair.asked.query
    a, b = (
        Response(query.query_id, llm.llm_id, (writing.text,))
        for llm, writing in zip(pair.llms, pair.writings, strict=True)
    )
    try:
        LiveComparisons(context().database).pose(pair.user, pair.token, query, a, b, pair.reason)
        pair.posed = True
    except PrefRouteError as error:
        pair.problem = str(error)


def show_pair(pair: Pair) -> None:
    """Both sides as they are written, then the vote, then what it moved."""
    voted = pair.outcome is not None
    st.subheader("Which response do you like better?" if not voted else "Your comparison", anchor=False)
    if pair.seen and not voted:
        st.caption("You have seen one of these before, so this one is not blind; the rating is kept with that remark.")
    for side, column in enumerate(st.columns(2)):
        with column:
            name = f": {pair.llms[side].name or pair.llms[side].llm_id}" if voted else ""
            st.markdown(f"**{'AB'[side]}{name}**")
            with st.container(height=PANE_HEIGHT, border=True, key=f"playground.pane.{'AB'[side]}"):
                (show_side if pair.finished else show_growing_side)(pair, side)
    if not pair.finished:
        show_while_comparing(pair)
        st.button("Stop and vote", key=f"playground.stop.{pair.token}", on_click=stop_both)
    elif pair.outcome is not None and pair.after is not None:
        show_moved(pair, pair.outcome, pair.after)
    else:
        show_votes(pair)


def show_side(pair: Pair, side: int) -> None:
    """One response, with no word of whose it is."""
    writing = pair.writings[side]
    if writing.text:
        show_text(writing.text)
    elif not writing.finished:
        st.caption("Waiting for the first word")
    elif not pair.cause(side):
        st.caption("This response is empty.")
    if writing.note and pair.outcome is None and writing.finished:
        st.caption("A stored response to the query most like yours: there is no provider here.")
    elif writing.note and pair.outcome is not None:
        st.caption(safe_markdown(writing.note))


@st.fragment(run_every=TICK)
def show_growing_side(pair: Pair, side: int) -> None:
    """One response as it grows; the two sides are fragments of their own."""
    show_side(pair, side)


@st.fragment(run_every=TICK)
def show_while_comparing(pair: Pair) -> None:
    """Nothing to see: draws the whole page once more when both have finished."""
    if pair.finished:
        st.rerun()


def show_votes(pair: Pair) -> None:
    """The vote bar, or why there can be none."""
    failed = [side for side in (0, 1) if pair.cause(side)]
    for side in failed:
        st.error(
            f"Response {'AB'[side]} failed: {pair.cause(side)}. Your prompt is kept, and so is the other response."
        )
    if not failed and not pair.posed and not pair.problem:
        pose(pair)
    if pair.problem:
        st.warning(pair.problem)
    if notice := st.session_state.pop(NOTICE, None):
        st.warning(notice)
    with st.container(horizontal=True, key="playground.votes"):
        for side in failed:
            st.button(
                f"Retry {'AB'[side]}", key=f"playground.retry.{side}.{pair.token}", on_click=retry, args=(side,),
                type="primary",
            )  # fmt: skip
        if pair.posed:
            for outcome, label in VOTES.items():
                st.button(label, key=f"playground.{outcome}.{pair.token}", on_click=vote, args=(outcome,))
        st.button("Discard", key=f"playground.discard.{pair.token}", on_click=discard, type="tertiary")


def show_moved(pair: Pair, outcome: Outcome, after: Decision) -> None:
    """Before and after: what this one rating did to the choice for this prompt."""
    before = pair.asked.decision
    st.success(f"Saved: {VOTES[outcome]}. It counts from now on, in every choice for you and in training.")
    was = {choice.llm: choice.probability for choice in before.choices}
    now = {choice.llm: choice for choice in after.choices}
    for column, llm in zip(st.columns(2), pair.llms, strict=True):
        moved = 100 * (now[llm.llm_id].probability - was[llm.llm_id])
        column.metric(llm.name or llm.llm_id, f"{now[llm.llm_id].probability:.0%}", f"{moved:+.1f} points", border=True)
    show_worth(pair, outcome, after)
    table = pd.DataFrame(after.choices).drop(columns="llm").rename(columns={"name": "llm"})
    table["average"] = [was[choice.llm] for choice in after.choices]
    show_chart(
        choice_chart(table, llm_colours(context().store.llms()), reference="Before this rating"), table,
        "playground.moved", alt_text="Probability of each LLM for this prompt, after and before this rating",
        height=height_of(len(table)),
    )  # fmt: skip
    interval = ", 95 % interval of the posterior" if after.lead is not None else ""
    st.caption(
        f"Dot in the LLM's colour and blue line: now{interval}, ratings known: {after.ratings}. "
        f"Grey tick: before, ratings known: {before.ratings}. "
        f"Router: {after.service}; nothing was trained in between."
    )


def show_worth(pair: Pair, outcome: Outcome, after: Decision) -> None:
    """Ask for the price of what was preferred, where it is the dearer one and the router agrees that it is liked."""
    if outcome not in (Outcome.A, Outcome.B):
        return
    won = 0 if outcome == Outcome.A else 1
    winner, loser = pair.llms[won], pair.llms[1 - won]
    cost = {priced.choice.llm: priced.cost for priced in pair.asked.ranked}
    dear, cheap = cost.get(winner.llm_id), cost.get(loser.llm_id)
    liked = {choice.llm: choice.probability for choice in after.choices}
    liking = float(np.log(liked[winner.llm_id] / liked[loser.llm_id]))
    if dear is not None and cheap is not None and dear > cheap and liking > 0:
        names = (winner.name or winner.llm_id, loser.name or loser.llm_id)
        show_price_after(pair.user, pair.token, names, liking, (dear, cheap))
