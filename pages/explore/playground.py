"""Try the router: type a prompt, see the decision for you before any text, and why."""

import streamlit as st

from core.domain import Query, UserId
from core.errors import PrefRouteError
from db.models import Role
from db.people import Person
from pages.parts.asked import STRANGER, Asked, at, decide, show_decision
from pages.parts.charts import choice_chart, height_of
from pages.parts.context import context, require
from pages.parts.empty import show_nothing_to_rate
from pages.parts.money import show_slider
from pages.parts.panes import show_query
from pages.parts.reasons import show_reasons
from pages.parts.snippets import show_snippets

ASKED = "playground.asked"
PROMPT = "playground.prompt"
PENDING = "playground.pending"
PROBLEM = "playground.problem"
ME, AVERAGE, OTHER = "Me", "The average user", "Another user"


def choose_taste(person: Person) -> tuple[UserId, str]:
    """Whose taste decides, and what to call them."""
    ways = [ME, AVERAGE, OTHER] if person.role.includes(Role.ANALYST) else [ME, AVERAGE]
    with st.container(horizontal=True, vertical_alignment="bottom", key="playground.who"):
        way = st.segmented_control("Route as", ways, default=ME, required=True, key="playground.way")
        if way == OTHER:
            listed = [found.person for found in context().people.list() if found.person.name != person.name]
            labels = {each.name: f"{each.name} (simulated)" if each.simulated else each.name for each in listed}
            chosen = st.selectbox("User", list(labels), key="playground.other", format_func=labels.__getitem__)
            if chosen is not None:
                return chosen, labels[chosen]
    return (STRANGER, "the average user") if way == AVERAGE else (person.name, "you")


def submit() -> None:
    """Take the prompt from the field; what is wrong with it is said under it, and the field keeps it."""
    typed = st.session_state.get(PROMPT) or ""
    if typed.strip():
        st.session_state[PENDING] = typed


def answer_pending(taste: UserId, own: bool, alpha: float) -> None:
    """Decide on what was typed last, once."""
    typed = st.session_state.pop(PENDING, None)
    if typed is None:
        return
    st.session_state.pop(PROBLEM, None)
    try:
        with st.spinner("Deciding"):
            st.session_state[ASKED] = decide(Query.typed(typed), taste, own=own, alpha=alpha)
    except PrefRouteError as error:
        st.session_state[PROBLEM] = (str(error), typed)


def show_why(asked: Asked) -> None:
    """All LLMs with their intervals, and the own ratings that moved the choice; worked out when asked for."""
    if not st.toggle("Why this LLM?", key=f"playground.why.{asked.token}"):
        return
    import pandas as pd

    with st.spinner("Looking for reasons"):
        decision = context().serving.decide(asked.taste, asked.query)
    table = pd.DataFrame(decision.choices).drop(columns="llm").rename(columns={"name": "llm"})
    st.altair_chart(
        choice_chart(table), alt="Probability of each LLM, beside the average user's", height=height_of(len(table))
    )
    interval = ", 95 % interval of the posterior" if decision.lead is not None else ""
    st.caption(
        f"Blue: this choice{interval}, from {decision.ratings} ratings. Grey tick: the average user. "
        f"Router: {decision.service}."
    )
    show_reasons(decision)


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
alpha = show_slider(taste, who)
prompt = st.chat_input("Anything you would ask an LLM", key=PROMPT, submit_mode="stop", on_submit=submit)
answer_pending(taste, taste == person.name, alpha)

if problem := st.session_state.get(PROBLEM):
    message, typed = problem
    st.error(f"{message} Nothing was sent; your text is kept below.")
    st.text_area("Your text", typed, height=160, key="playground.kept")
    st.stop()
asked: Asked | None = st.session_state.get(ASKED)
if asked is None:
    st.caption("Type a prompt below. You see which LLM the router picks, and why, before any text.")
    st.stop()
if asked.alpha != alpha:
    asked = st.session_state[ASKED] = at(asked, alpha)

show_query(asked.query)
show_decision(asked)
show_why(asked)
with st.expander("Use it in code"):
    show_snippets(person.name if asked.taste == STRANGER else asked.taste, asked.query.text, asked.alpha)
