"""A person's own ratings: filters, the list a page at a time, one rating with both versions, what they skipped.

It is drawn on My ratings and keeps its state there. An open rating stays blind: no LLM is named beside its texts, but
where its campaign tells.
"""

from datetime import date, timedelta
from typing import get_args

import pandas as pd
import streamlit as st

from core.domain import Outcome, UserId, content_hash
from core.errors import NotFound
from db import histories
from db.histories import Choice, Filter, Rated, Rating, Version
from db.models import EventKind
from pages.parts.clock import midnight, shown, viewer_zone
from pages.parts.context import context
from pages.parts.errors import callback
from pages.parts.panes import show_pair, show_query

ANSWERS: dict[Choice, str] = {
    Outcome.A: "A is better",
    Outcome.B: "B is better",
    Outcome.TIE: "Tie",
    Outcome.BOTH_BAD: "Both bad",
    "withdrawn": "Withdrawn",
}
ROWS = 10  # so that what is opened below stands beside the list and not a screen further down
SKIPPED_SHOWN = 10
SNIPPET = 110

FILTERS = ("my_ratings.choice", "my_ratings.task", "my_ratings.from", "my_ratings.to")
PAGE = "my_ratings.page"
OPEN = "my_ratings.open"
CLOSED = "my_ratings.closed"
NOTICE = "my_ratings.notice"


def show_ratings(user: UserId) -> None:
    """Filters, the list, and the rating that is open."""
    which = _show_filters(user)
    total = histories.count(context().database, user, which)
    if not total:
        st.info("No rating fits these filters.")
        st.button("Clear filters", key="my_ratings.clear", on_click=clear_filters)
    else:
        _show_list(user, which, total)
    if key := st.session_state.get(OPEN):
        _show_open(user, key)


@callback
def clear_filters() -> None:
    """Show everything again, from the first page."""
    for key in FILTERS:
        st.session_state[key] = None
    to_first_page()


def to_first_page() -> None:
    """Another filter has other pages."""
    st.session_state[PAGE] = 1


def _show_filters(user: UserId) -> Filter:
    choice_key, task_key, from_key, to_key = FILTERS
    columns = st.columns(4)
    choice = columns[0].selectbox(
        "My choice", list(ANSWERS), None, ANSWERS.__getitem__, key=choice_key, placeholder="All",
        bind="query-params", on_change=to_first_page,
    )  # fmt: skip
    tasks = histories.tasks(context().database, user)
    task = columns[1].selectbox(
        "Task", tasks, None, key=task_key, placeholder="All", bind="query-params", on_change=to_first_page
    )
    days: list[date | None] = [
        column.date_input(label, None, key=key, bind="query-params", on_change=to_first_page)
        for column, label, key in zip(columns[2:], ("From", "To"), (from_key, to_key), strict=True)
    ]
    first, last = days
    if first and last and first > last:
        first, last = last, first
        st.caption("These dates were the other way round and are read as a span.")
    return Filter(
        _choice(choice),
        task,
        midnight(first) if first else None,
        midnight(last + timedelta(days=1)) if last else None,
    )


def _choice(chosen: str | None) -> Choice | None:
    return next((choice for choice in ANSWERS if choice == chosen), None)


