"""A prompt as it was asked and decided, kept in the session until the next one."""

import secrets
import time
from dataclasses import dataclass, replace

import streamlit as st

from core.domain import LLMId, Query, UserId
from db.pricing import Priced, ranked, reply_tokens
from db.routers import RouterVersion
from db.serving import Decision
from pages.parts.context import context

CLEAR_LEAD = 0.8  # posterior lead below which two LLMs cannot be told apart; the routing page draws the same line
STRANGER = UserId("")  # nobody's name: whoever has rated nothing gets what the average user gets


@dataclass(frozen=True)
class Asked:
    """One prompt and its decision. `token` names it in widget keys, `key` in the record; `taste` is the user whose
    taste decided.

    `ranked` is best first at `alpha`; `milliseconds` is what deciding took; `own` says that the person here decided for
    themselves, so that a comparison may follow.
    """

    token: str
    key: str
    query: Query
    taste: UserId
    own: bool
    alpha: float
    allowed: tuple[LLMId, ...]
    decision: Decision
    ranked: tuple[Priced, ...]
    milliseconds: float

    @property
    def pick(self) -> Priced:
        return self.ranked[0]

    @property
    def runner_up(self) -> Priced | None:
        return self.ranked[1] if len(self.ranked) > 1 else None

    @property
    def lead(self) -> float | None:
        """Posterior probability that the pick is truly liked better than the runner-up; None where it is not known.

        The router tells it of the two best liked, which are not the first two once the price counts.
        """
        first_two = [choice.llm for choice in self.decision.choices[:2]]
        shown = [priced.choice.llm for priced in self.ranked[:2]]
        return self.decision.lead if first_two == shown else None

    @property
    def too_close(self) -> bool:
        """Whether the router cannot tell the pick and the runner-up apart."""
        return self.lead is not None and self.lead < CLEAR_LEAD


def decide(query: Query, taste: UserId, *, own: bool, alpha: float, allowed: tuple[LLMId, ...] = ()) -> Asked | None:
    """Ask the router and write the decision down; None where there is no LLM. Raises what the router raises."""
    here = context()
    load_once(here.registry.active())
    began = time.perf_counter()
    decision = here.serving.decide(taste, query, explained=False)
    took = 1000 * (time.perf_counter() - began)
    if not decision.choices:
        return None
    order = ranked(decision, query, reply_tokens(here.database), alpha, allowed)
    key = here.registry.record_decision(
        taste, query, order[0].choice.llm, {choice.llm: choice.probability for choice in decision.choices},
        version=decision.version, propensity=1.0, history_count=decision.ratings,
        source="playground" if own else "playground preview", alpha=alpha,
    )  # fmt: skip
    return Asked(secrets.token_hex(8), key, query, taste, own, alpha, allowed, decision, order, took)


@st.cache_resource(show_spinner=False, max_entries=1)
def load_once(_version: RouterVersion | None) -> None:
    """Load the router and the encoder at a server's first decision, so that its time is that of deciding."""
    router = context().serving.service().router
    # Words nobody used yet: the vector of known ones is in the database, and would leave the encoder unloaded.
    router.predict_proba(STRANGER, [Query.typed(f"Hello {secrets.token_hex(4)}")])


def at(asked: Asked, alpha: float) -> Asked:
    """The same decision at another setting: the router is not asked again."""
    tokens = reply_tokens(context().database)
    return replace(asked, alpha=alpha, ranked=ranked(asked.decision, asked.query, tokens, alpha, asked.allowed))


def override(asked: Asked, llm: LLMId) -> None:
    """Write down that the person took another LLM than the router's pick: it counts as theirs, not as the router's."""
    decision = asked.decision
    context().registry.record_decision(
        asked.taste, asked.query, llm, {choice.llm: choice.probability for choice in decision.choices},
        version=decision.version, propensity=1.0, history_count=decision.ratings, source="playground override",
        alpha=asked.alpha,
    )  # fmt: skip


def dollars(cost: float | None) -> str:
    """A cost in words that keep two digits that count, however small."""
    if cost is None:
        return "price unknown"
    if cost == 0:
        return "free"
    return f"${cost:.2f}" if cost >= 0.1 else f"${cost:.2g}" if cost >= 0.0001 else f"${cost:.1e}"


def show_decision(asked: Asked) -> None:
    """What was decided, before any text: the LLM large, and one line of what the choice rests on."""
    pick, runner_up = asked.pick, asked.runner_up
    with st.container(border=True, key="playground.decision"):
        st.caption(whose(asked))
        st.subheader(pick.choice.name, anchor=False)
        st.markdown(" · ".join(facts(asked)))
        if runner_up is not None and asked.too_close:
            st.caption(
                f"Too close to call: {pick.choice.name} is truly ahead of {runner_up.choice.name} with a probability "
                f"of {asked.lead:.0%}."
            )
        liked = asked.decision.choices[0]
        if liked.llm != pick.choice.llm:
            st.caption(
                f"{liked.name} is liked better ({liked.probability:.0%}), but not by enough for its price at this "
                "setting."
            )


def whose(asked: Asked) -> str:
    """Whose choice this is, and how much is known of them."""
    if asked.decision.version is None:
        return "One ranking for all (no personal router yet)"
    if asked.taste == STRANGER:
        return "Pick for the average user"
    if not asked.decision.ratings:
        return f"{'You have' if asked.own else f'{asked.taste} has'} no ratings yet: this is the average user's pick"
    who = "Pick for you" if asked.own else f"Pick for {asked.taste}"
    return f"{who}, from {asked.decision.ratings} rating{'s' if asked.decision.ratings > 1 else ''}"


def facts(asked: Asked) -> list[str]:
    """Probability, runner-up, cost and time to decide, each short."""
    pick, runner_up = asked.pick, asked.runner_up
    choice = pick.choice
    interval = f" ({choice.low:.0%} to {choice.high:.0%})" if choice.low is not None else ""
    found = [f"**{choice.probability:.0%}**{interval} to be liked best"]
    if runner_up is not None:
        ahead = 100 * (choice.probability - runner_up.choice.probability)
        found.append(f"next {runner_up.choice.name} {runner_up.choice.probability:.0%}, margin {ahead:+.0f} points")
    found.append(f"about {dollars(pick.cost)}".replace("about price", "price").replace("$", "\\$"))
    found.append(f"{asked.milliseconds:.0f} ms to decide")
    return found
