"""Whether personal routing is real on held-out ratings: one sentence, the same on every page."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pages.parts.context import context

Gain = Mapping[str, Any]


def reading(gain: Gain) -> str:
    """What a log-loss gain over one ranking for all says, by its 95 % interval."""
    if gain["low"] > 0:
        return (
            "Personal and global routing are separable on these ratings. Personal routing is better than one ranking "
            "for all, beyond the interval."
        )
    if gain["high"] < 0:
        return (
            "Personal routing is worse than one ranking for all on these ratings, beyond the interval: do not use it."
        )
    return "Personal and global routing are not separable yet on these ratings."


def grounds(report: Mapping[str, Any]) -> str:
    """What the sentence rests on."""
    gain = report["standings"][0]["gain"]
    return (
        f"Log-loss gain over one ranking for all: {gain['value']:.3f} ({gain['low']:.3f} to {gain['high']:.3f}, 95 % "
        f"over {gain['users']:,} users), {report['ratings']['test']:,} held-out ratings."
    )


def show_separable(gain: Gain) -> None:
    """The sentence, as good news, bad news or none."""
    show = st.success if gain["low"] > 0 else st.warning if gain["high"] < 0 else st.info
    show(reading(gain))


def last_measured() -> tuple[str, Mapping[str, Any]] | None:
    """What was measured of the version in service, else of the last training, and what to call it; None before any."""
    active = context().registry.active()
    if active is not None:
        return (f"Version {active.id}", active.card) if "standings" in active.card else None
    latest = context().runs.latest(1)
    if latest and latest[0].report and "standings" in latest[0].report:
        return f"The last training (run {latest[0].id}), whose router does not serve", latest[0].report
    return None
