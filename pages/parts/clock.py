"""Moments as the person sees them: in the zone of their browser."""

from datetime import UTC, date, datetime, time, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st


def viewer_zone() -> tzinfo:
    """The zone of this browser; UTC where it does not say or names one that is not known here."""
    name = st.context.timezone
    try:
        return ZoneInfo(name) if isinstance(name, str) and name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def shown(moment: datetime) -> str:
    """A moment to the minute, for example "3 Mar 2026, 13:05"."""
    here = moment.astimezone(viewer_zone())
    return f"{here.day} {here:%b %Y, %H:%M}"


def midnight(day: date) -> datetime:
    """The moment this day begins for the person here."""
    return datetime.combine(day, time(), viewer_zone())
