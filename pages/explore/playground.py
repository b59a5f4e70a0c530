"""Try the router: type a prompt, see the decision for you before any text, and why."""

import pandas as pd
import streamlit as st

from core.domain import LLMId, Query, UserId
from core.errors import PrefRouteError
from core.providers.writing import Writing
from db.decisions import Decisions
from db.models import Role
from db.people import Person
from pages.parts.answers import begin, failed, llm_of, ready, show_answer, show_growing, show_took, show_while_written
from pages.parts.asked import STRANGER, Asked, at, decide, override, show_decision
from pages.parts.charts import choice_chart, height_of
from pages.parts.colours import llm_colours
from pages.parts.comparing import CAUSES, PAIR, Pair, compare, show_pair
from pages.parts.consent import has_agreed
from pages.parts.context import context, require
from pages.parts.drawing import show_chart
from pages.parts.empty import show_nothing_to_rate
from pages.parts.errors import callback
from pages.parts.money import show_slider, show_willingness
from pages.parts.panes import show_query
from pages.parts.reasons import show_reasons
from pages.parts.snippets import show_snippets
from pages.parts.spending import show_spending

ASKED = "playground.asked"
PROMPT = "playground.prompt"
PENDING = "playground.pending"
PROBLEM = "playground.problem"
ANSWER = "playground.answer"
ANSWER_IT, DECIDE = "Answer", "Decide only"
ME, AVERAGE, OTHER = "Me", "The average user", "Another user"


def choose_taste(person: Person) -> tuple[UserId, str]:
    """Whose taste decides, and what to call them."""
    ways = [ME, AVERAGE, OTHER] if person.role.includes(Role.ANALYST) else [ME, AVERAGE]
    with st.container(horizontal=True, vertical_alignment="bottom", key="playground.who"):
        way = st.segmented_control("Route as", ways, default=ME, required=True, key="playground.way")
        if way == OTHER:
            listed = [found.person for found in context().people.list() if found.person.name != person.name]
            labels = {each.name: f"{each.name} (simulated)" if each.simulated else each.name for each in listed}
            chosen = st.selectbox(
                "User", list(labels), key="playground.other", format_func=labels.__getitem__, width=280
            )
            if chosen is not None:
                return chosen, labels[chosen]
    return (STRANGER, "the average user") if way == AVERAGE else (person.name, "you")


def choose_llms() -> tuple[LLMId, ...]:
    """Which LLMs may be picked: all, or those named; what cannot be asked says why."""
    providers = context().providers
    labels = {}
    for llm in context().store.llms():
        kind = providers.availability(llm).kind
        labels[llm.llm_id] = f"{llm.name or llm.llm_id} ({CAUSES[kind]})" if kind else llm.name or llm.llm_id
    chosen = st.multiselect(
        "Allowed LLMs", list(labels), key="playground.allowed", format_func=labels.__getitem__, placeholder="All"
    )
    return tuple(chosen)


def submit() -> None:
    """Take the prompt from the field; what is wrong with it is said, and the text is kept."""
    typed = st.session_state.get(PROMPT) or ""
    if typed.strip():
        st.session_state[PENDING] = typed


def leave_former() -> None:
    """Put away what the former prompt led to; what is still being written would be paid for and never read."""
    st.session_state.pop(PROBLEM, None)
    _, writing = st.session_state.pop(ANSWER, ("", None))
    pair: Pair | None = st.session_state.pop(PAIR, None)
    for under_way in [*([writing] if writing else []), *(pair.writings if pair else [])]:
        under_way.stop()


def answer_pending(taste: UserId, own: bool, alpha: float, allowed: tuple[LLMId, ...], at_once: bool) -> None:
    """Decide on what was typed last, once; with `at_once` the pick then answers, unless it is too close to call."""
    typed = st.session_state.pop(PENDING, None)
    if typed is None:
        return
    leave_former()
    try:
        with st.spinner("Deciding"):
            asked = decide(Query.typed(typed), taste, own=own, alpha=alpha, allowed=allowed)
    except PrefRouteError as error:
        st.session_state[PROBLEM] = (str(error), typed)
        return
    st.session_state[ASKED] = asked
    if asked is not None and at_once and ready(asked.pick) and not may_propose(asked):
        answer(asked)


