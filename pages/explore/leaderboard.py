"""LLM leaderboard: strengths over everyone with intervals, who wins against whom, and what biases the ratings."""

from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.domain import LLM
from core.leaderboard import (
    MIN_CELL,
    Counted,
    Effect,
    Leaderboard,
    Unranked,
    chance,
    counts_by_llm,
    leaderboard,
)
from core.tally import Share, Tally
from db.tallies import EVER, Span, styled_tally
from pages.parts.charts import matrix_height, strength_chart, tall_height, win_matrix_chart
from pages.parts.colours import colours
from pages.parts.context import context, require
from pages.parts.counting import clear_filters, show_days, show_filters, show_inclusion
from pages.parts.drawing import show_chart
from pages.parts.empty import show_nothing_to_rate
from pages.parts.known import counted, of_now


@st.cache_data(show_spinner="Measuring the length and format of every response", max_entries=2)
def styled(url: str, revision: str, span: Span) -> Tally:  # noqa: ARG001
    """All ratings with the style of their responses."""
    return styled_tally(context().database, span)


def labels(llms: tuple[LLM, ...]) -> dict[str, str]:
    """What each LLM is called here, by its id; the id too where a name is taken."""
    names = [llm.name or llm.llm_id for llm in llms]
    return {
        llm.llm_id: name if names.count(name) == 1 else f"{name} ({llm.llm_id})"
        for llm, name in zip(llms, names, strict=True)
    }


def show_counts(counts: tuple[Counted, ...]) -> None:
    """A table of counts, for as long as there are too few ratings to rank."""
    name = labels(tuple(row.llm for row in counts))
    table = pd.DataFrame(counts)
    table["llm"] = [name[row.llm.llm_id] for row in counts]
    columns = {name: st.column_config.NumberColumn(name.capitalize()) for name in ("ratings", "wins", "losses", "ties")}
    st.dataframe(table, hide_index=True, column_config={"llm": "LLM", **columns}, alt="Ratings of each LLM")


def standings_table(board: Leaderboard, counts: tuple[Counted, ...]) -> pd.DataFrame:
    """One row an LLM, as it is drawn and downloaded."""
    said = {row.llm.llm_id: row for row in counts}
    name = labels(tuple(row.llm for row in counts))
    return pd.DataFrame([
        {
            "group": s.group + 1, "rank": s.rank, "llm_id": s.llm.llm_id, "llm": name[s.llm.llm_id],
            "chance": chance(s.strength), "low": chance(s.low), "high": chance(s.high),
            "strength": s.strength, "strength_low": s.low, "strength_high": s.high, "ratings": s.ratings,
            "wins": said[s.llm.llm_id].wins, "losses": said[s.llm.llm_id].losses, "ties": said[s.llm.llm_id].ties,
        }
        for s in board.standings
    ])  # fmt: skip


def show_standings(board: Leaderboard, table: pd.DataFrame, colour: dict[str, str], adjusted: bool) -> None:
    """A chart for each group of LLMs that were compared with each other."""
    if board.groups > 1:
        st.warning(
            f"These LLMs fall into {board.groups} groups that were never compared with each other, "
            "so each group is ranked by itself."
        )
    for group, rows in table.groupby("group"):
        if board.groups > 1:
            st.subheader(f"Group {group} of {board.groups}", anchor=False)
        show_chart(
            strength_chart(rows, colour), rows, f"leaderboard.strengths_{group}",
            alt_text="Rank and strength of each LLM with its 95 % interval, best first", height=tall_height(len(rows)),
        )  # fmt: skip
    equal = ", as if all responses had equal length and format" if adjusted else ""
    st.caption(
        f"Dot: how often an LLM wins against an average one{equal}, ties half. Line: 95 % interval (Bradley-Terry, "
        f"robust). n: its ratings, {board.ratings:,} in all. The rank is 1 plus the number of LLMs that are surely "
        "better, so LLMs too close to call share a rank. Intervals treat ratings as independent."
    )
    if not all(standing.limited for standing in board.standings):
        st.caption(
            "Some LLM here never lost, or never won, against the others: the ratings set no limit to how far apart "
            "they are, and the intervals say so."
        )


def show_style(style: tuple[Effect, ...]) -> None:
    """How much each trait that was adjusted for moves a choice."""
    st.subheader("What length and format do", anchor=False)
    table = pd.DataFrame([
        {"trait": e.name, "chance": 100 * chance(e.value), "low": 100 * chance(e.low), "high": 100 * chance(e.high)}
        for e in style
    ])  # fmt: skip
    columns: dict[str, Any] = {
        "trait": "Trait",
        "chance": st.column_config.NumberColumn("Then it wins", format="%.0f %%"),
        "low": st.column_config.NumberColumn("95 % from", format="%.0f %%"),
        "high": st.column_config.NumberColumn("95 % to", format="%.0f %%"),
    }
    st.dataframe(table, hide_index=True, column_config=columns, alt="What each trait of style adds to the chance")
    st.caption(
        "How often a response wins that has more of the trait by one standard deviation, all else equal. Where every "
        "LLM keeps to a style of its own, style and LLM can hardly be told apart: read wide intervals as that."
    )


