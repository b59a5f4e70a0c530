"""How far a person can trust the router: its hit rate beside their own ceiling, and what its probabilities mean."""

import streamlit as st

from core.dataset import PreferenceDataset
from core.domain import UserId
from core.habits import ENOUGH, Share
from core.track_record import Meant, TrackRecord, ceiling
from db.agreement import with_oneself
from db.routers import RouterVersion
from db.track_records import record_of
from pages.parts.context import context
from pages.parts.shares import Line, show_shares

COIN = 0.5  # what chance would give


@st.cache_data(show_spinner="Asking the router about earlier ratings", max_entries=200)
def recorded(
    _version: RouterVersion,
    _own: PreferenceDataset,
    user: UserId,
    url: str,  # noqa: ARG001
    version: int,  # noqa: ARG001
    ratings: tuple[int, ...],  # noqa: ARG001
) -> TrackRecord:
    """The record of a person under a version: the same as long as all but the first two are."""
    return record_of(context().serving, _version, user, _own)


def show_track_record(user: UserId, *, own: bool) -> None:
    """Hit rate, the average user's, agreement with oneself and calibration, each with n and interval, or what lacks."""
    here = context()
    active = here.registry.active()
    if active is None:
        return
    said = here.store.history(user)
    record = recorded(active, said, user, here.settings.database_url, active.id, tuple(said.ids.tolist()))
    oneself = with_oneself(here.database, user)
    st.subheader("How right it is about you" if own else f"How right it is about {user}", anchor=False)
    headline = said_at_once(record.right, oneself, own=own)
    if headline:
        st.markdown(headline)
    lines: list[Line] = [
        ("This router", record.right, COIN),
        ("The average user's pick", record.usual, COIN),
        ("You, asked again" if own else "The person, asked again", oneself, COIN),
    ]
    show_shares(lines, "routing.track", "Preferred response put first", "Hit rates", in_words)
    st.caption(
        f"Of ratings that prefer one response and that the training of version {active.id} has not seen, each asked "
        "again without what was said in that conversation. Asked again: the same two responses with swapped sides. "
        "Dot and 95 % interval (Wilson); grey tick: a coin."
    )
    st.caption(meaning(record.meant, record.n))


def said_at_once(right: Share, oneself: Share, *, own: bool) -> str:
    """The figure that matters beside the most it could be; empty where there are too few ratings for the first."""
    if not right.enough:
        return ""
    figure = f"**{plus_minus(right)}**"
    if not oneself.enough:
        return f"{figure} of the time."
    most = ceiling(oneself.value)
    who, whom = ("you agree with yourself", "you") if own else ("the person agrees with themselves", "them")
    between = f"{most[0]:.0%}" if most[1] - most[0] < 0.005 else f"{most[0]:.0%} to {most[1]:.0%}"
    return (
        f"{figure}; {who} {plus_minus(oneself)} (n = {oneself.n}). "
        f"The most that any router could reach about {whom} is therefore about {between}."
    )


def plus_minus(share: Share) -> str:
    """A share with half the width of its interval, as people write it."""
    return f"{share.value:.0%} ± {50 * (share.high - share.low):.0f}"


def in_words(name: str, share: Share) -> str:
    """A share in words, or that there is not enough for one."""
    if not share.enough:
        return f"{name}: too few ({share.n} of {ENOUGH})."
    return f"{name}: {share.value:.0%} ({share.low:.0%} to {share.high:.0%}), n = {share.n}"


def meaning(meant: Meant | None, n: int) -> str:
    """Calibration in a sentence."""
    if meant is None:
        return f"What a probability means here: too few ({n} of {ENOUGH})."
    verdict = ""
    if meant.low > meant.said:
        verdict = " It is more often right than it says."
    elif meant.high < meant.said:
        verdict = " It is surer than it should be."
    return (
        f"Where it says {meant.said:.0%}, it has meant {meant.value:.0%} ({meant.low:.0%} to {meant.high:.0%}, "
        f"n = {meant.n}; drawn towards {meant.said:.0%} where little is known).{verdict}"
    )
