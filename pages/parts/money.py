"""The slider between taste and money, with what it means on the person's own queries."""

import numpy as np
import streamlit as st

from core.costs import priced_scores
from core.domain import UserId
from core.habits import wilson
from db.pricing import Past, past
from pages.parts.asked import dollars
from pages.parts.context import context

ALPHA = "playground.alpha"
PAST = "playground.past"
MOST_NAMED = 3


def show_slider(taste: UserId, who: str) -> float:
    """The slider; returns its alpha. Below it, what it would have done to the last queries of this person."""
    alpha = st.slider(
        "Taste or cost", 0.0, 0.95, 0.0, 0.05, key=ALPHA,
        help="0: the LLM liked best, whatever it costs. At 0.5 a tenth of a cent a query weighs as much as being liked "
        "2.7 times as often. Greater: cheaper.",
    )  # fmt: skip
    st.caption(meaning(_past(taste), alpha, who))
    return alpha


def _past(taste: UserId) -> Past:
    """Kept in the session until a rating, the router or a price changes."""
    here = context()
    active = here.registry.active()
    prices = tuple((llm.llm_id, llm.input_price, llm.output_price) for llm in here.store.llms())
    fact = (taste, here.store.revision(), active.id if active else None, prices)
    kept: tuple[object, Past] | None = st.session_state.get(PAST)
    if kept is None or kept[0] != fact:
        kept = fact, past(here.database, here.serving, taste)
        st.session_state[PAST] = kept
    return kept[1]


def whose(who: str) -> str:
    """Your, or another's."""
    return "your" if who == "you" else f"{who}'s"


def meaning(known: Past, alpha: float, who: str) -> str:
    """A setting in plain words: which LLMs get how many of the queries, and what a query costs on average."""
    if not len(known):
        return f"{who[0].upper()}{who[1:]} rated no queries yet, so what this setting does cannot be shown on them."
    picks = priced_scores(known.probability, known.cost, alpha).argmax(axis=1)
    counts = np.bincount(picks, minlength=len(known.llms))
    n = len(picks)
    named = []
    for column in np.argsort(-counts, kind="stable")[:MOST_NAMED]:
        if counts[column]:
            part = wilson(int(counts[column]), n)
            named.append(f"{part.value:.0%} ({part.low:.0%} to {part.high:.0%}) to {known.names[column]}")
    spent = known.cost[np.arange(n), picks]
    spent = spent[np.isfinite(spent)]
    if not len(spent):
        price = "prices unknown"
    else:
        half = 1.96 * float(spent.std(ddof=1)) / len(spent) ** 0.5 if len(spent) > 1 else 0.0
        price = f"about {dollars(float(spent.mean()))} a query (± {dollars(half)})"
    return f"{', '.join(named)}; {price}, on {whose(who)} last {n} rated queries.".replace("$", "\\$")