def between(low: float, high: float) -> str:
    """An interval in words, with a digit more where it is narrow."""
    return f"{low:.1%} to {high:.1%}" if high - low < 0.02 else f"{low:.0%} to {high:.0%}"


def show_card(column: DeltaGenerator, label: str, found: Share | None, note: str, about: str) -> None:
    """One figure large, with its interval, n and what it means."""
    with column.container(border=True, height="stretch"):
        st.metric(label, f"{found.value:.0%}" if found else "not enough data", help=about)
        st.caption(f"95 % interval {between(found.low, found.high)}, n {found.n:,}. {note}" if found else note)


def verdict(found: Share | None, more: str, less: str, none: str) -> str:
    """Whether one half lies in the interval."""
    if found is None:
        return "No rating says anything about it."
    return more if found.low > 0.5 else less if found.high < 0.5 else none


def show_cards(board: Leaderboard) -> None:
    """Ties, and the two biases."""
    st.subheader("How people rate", anchor=False)
    first, second, third = st.columns(3)
    both = board.both_bad
    show_card(
        first, "Ties", board.ties, f"Both bad: {both.value:.0%} ({between(both.low, both.high)}).",
        "Ratings that call the two equally good.",
    )  # fmt: skip
    side = board.side
    equal = f"Between equal LLMs: {chance(side.value):.0%} ({between(chance(side.low), chance(side.high))})."
    show_card(
        second, "Side A won", board.left,
        verdict(board.left, "The first side is favoured.", "The second side is favoured.",
                "No bias to be seen.") + " " + equal,
        "How often side A, the left one, won, of the ratings with a winner. The strengths above are free of it.",
    )  # fmt: skip
    show_card(
        third, "Longer response won", board.longer,
        verdict(board.longer, "Longer responses are favoured.", "Shorter responses are favoured.",
                "No bias to be seen."),
        "Of the ratings with a winner, where both responses are known and differ in length. "
        "Better LLMs may also write more: the switch above tells the two apart.",
    )  # fmt: skip


def show_matrix(board: Leaderboard, name: dict[str, str]) -> None:
    """How often each LLM won against each other one."""
    st.subheader("Who wins against whom", anchor=False)
    order = [name[standing.llm.llm_id] for standing in board.standings]
    cells = pd.DataFrame([
        {"row": order[i], "column": order[j], "share": float(board.matrix[i, j]), "n": n, "few": n < MIN_CELL}
        for i in range(len(order))
        for j in range(len(order))
        if (n := int(board.compared[i, j]))
    ])  # fmt: skip
    show_chart(
        win_matrix_chart(cells, order, colours(list(name.values()))), cells, "leaderboard.matrix",
        alt_text="Share of ratings that the LLM of each row won against the LLM of each column",
        height=matrix_height(len(order)),
    )  # fmt: skip
    st.caption(
        f"Share won by the row's LLM, ties half, as rated (not adjusted). Blue: it won more often, orange: less often. "
        f"Grey: fewer than {MIN_CELL} ratings. Empty: never compared."
    )


def as_csv(table: pd.DataFrame) -> bytes:
    """For spreadsheets: a name that would be a formula there is kept as text."""
    safe = table.copy()
    for column in ("llm_id", "llm"):
        safe[column] = [
            f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text for text in safe[column]
        ]
    return safe.to_csv(index=False).encode()


require("viewer")
here = context()
st.title("LLM leaderboard")

data = of_now()
everything = counted(*data, EVER)
if not everything.ratings:
    st.info("No comparisons yet. LLMs are ranked here once people have rated.")
    if len(everything.llms) > 1:
        st.page_link("pages/annotate/rate.py", label="Go to Rate responses")
    else:
        show_nothing_to_rate()
    st.stop()

filters = st.container()
if (span := show_days()) != EVER:
    everything = counted(*data, span)
with filters:
    wanted = show_filters(everything)
chosen, inclusion = wanted.of(everything)
if not chosen.ratings:
    st.info("No rating is left with these filters.")
    st.button("Clear filters", on_click=clear_filters)
    show_inclusion(inclusion, 0)
    st.stop()
board = leaderboard(chosen)
if isinstance(board, Unranked):
    st.info(f"{board.reason} The counts so far:")
    show_inclusion(inclusion, chosen.total(chosen.simulated))
    show_counts(counts_by_llm(chosen))
    st.stop()
ranked = board
if wanted.adjust:
    known, inclusion = wanted.of(styled(*data, span), known_style=True)
    found = leaderboard(known, adjust=True)
    if isinstance(found, Unranked):
        st.warning("Too few ratings whose two responses are known, so nothing is adjusted here.")
    else:
        ranked, chosen = found, known

show_inclusion(inclusion, chosen.total(chosen.simulated))
counts = counts_by_llm(chosen)
table = standings_table(ranked, counts)
show_standings(ranked, table, colours(list(labels(everything.llms).values())), adjusted=bool(ranked.style))
if unrated := sum(row.ratings == 0 for row in counts):
    st.caption(
        f"{unrated} LLM{'s' if unrated > 1 else ''} without ratings here {'are' if unrated > 1 else 'is'} not shown."
    )
st.download_button("Download CSV", as_csv(table), "leaderboard.csv", "text/csv", on_click="ignore")
if ranked.style:
    show_style(ranked.style)
show_cards(board)
show_matrix(board, labels(everything.llms))