def may_propose(asked: Asked) -> bool:
    """Whether a comparison is the better answer: the first two cannot be told apart, and both can be asked."""
    return asked.own and asked.too_close and ready(asked.runner_up)


def answer(asked: Asked) -> None:
    """Let the pick answer, and where it fails the next one. What was answered is not asked for again."""
    token, writing = st.session_state.get(ANSWER, ("", None))
    if token == asked.token and writing is not None and not failed(writing):
        return
    llms = [llm_of(priced.choice.llm) for priced in asked.ranked if ready(priced)]
    st.session_state[ANSWER] = (asked.token, begin(asked, llms))


def show_why(asked: Asked) -> None:
    """All LLMs with their intervals, and the own ratings that moved the choice; worked out when asked for."""
    if not st.toggle("Why this LLM?", key=f"playground.why.{asked.token}"):
        return
    with st.spinner("Looking for reasons"):
        decision = context().serving.decide(asked.taste, asked.query)
    table = pd.DataFrame(decision.choices).drop(columns="llm").rename(columns={"name": "llm"})
    show_chart(
        choice_chart(table, llm_colours(here.store.llms())), table, "playground.choices",
        alt_text="Probability of each LLM, beside the average user's", height=height_of(len(table)),
    )  # fmt: skip
    interval = ", 95 % interval of the posterior" if decision.lead is not None else ""
    st.caption(
        f"Dot in the LLM's colour and blue line: this choice{interval}, from {decision.ratings} ratings. "
        "Grey tick: the average user. "
        f"Router: {decision.service}."
    )
    show_reasons(decision)


def show_offers(asked: Asked) -> None:
    """Nothing is written yet: what can be asked for, and why not where it cannot."""
    available = here.providers.availability(llm_of(asked.pick.choice.llm))
    if not available.ready:
        st.info(f"Decision only. {available.reason}")
    if may_propose(asked):
        st.info("The first two cannot be told apart for you yet. Compare them blind, and the router learns from it.")
    with st.container(horizontal=True, key="playground.offers"):
        show_compare(asked, None, primary=may_propose(asked))
        if available.ready:
            st.button(
                f"Let {asked.pick.choice.name} answer", key=f"playground.go.{asked.token}", on_click=callback(answer),
                args=(asked,),
            )  # fmt: skip


def show_compare(asked: Asked, seen: Writing | None, *, primary: bool = False) -> None:
    """The way into a comparison, for the person's own prompts, once they agreed to what is stored of a rating."""
    if not (asked.own and ready(asked.pick) and ready(asked.runner_up)):
        return
    if not has_agreed(person):
        st.page_link("pages/annotate/welcome.py", label="Agree to what is stored, then compare with the runner-up")
    else:
        label = "Compare with the runner-up" if seen else "Compare with the runner-up, blind"
        st.button(
            label, key=f"playground.compare.{asked.token}", on_click=compare, args=(person.name, asked, seen),
            type="primary" if primary else "secondary",
        )  # fmt: skip


def show_written(asked: Asked, writing: Writing) -> None:
    """The answer as it comes, then what it took and what can be done with it."""
    with st.container(border=True, key="playground.answer"):
        st.subheader(writing.llm.name or writing.llm.llm_id, anchor=False)
        if not writing.finished:
            show_growing(writing)
            show_while_written(writing)
            st.button("Stop", key=f"playground.stop.{asked.token}", on_click=callback(writing.stop))
            return
        show_answer(writing)
        if writing.failure is not None:
            st.error(f"{writing.failure}")
        else:
            show_took(writing, asked.pick.cost if writing.llm.llm_id == asked.pick.choice.llm else None)
    with st.container(horizontal=True, vertical_alignment="center", key="playground.after"):
        if failed(writing):
            st.button("Try again", key=f"playground.go.{asked.token}", on_click=callback(answer), args=(asked,))
        else:
            show_thumbs(asked, writing)
            show_compare(asked, writing)
            show_others(asked, writing)


