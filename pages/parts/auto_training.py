"""Training by itself: when, and how far off the next one is."""

import streamlit as st

from db.auto_training import HOURS, RATINGS, AutoTraining, Plan
from pages.parts.clock import shown
from pages.parts.context import context
from pages.parts.errors import callback

AFTER, EVERY = "training.auto.ratings", "training.auto.hours"


@callback
def save(by: str) -> None:
    """Follow what the two numbers say from now on; what cannot be is said, and nothing changes."""
    state = st.session_state
    plan = Plan(int(state.get(AFTER) or 0) or None, int(state.get(EVERY) or 0) or None)
    AutoTraining(context().database, context().settings.heartbeat_timeout).set(plan, by)


def show_auto_training(by: str) -> None:
    """The plan as two numbers, what it would do next, and who it has to get past."""
    auto = AutoTraining(context().database, context().settings.heartbeat_timeout)
    plan, standing = auto.plan(), auto.standing()
    with st.expander(f"By itself: {'on' if plan.on else 'off'}", key="training.auto"):
        left, right = st.columns(2)
        left.number_input(
            "After so many new ratings", 0, RATINGS[1], plan.ratings or 0, step=50, key=AFTER,
            help=f"0 for never; at least {RATINGS[0]}.",
        )  # fmt: skip
        right.number_input(
            "Every so many hours", 0, HOURS[1], plan.hours or 0, key=EVERY,
            help="0 for never. Where nothing was rated since the last training there is none.",
        )  # fmt: skip
        st.button("Save", key="training.auto.save", on_click=save, args=(by,))
        since = f"since the training of {shown(standing.since)}" if standing.since else "and no training yet"
        st.caption(
            f"{standing.new:,} new ratings {since}. Looked at once a minute while the app runs; what is trained passes "
            "the same gate as any other version."
        )
