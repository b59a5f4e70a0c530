"""The slider between taste and money: what it means on the person's own queries, what a better answer is worth to them,
and which setting keeps a budget.
"""

import numpy as np
import streamlit as st

from core.costs import alpha_for_budget, priced_scores, threshold_for_share, win_rate
from core.domain import UserId
from core.habits import wilson
from core.willingness import ENOUGH, Tradeoff, fit, next_card
from db.pricing import Past, past
from db.tradeoffs import Tradeoffs
from pages.parts.asked import dollars
from pages.parts.context import context
from pages.parts.errors import callback

ALPHA = "playground.alpha"
PAST = "playground.past"
BUDGET = "playground.budget"
MOST_NAMED = 3
STEP = 0.01
THOUSAND = 1000  # prices are told per so many queries: one query costs too little to think about
FOUR_IN_FIVE = float(np.log(4))  # logits of being liked better 4 times in 5


def show_slider(taste: UserId, who: str) -> float:
    """The slider; returns its alpha. Below it, what it would have done to the last queries of this person."""
    alpha = st.slider(
        "Taste or cost", 0.0, 1.0, 0.0, STEP, key=ALPHA,
        help="0: the LLM liked best, whatever it costs. At 0.5 a tenth of a cent a query weighs as much as being liked "
        "2.7 times as often. 1: the cheapest.",
    )  # fmt: skip
    known = last_queries(taste)
    st.caption(meaning(known, alpha, who))
    if len(known) and np.isfinite(known.cost).any():
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.number_input(
                "Budget, $ per 1,000 queries", min_value=0.0, value=None, step=0.1, format="%.2f", key=BUDGET,
                placeholder="No budget", width=260,
            )  # fmt: skip
            st.button("Set the slider to it", key="playground.calibrate", on_click=keep_budget, args=(taste,))
        show_two(known, who)
    return alpha


@callback
def keep_budget(taste: UserId) -> None:
    """The least setting that keeps the budget on this person's last queries, rounded up so that it still does."""
    budget = st.session_state.get(BUDGET)
    if budget is not None:
        known = last_queries(taste)
        alpha = alpha_for_budget(known.probability, known.cost, budget / THOUSAND)
        st.session_state[ALPHA] = rounded_up(alpha)


def rounded_up(alpha: float) -> float:
    """To a step of the slider, upwards: never dearer than asked for."""
    return min(1.0, round(float(np.ceil(alpha / STEP - 1e-9)) * STEP, 2))


def last_queries(taste: UserId) -> Past:
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
    price = mean_price(known.cost[np.arange(n), picks])
    return f"{', '.join(named)}; {price}, on {whose(who)} last {n} rated {'query' if n == 1 else 'queries'}.".replace(
        "$", "\\$"
    )


def mean_price(spent: np.ndarray) -> str:
    """Mean dollars a query with half the width of its 95 % interval; of unknown ones nothing."""
    spent = spent[np.isfinite(spent)]
    if not len(spent):
        return "prices unknown"
    half = 1.96 * float(spent.std(ddof=1)) / len(spent) ** 0.5 if len(spent) > 1 else 0.0
    return f"about {dollars(float(spent.mean()))} a query" + (f" (± {dollars(half)})" if half else "")


