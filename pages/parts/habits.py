"""How a person chooses: shares beside what chance would give, and their own ranking of LLMs."""

import pandas as pd
import streamlit as st

from core.domain import UserId
from core.habits import ENOUGH, Share, decisive, ranking
from db import agreement, histories
from pages.parts.charts import share_chart, share_height
from pages.parts.colours import llm_colours
from pages.parts.context import context
from pages.parts.drawing import show_chart
from pages.parts.shares import Line, show_shares


def show_habits(user: UserId) -> None:
    """Left, longer and decisive share and agreement, each with n and interval, or how many are still missing."""
    habits = histories.habits(context().database, user)
    st.subheader("How I choose", anchor=False)
    lines: list[Line] = [
        ("Left", habits.left, 0.5),
        ("Longer", habits.longer, 0.5),
        ("Decisive", habits.decisive, None),
        ("Like others", agreement.with_others(context().database, user), 0.5),
        ("Like myself", agreement.with_oneself(context().database, user), 0.5),
    ]
    show_shares(
        lines, "my_ratings.habits", "Share of my ratings", "My shares", sentence,
        "Left: I preferred the response on the left, of my ratings that prefer one. Longer: I preferred the longer "
        "one, of those whose lengths differ. Decisive: I preferred one at all. Like others: as most people who "
        "rated the same two responses. Like myself: as before, when I was asked again. Dot and 95 % interval "
        "(Wilson); grey tick: what chance would give. Sides are balanced, so a left share whose interval leaves "
        "50 % out says that the place on the screen sways you.",
    )  # fmt: skip


def sentence(name: str, share: Share) -> str:
    """A share in words, or that there is not enough for one."""
    if not share.enough:
        return f"{name}: not enough data ({share.n} of {ENOUGH})."
    return f"{name}: {share.value:.0%} ({share.low:.0%} to {share.high:.0%}), n = {share.n}"


def show_ranking(user: UserId) -> None:
    """The person's own ranking, once there are enough decisive ratings; before that, the way there."""
    st.subheader("My ranking", anchor=False)
    pairs = histories.pair_counts(context().database, user)
    n = decisive(pairs)
    if n < ENOUGH:
        st.progress(n / ENOUGH, f"{n} of {ENOUGH} ratings that prefer one response. Then your own ranking stands here.")
        return
    llms = context().store.llms()
    names = {llm.llm_id: llm.name or llm.llm_id for llm in llms}
    places = pd.DataFrame(ranking(pairs))
    places["llm"] = places["llm"].map(names)
    places["note"] = [f"{place.probability:.0%}, n = {place.ratings}" for place in places.itertuples()]
    frame = places.rename(columns={"llm": "name", "probability": "value"}).assign(reference=0.5)
    show_chart(
        share_chart(frame, "I like it better than an average one", llm_colours(llms)),
        frame,
        "my_ratings.ranking",
        alt_text=f"My ranking of {len(frame)} LLMs, best first: " + ", ".join(frame["name"]),
        height=share_height(len(frame)),
    )
    st.caption(
        f"From my {sum(pair.times for pair in pairs)} ratings alone, {n} of which prefer one (n: those with this LLM). "
        "Dot and 95 % interval of a Bradley-Terry fit with a prior of one logit around the average (grey tick). "
        "Intervals that overlap: too close to call."
    )
