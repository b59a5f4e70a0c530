"""One rater: their timeline, the measures about them, and what a measure would do to the leaderboard."""

import altair as alt
import pandas as pd
import streamlit as st

from core.domain import UserId
from core.leaderboard import Leaderboard, chance, leaderboard
from core.quality import Judged
from core.tally import Tally, choose
from db.measures import MAX_REASON, WEIGHTS
from db.models import Measure
from db.raters import timeline
from db.tallies import tally
from pages.parts.clock import shown
from pages.parts.context import context
from pages.parts.drawing import show_chart
from pages.parts.errors import callback

TITLES = {
    Measure.PAUSE: "Pause", Measure.DOWN_WEIGHT: "Down-weight", Measure.EXCLUDE: "Exclude from training",
}  # fmt: skip
EFFECTS = {
    Measure.PAUSE: "They are shown nothing more to rate and are told why. What they said keeps counting.",
    Measure.DOWN_WEIGHT: "On the leaderboard each rating counts less; of those trained on, this share is kept.",
    Measure.EXCLUDE: "Their ratings stay stored and count neither in training, on the leaderboard, nor in exports.",
}
LIFTED = {Measure.PAUSE: "Resume", Measure.DOWN_WEIGHT: "Count in full again", Measure.EXCLUDE: "Include again"}


def show_timeline(one: Judged) -> None:
    """How long each rating took, in order, and why this person is flagged."""
    st.subheader(one.rater.user, anchor=False)
    for why in one.flags.values():
        st.warning(f"Flagged: {why}.")
    moments = timeline(context().database, one.rater.user)
    timed = pd.DataFrame(
        [{"rating": i, "seconds": m.seconds, "answer": m.outcome.value.replace("_", " "), "asked": m.purpose}
         for i, m in enumerate(moments, 1) if m.seconds is not None]
    )  # fmt: skip
    if timed.empty:
        st.caption(f"None of the {len(moments):,} ratings was timed here: they were imported.")
        return
    chart = (
        alt.Chart(timed)
        .mark_point(filled=True, size=45)
        .encode(
            x=alt.X("rating:Q", title="Rating, in the order given", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("seconds:Q", title="Seconds", scale=alt.Scale(type="symlog")),
            shape=alt.Shape("answer:N", title="Answer"),
            color=alt.Color("answer:N", title="Answer"),
            tooltip=["rating", "seconds", "answer", "asked"],
        )
    )
    show_chart(
        chart, timed, "quality.seconds", height=220,
        alt_text=f"Seconds that each rating of {one.rater.user} took, in order",
    )  # fmt: skip
    st.caption(f"n {len(timed):,} timed ratings of {len(moments):,} in force.")


def show_measures(user: UserId, by: str) -> None:
    """What was done about this person, with the way back, and what can be done."""
    taken = context().measures.all(user)
    in_force = {one.kind: one for one in taken if one.lifted_at is None}
    if message := st.session_state.pop("quality.notice", None):
        st.success(message)
    kind = st.segmented_control(
        "What to do", list(Measure), format_func=TITLES.__getitem__, default=Measure.EXCLUDE, required=True,
        key=f"quality.kind.{user}",
    ) or Measure.EXCLUDE  # fmt: skip
    st.caption(EFFECTS[kind])
    weight = 0.5
    if kind == Measure.DOWN_WEIGHT and kind not in in_force:
        weight = st.slider("Weight of each rating", *WEIGHTS, 0.5, 0.05, key=f"quality.weight.{user}")
    if kind != Measure.PAUSE:
        _show_preview(user, 1.0 if kind in in_force else {Measure.EXCLUDE: 0.0}.get(kind, weight))
    reason = st.text_input("Reason (kept in the audit log)", key=f"quality.reason.{user}", max_chars=MAX_REASON)
    if kind in in_force:
        one = in_force[kind]
        st.info(f"{TITLES[kind]}: since {shown(one.at)} by {one.by}. Reason: {one.reason}")
        st.button(LIFTED[kind], key=f"quality.lift.{kind}.{user}", on_click=lift, args=(user, kind, by, reason))
    else:
        st.button(
            TITLES[kind], key=f"quality.take.{kind}.{user}", on_click=take, args=(user, kind, by, reason, weight),
            type="primary",
        )  # fmt: skip
    past = [one for one in taken if one.lifted_at is not None]
    for one in past:
        st.caption(
            f"{TITLES[one.kind]}, {shown(one.at)} by {one.by}: {one.reason} · lifted "
            f"{shown(one.lifted_at) if one.lifted_at else ''} by {one.lifted_by}: {one.lifted_because}"
        )


@callback
def take(user: UserId, kind: Measure, by: str, reason: str, weight: float) -> None:
    """Take a measure; refused without a reason."""
    context().measures.take(user, kind, by, reason, weight)
    st.session_state["quality.notice"] = "Done, and noted in the audit log. It can be lifted at any time."


@callback
def lift(user: UserId, kind: Measure, by: str, reason: str) -> None:
    """Undo a measure; refused without a reason."""
    context().measures.lift(user, kind, by, reason)
    st.session_state["quality.notice"] = "Lifted: everything counts again as before."


def _show_preview(user: UserId, weight: float) -> None:
    """The leaderboard now, and as it would be."""
    now, then = _board(tally(context().database)), _board(tally(context().database, {user: weight}))
    if now is None or then is None:
        st.caption("Too few ratings for a leaderboard, so there is no effect to show.")
        return
    before = {standing.llm.llm_id: standing for standing in now.standings}
    rows = [
        {
            "LLM": s.llm.name or s.llm.llm_id,
            "Rank now": before[s.llm.llm_id].rank if s.llm.llm_id in before else None, "Rank then": s.rank,
            "Wins now": 100 * chance(before[s.llm.llm_id].strength) if s.llm.llm_id in before else None,
            "Wins then": 100 * chance(s.strength),
            "95 % then": f"{chance(s.low):.0%} to {chance(s.high):.0%}",
        }
        for s in then.standings
    ]  # fmt: skip
    moved = sum(row["Rank now"] != row["Rank then"] for row in rows)
    share = st.column_config.NumberColumn(format="%.1f %%", help="How often it wins against an average LLM.")
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, alt="The leaderboard now, and as it would be",
        column_config={"Wins now": share, "Wins then": share},
    )  # fmt: skip
    st.caption(
        f"The leaderboard would rest on {then.ratings:,} ratings instead of {now.ratings:,}; "
        f"{moved} of {len(rows)} ranks would change."
    )


def _board(counted: Tally) -> Leaderboard | None:
    found = leaderboard(choose(counted)[0])
    return found if isinstance(found, Leaderboard) else None