def _show_list(user: UserId, which: Filter, total: int) -> None:
    pages = -(-total // ROWS)
    page = min(st.session_state.get(PAGE, 1), pages)
    if pages > 1:
        page = st.pagination(pages, key=PAGE, bind="query-params")
    rows = histories.ratings(context().database, user, which, limit=ROWS, offset=(page - 1) * ROWS)
    keys = [row.key for row in rows]
    # Other rows, another table: a selection never slides to another rating. Closed, another one too: none is selected.
    table = f"my_ratings.table.{content_hash(str(st.session_state.get(CLOSED, 0)), *keys)[:12]}"
    opened = st.session_state.get(OPEN)
    st.dataframe(
        pd.DataFrame([_line(row) for row in rows]),
        key=table,
        hide_index=True,
        height="content",
        selection_mode="single-row",
        on_select=lambda: open_row(table, keys),
        selection_default={"selection": {"rows": [keys.index(opened)]}} if opened in keys else None,
        placeholder="",
        alt="My ratings, the last given first",
        column_config={
            "Date": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm", timezone=str(viewer_zone())),
            "Prompt": st.column_config.TextColumn(width=235),
            "Seconds": st.column_config.NumberColumn(format="%.0f"),
        },
    )
    first = (page - 1) * ROWS + 1
    st.caption(f"{first} to {first + len(rows) - 1} of {total}. Select a row to see both responses or change it.")


def _line(row: Rated) -> dict[str, object]:
    return {
        "Date": row.rated_at,
        "My choice": ANSWERS[row.outcome or "withdrawn"],
        "Prompt": snippet(row.prompt),
        "Seconds": row.seconds,
        "Edited": "edited" if row.changed and row.outcome else "",
        "Task": row.task,
    }


def snippet(text: str) -> str:
    """One line of a prompt."""
    words = " ".join(text.split())
    return words if len(words) <= SNIPPET else words[: SNIPPET - 1] + "…"


@callback
def open_row(table: str, keys: list[str]) -> None:
    """Open the rating whose row was selected, by its key; none where the row was deselected."""
    selected = st.session_state[table]["selection"]["rows"]
    st.session_state[OPEN] = keys[selected[0]] if selected else None


def _show_open(user: UserId, key: str) -> None:
    try:
        rating = histories.rating(context().database, user, key)
    except NotFound:  # erased meanwhile in another tab
        del st.session_state[OPEN]
        return
    st.divider()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("This rating", anchor=False)
        whole = st.toggle("Expand both", key="my_ratings.whole")
        raw = st.toggle("Raw text", key="my_ratings.raw")
        st.button("Close", key="my_ratings.close", on_click=close, type="tertiary")
    show_query(rating.query)
    show_pair(rating.response_a, rating.response_b, raw=raw, whole=whole)
    _show_answer(user, rating)
    _show_versions(rating.versions)


@callback
def close() -> None:
    """Put the open rating away."""
    st.session_state[OPEN] = None
    st.session_state[CLOSED] = st.session_state.get(CLOSED, 0) + 1


def _show_answer(user: UserId, rating: Rating) -> None:
    now = rating.now
    if message := st.session_state.pop(NOTICE, None):
        st.success(message)
    if now.outcome is None:
        st.info(f"You withdrew this rating on {shown(now.at)}. It no longer counts.")
        return
    st.markdown(f"Your answer: **{ANSWERS[now.outcome]}**")
    if rating.names:
        st.caption(f"A was {rating.names[0]}, B was {rating.names[1]}.")
    if rating.several:
        st.caption("Part of a choice among several responses: withdrawing takes all of it back.")
    if rating.closed:
        st.info("The campaign that asked this is closed, so its ratings can be read and no longer changed.")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="my_ratings.answers"):
        for outcome in Outcome:
            if rating.several or outcome == now.outcome:
                continue
            # The key carries the version on the screen: a click never changes one that this tab has not shown.
            st.button(
                f"Change to: {ANSWERS[outcome]}",
                key=f"my_ratings.{outcome}.{now.key}",
                on_click=change,
                args=(user, now.key, outcome),
            )
        with st.popover("Withdraw", key="my_ratings.withdraw"):
            st.write("It will no longer count and will not be asked again. Its history stays.")
            st.button("Withdraw this rating", key=f"my_ratings.sure.{now.key}", on_click=withdraw, args=(user, now.key))


@callback
def change(user: UserId, version: str, outcome: Outcome) -> None:
    """Another answer instead of this version; refused where it was changed elsewhere."""
    context().store.edit(user, version, outcome)
    st.session_state[NOTICE] = "Changed. Both versions are kept."


@callback
def withdraw(user: UserId, version: str) -> None:
    """Take this version back; refused where it was changed elsewhere."""
    context().store.withdraw(user, version)


def _show_versions(versions: tuple[Version, ...]) -> None:
    with st.expander(f"History ({len(versions)})", key="my_ratings.history"):
        for version in versions:
            said = ANSWERS[version.outcome] if version.outcome else ""
            what = {
                EventKind.RATING: f"Rated: {said}", EventKind.EDIT: f"Changed to: {said}",
                EventKind.WITHDRAWAL: "Withdrawn",
            }[version.kind]  # fmt: skip
            took = f" · {version.seconds:.0f} s" if version.seconds is not None else ""
            st.caption(f"{shown(version.at)} · {what}{took}")


def show_drafts(user: UserId) -> None:
    """What was chosen or written and not sent, with the way back to it."""
    unsent = histories.drafts(context().database, user)
    if not unsent:
        return
    st.subheader("Drafts", anchor=False)
    st.caption("Chosen or written, but not saved as a rating yet.")
    for row in unsent:
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.text(snippet(row.prompt))
        right.button("Go on", key=f"my_ratings.draft.{row.token}", on_click=resume, args=(user, row.token))


def show_skipped(user: UserId, total: int) -> None:
    """What was put aside, with the way back to it."""
    if not total:
        return
    st.subheader("Skipped", anchor=False)
    st.caption("They come back by themselves when everything else is rated.")
    for row in histories.skipped(context().database, user, SKIPPED_SHOWN):
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.text(snippet(row.prompt))
        right.button("Rate it now", key=f"my_ratings.resume.{row.token}", on_click=resume, args=(user, row.token))
    if total > SKIPPED_SHOWN:
        st.caption(f"The last {SKIPPED_SHOWN} of {total}.")


@callback
def resume(user: UserId, token: str) -> None:
    """Put a skipped pair on the screen, and go there."""
    context().store.resume(user, token)
    st.session_state["my_ratings.go"] = True


assert set(ANSWERS) == {*Outcome, *get_args(get_args(Choice)[1])}  # noqa: S101 - a new outcome needs its words