@callback
def keep_thumbs(asked: Asked, key: str) -> None:
    """Keep what a thumb said of the decision; the last one counts."""
    said = st.session_state.get(key)
    if said is not None:
        Decisions(context().database).thumbs(asked.key, asked.taste, up=bool(said))


def show_thumbs(asked: Asked, writing: Writing) -> None:
    """A thumb for the router's own pick of one's own prompt; another LLM's answer tells nothing about the decision."""
    if asked.own and writing.llm.llm_id == asked.pick.choice.llm:
        key = f"playground.thumbs.{asked.token}"
        st.feedback("thumbs", key=key, on_change=keep_thumbs, args=(asked, key))


@callback
def answer_instead(asked: Asked, key: str) -> None:
    """Let another LLM answer, and write down that the person chose so."""
    chosen: LLMId | None = st.session_state.get(key)
    if chosen is not None:
        override(asked, chosen)
        st.session_state[ANSWER] = (asked.token, begin(asked, [llm_of(chosen)]))


def show_others(asked: Asked, writing: Writing) -> None:
    """The other LLMs that can be asked, for one's own prompts."""
    others = {
        priced.choice.llm: priced.choice.name
        for priced in asked.ranked
        if priced.choice.llm != writing.llm.llm_id and ready(priced)
    }
    if asked.own and others:
        key = f"playground.other.{asked.token}.{writing.llm.llm_id}"
        st.selectbox(
            "Use another LLM", list(others), None, key=key, format_func=others.__getitem__, on_change=answer_instead,
            args=(asked, key), placeholder="Use another LLM", label_visibility="collapsed", width=240,
        )  # fmt: skip


person = require("rater")
here = context()
st.title("Try the router")
if not here.store.llms():
    show_nothing_to_rate()
    st.stop()
if here.registry.active() is None:
    st.info("Using one ranking for all: there is no personal router yet. Train one to see personal picks.")
    st.page_link("pages/manage/training.py", label="Go to Training and routers")

taste, who = choose_taste(person)
with st.expander("Cost, and what may be picked"):
    alpha = show_slider(taste, who)
    show_spending(taste, who, alpha)
    if taste == person.name:
        show_willingness(person.name)
    allowed = choose_llms()
at_once = st.segmented_control("Then", [ANSWER_IT, DECIDE], default=ANSWER_IT, required=True, key="playground.then")
# Not submit_mode="disable" or "stop": the field then waits for the end of a run of the whole page, misses it where a
# fragment ends in the same moment, and stays closed for good.
st.chat_input("Anything you would ask an LLM", key=PROMPT, on_submit=submit)
answer_pending(taste, taste == person.name, alpha, allowed, at_once == ANSWER_IT)

if problem := st.session_state.get(PROBLEM):
    message, typed = problem
    st.error(f"{message} Nothing was sent; your text is kept below.")
    st.text_area("Your text", typed, height=160, key="playground.kept")
    st.stop()
asked: Asked | None = st.session_state.get(ASKED)
if asked is None:
    st.caption("Type a prompt below. You see which LLM the router picks before any text, and why.")
    st.stop()
pair: Pair | None = st.session_state.get(PAIR)
token, writing = st.session_state.get(ANSWER, ("", None))
if asked.alpha != alpha and pair is None and writing is None:
    asked = st.session_state[ASKED] = at(asked, alpha)

show_query(asked.query)
show_decision(asked)
if pair is not None:
    show_pair(pair)
elif writing is not None and token == asked.token:
    show_written(asked, writing)
else:
    show_offers(asked)
show_why(asked)
with st.expander("Use it in code"):
    show_snippets(person.name if asked.taste == STRANGER else asked.taste, asked.query.text, asked.alpha)