def show_two(known: Past, who: str) -> None:
    """Two LLMs only, as RouteLLM has it: the threshold on the win rate that sends a share to the stronger one."""
    if len(known.llms) < 2 or not st.toggle("Only two LLMs, by a threshold", key="playground.two"):
        return
    left, middle, right = st.columns(3)
    columns = list(range(len(known.llms)))
    strong = left.selectbox("Strong LLM", columns, 0, key="playground.strong", format_func=known.names.__getitem__)
    weak = middle.selectbox("Weak LLM", columns, 1, key="playground.weak", format_func=known.names.__getitem__)
    share = right.slider("Share to the strong one", 0.0, 1.0, 0.5, 0.05, key="playground.share")
    if strong == weak:
        st.warning("Choose two different LLMs.")
        return
    rates = win_rate(known.probability, strong, weak)
    threshold = threshold_for_share(rates, share)
    to_strong = rates >= threshold
    part = wilson(int(to_strong.sum()), len(rates))
    price = mean_price(np.where(to_strong, known.cost[:, strong], known.cost[:, weak]))
    rule = "no query" if np.isinf(threshold) else f"queries on which it wins with at least {threshold:.3f}"
    st.caption(
        f"To {known.names[strong]} go {rule}: {part.value:.0%} ({part.low:.0%} to {part.high:.0%}) of {whose(who)} "
        f"last {len(rates)} rated queries; {price}.".replace("$", "\\$")
    )


@callback
def answer_card(user: UserId, answer: Tradeoff, source: str, number: int) -> None:
    """Keep one trade-off."""
    Tradeoffs(context().database).record(user, answer, source, number=number)


@callback
def spend_as_i_would(alpha: float) -> None:
    """Set the slider to what the trade-offs say."""
    st.session_state[ALPHA] = round(alpha / STEP) * STEP


def show_willingness(user: UserId) -> None:
    """One trade-off card at a time, and what the answers say up to now."""
    answers = Tradeoffs(context().database).of(user)
    found = fit(answers)
    liking, price = next_card(answers)
    often = f"{1 / (1 + np.exp(-liking)):.0%}"
    st.markdown("**What is a better answer worth to you?**")
    st.markdown(
        f"One LLM's answers you like better {often} of the time. It costs {dollars(price * THOUSAND)} more per 1,000 "
        "queries. Would you use it?".replace("$", "\\$")
    )
    with st.container(horizontal=True, key="playground.card"):
        for label, dearer in (("Yes, it is worth it", True), ("No, the cheaper one", False)):
            st.button(
                label, key=f"playground.card.{len(answers)}.{dearer}", on_click=answer_card,
                args=(user, Tradeoff(liking, price, dearer), "card", len(answers)),
            )  # fmt: skip
    if not found.enough:
        st.caption(f"Not enough answers for a figure ({len(answers)} of {ENOUGH}).")
        return
    middle, low, high = (dollars(each * THOUSAND) for each in found.worth(FOUR_IN_FIVE))
    st.caption(
        f"An answer you like better 4 times in 5 is worth about {middle} ({low} to {high}, 95 %) per 1,000 queries to "
        f"you, from {found.n} answers.".replace("$", "\\$")
    )
    st.button(
        f"Spend as I would (set the slider to {found.alpha:.2f})", key="playground.spend", on_click=spend_as_i_would,
        args=(found.alpha,),
    )  # fmt: skip


def show_price_after(
    user: UserId, token: str, names: tuple[str, str], liking: float, price: tuple[float, float]
) -> None:
    """After a blind choice: was it worth its price? `names` and `price` (dollars) are of the preferred one, then of the
    other, which is cheaper. Asked once a comparison, named by its `token`.
    """
    answered: set[str] = st.session_state.setdefault("playground.priced", set())
    if token in answered:
        return
    more = price[0] - price[1]
    st.markdown(
        f"{names[0]} costs about {dollars(more * THOUSAND)} more per 1,000 such queries than {names[1]}. "
        "Knowing that, would you still take it?".replace("$", "\\$")
    )
    number = len(Tradeoffs(context().database).of(user))

    def reveal(dearer: bool) -> None:
        answer_card(user, Tradeoff(liking, more, dearer), "after a comparison", number)
        answered.add(token)

    with st.container(horizontal=True, key="playground.revealed"):
        st.button(f"Yes, {names[0]}", key=f"playground.priced.yes.{token}", on_click=reveal, args=(True,))
        st.button(f"No, {names[1]}", key=f"playground.priced.no.{token}", on_click=reveal, args=(False,))
