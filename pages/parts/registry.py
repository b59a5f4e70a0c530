"""The registry on screen: which version serves, one click back, and each version's card with what may be done to it."""

from typing import Any

import pandas as pd
import streamlit as st

from core.promotion import objection
from db.routers import LONGEST_TEXT, RouterVersion
from pages.parts.clock import shown
from pages.parts.comparison import show_comparison
from pages.parts.context import context
from pages.parts.errors import callback
from pages.parts.routers import name_of

SHOWN = 8  # versions listed at once; the others are in the selection below


@callback
def promote(version: int, by: str) -> None:
    """Put a version in service that its card shows to be better."""
    context().registry.promote(version, by)


@callback
def override(version: int, by: str) -> None:
    """Put a version in service for the reason typed."""
    context().registry.activate(version, by, st.session_state.get(f"training.reason.{version}") or "")


@callback
def roll_back(by: str) -> None:
    """Let that serve again which served before; effective with the next decision."""
    context().registry.rollback(by, "rolled back on the training page")


@callback
def archive(version: int, by: str, archived: bool) -> None:
    """Put a version away, or fetch it back."""
    context().registry.archive(version, by, archived=archived)


@callback
def describe(version: int, by: str) -> None:
    """Keep the note typed with a version."""
    context().registry.describe(version, st.session_state.get(f"training.note.{version}") or "", by)


def show_registry(person: str) -> None:
    """Everything about the published versions."""
    registry = context().registry
    versions, active = registry.versions(), registry.active()
    st.subheader("Routers")
    if not versions:
        st.info("No router yet; routing uses one ranking for all until the first training is done.")
        return
    _show_service(active, registry.previous(), person)
    kept = [version for version in versions if version.archived_at is None]
    for version in [version for version in kept if active is None or version.id != active.id][:SHOWN]:
        st.markdown(_line(version, active), help=version.note or None)
    archived = [version for version in versions if version.archived_at]
    if archived and st.toggle(f"Show {len(archived)} archived", key="training.archived"):
        kept += archived
    chosen = st.selectbox(
        "Card of", kept, format_func=lambda v: f"Version {v.id} · {name_of(v.kind)}", key="training.version"
    )
    if chosen is not None:
        with st.container(border=True):
            _show_card(chosen)
            _show_actions(chosen, active, person)
    show_comparison([version for version in versions if version.archived_at is None], active, person)
    with st.expander("What served when, by whom and why"):
        rows = [
            {"when": shown(it.at), "version": "none" if it.version is None else str(it.version),
             "how": "rolled back" if it.rollback else "put in service", "by": it.by, "why": it.reason}
            for it in registry.activations()
        ]  # fmt: skip
        st.dataframe(pd.DataFrame(rows, columns=["when", "version", "how", "by", "why"]), hide_index=True)


def _show_service(active: RouterVersion | None, before: RouterVersion | None, person: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(_line(active, active) if active else "**No version in service**: one ranking for all answers.")
        if before:
            st.button(
                f"Roll back to version {before.id}", key="training.rollback", on_click=roll_back, args=(person,),
                help="Counts with the next decision, everywhere.",
            )  # fmt: skip


def _line(version: RouterVersion, active: RouterVersion | None) -> str:
    mark = " · **in service**" if active and version.id == active.id else ""
    put_away = " · archived" if version.archived_at else ""
    by = f" by {version.trained_by}" if version.trained_by else ""
    return (
        f"**Version {version.id}** · {version.kind}{mark}{put_away} · trained {shown(version.created_at)}{_plain(by)}"
    )


def _show_card(version: RouterVersion) -> None:
    card: Any = version.card
    ratings = card.get("ratings", {})
    facts = {
        "Ratings": f"{sum(ratings.values()):,} of {card.get('users', 0):,} users "
        f"({ratings.get('train', 0):,} to fit, {ratings.get('validation', 0):,} to choose, {ratings.get('test', 0):,} "
        f"to measure)",
        "Data": f"fingerprint {str(card.get('fingerprint', ''))[:12]}, split {card.get('split', 'unknown')}",
        "Code": f"{card.get('code', 'unknown')}, encoder {card.get('encoder', 'unknown')}",
        "Seed": str(card.get("config", {}).get("seed", "unknown")),
        "File": f"SHA-256 {version.sha256[:12]}",
    }
    if told := card.get("outcomes", {}).get("test"):
        facts["A, B, tie, both bad"] = (
            f"log-loss {_figure(told['log_loss'])} on {told['ratings']:,} held-out ratings; "
            f"{_figure(told['over_shares'])} lower than one share of each outcome for everyone, of which "
            f"{_figure(told['over_common'])} by people's own habits of saying ties and both bad"
        )
    st.markdown("\n".join(f"- **{name}**: {_plain(value)}" for name, value in facts.items()))
    if "config" in card:
        with st.expander("Every setting"):
            st.json(card["config"])
    if verdict := card.get("promotion"):
        st.markdown(_plain(verdict["why"]))


def _figure(estimate: Any) -> str:
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _show_actions(version: RouterVersion, active: RouterVersion | None, person: str) -> None:
    serves = active is not None and active.id == version.id
    st.text_input(
        "Note", version.note, key=f"training.note.{version.id}", max_chars=LONGEST_TEXT,
        on_change=describe, args=(version.id, person),
    )  # fmt: skip
    if version.archived_at:
        st.button("Restore", key=f"training.restore.{version.id}", on_click=archive, args=(version.id, person, False))
        return
    if serves:
        st.caption("In service. It cannot be archived before another version serves.")
        return
    refused = objection(version.card, active.id if active else None)
    if refused:
        st.warning(_plain(refused))
        st.text_input(
            "Reason to put it in service all the same", key=f"training.reason.{version.id}", max_chars=LONGEST_TEXT,
            placeholder="Kept with your name",
        )  # fmt: skip
    with st.container(horizontal=True):
        if refused:
            st.button(
                "Put in service for this reason", key=f"training.override.{version.id}",
                on_click=override, args=(version.id, person),
            )  # fmt: skip
        else:
            st.button(
                "Put in service", key=f"training.promote.{version.id}", type="primary",
                on_click=promote, args=(version.id, person),
            )  # fmt: skip
        st.button("Archive", key=f"training.archive.{version.id}", on_click=archive, args=(version.id, person, True))


def _plain(words: str) -> str:
    """Names and reasons as they were typed, not as Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#$~:|" else c for c in words)
