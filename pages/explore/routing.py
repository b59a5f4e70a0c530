"""Who gets which LLM: one person and one query with the reasons and what would change them, or everyone at once."""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.domain import Outcome, Query, UserId
from core.outcomes import Said
from db.models import Role
from db.people import Person
from db.pricing import ranked, reply_tokens
from db.reports import ratings_per_user, unrated_queries
from db.serving import Choice, Decision
from pages.parts.asked import dollars
from pages.parts.charts import choice_chart, height_of
from pages.parts.colours import llm_colours
from pages.parts.context import context, require
from pages.parts.drawing import show_chart
from pages.parts.drift import show_drift
from pages.parts.empty import show_nothing_to_rate
from pages.parts.everyone import show_everyone, show_tasks
from pages.parts.money import show_slider
from pages.parts.reasons import show_flips, show_reasons, show_style, style_of
from pages.parts.routers import name_of
from pages.parts.separable import grounds, last_measured, reading
from pages.parts.track_record import show_track_record

FEW_RATINGS = 20
CLEAR_LEAD = 0.8
LEAST_SHOWN = 0.01
OFTEN_BAD = 0.25
ONE, EVERYONE = "One person", "Everyone"


def query_label(query: Query) -> str:
    """One line in the picker."""
    words = " ".join(query.turns[-1].split())
    return f"{query.task}: {words}"[:120] if query.task else words[:120]


def show_standing(user: str, decision: Decision) -> None:
    """How personal this answer is, in a sentence, where that needs saying."""
    measured = last_measured()
    if decision.version is None and measured is None:
        st.warning("No router yet: this is one ranking for all. Train a router to see personal picks.")
        st.page_link("pages/manage/training.py", label="Go to Training and routers")
    elif decision.version is None:
        st.info("No personal router serves: this is one ranking for all.")
    elif not decision.ratings:
        st.info(f"{user} has no ratings yet, so this is what the average user gets.")
    elif decision.ratings < FEW_RATINGS:
        st.info(f"Early days: {decision.ratings} of {FEW_RATINGS} ratings. The picks move with each further rating.")
    if measured is not None:
        what, report = measured
        st.caption(f"{what}: {reading(report['standings'][0]['gain'])} {grounds(report)}")


def show_figures(decision: Decision) -> None:
    """The pick, the average user's pick, and how close the runner-up is."""
    choices = decision.choices
    top, usual = choices[0], max(choices, key=lambda choice: choice.average)
    first, second, third = st.columns(3)
    show_figure(first, "Pick", top.name, share(top))
    show_figure(second, "The average user's pick", usual.name, f"{usual.average:.0%}")
    if len(choices) > 1:
        show_figure(third, "Runner-up", choices[1].name, share(choices[1]) + verdict(decision.lead))


def verdict(lead: float | None) -> str:
    """Whether the posterior can tell the first two apart."""
    if lead is None:
        return ""
    return ", clearly behind" if lead >= CLEAR_LEAD else ", too close to call"


def show_figure(column: DeltaGenerator, label: str, name: str, detail: str) -> None:
    """A name large once, with its figure."""
    column.caption(label)
    column.subheader(name, anchor=False)
    column.caption(detail)


def share(choice: Choice) -> str:
    """A probability with its interval, where there is one."""
    interval = f" ({choice.low:.0%} to {choice.high:.0%})" if choice.low is not None else ""
    return f"{choice.probability:.0%}{interval}"


def show_choices(user: str, decision: Decision) -> None:
    """Every LLM with its interval and the average user's mark, and the same as a table with prices."""
    table = pd.DataFrame(decision.choices).drop(columns="llm").rename(columns={"name": "llm"})
    show_chart(
        choice_chart(table, llm_colours(context().store.llms())), table, "routing.choices",
        alt_text=f"Probability of each LLM for {user}, beside the average user's", height=height_of(len(table)),
    )  # fmt: skip
    interval = ", 95 % interval of the posterior" if decision.lead is not None else ""
    st.caption(
        f"Dot in the LLM's colour and blue line: {user}{interval}, from {decision.ratings} ratings. Grey tick: the "
        "average user. "
        f"Router: {decision.service}."
    )
    if decision.rungs:
        parts = [f"{name_of(kind)} {part:.0%}" for kind, part in decision.rungs if part >= LEAST_SHOWN]
        st.caption(
            f"Who made this choice: {', '.join(parts)}. "
            "The weights were settled on held-out ratings of people who had rated about as much."
        )
    with st.expander("The same as a table, with prices"):
        shown = table.assign(**{column: 100 * table[column] for column in ("probability", "low", "high", "average")})
        percent = {
            name: st.column_config.NumberColumn(format="%.1f %%") for name in ("probability", "low", "high", "average")
        }
        price = {
            "input_price": st.column_config.NumberColumn("$ per million tokens in", format="%.2f"),
            "output_price": st.column_config.NumberColumn("$ per million tokens out", format="%.2f"),
        }
        st.dataframe(shown, hide_index=True, column_config=percent | price)


def show_outcomes(user: str, decision: Decision) -> None:
    """What this person would say of the first two side by side, where the router in service knows that."""
    if decision.told is None:
        return
    tie, bad = decision.told[Outcome.TIE], decision.told[Outcome.BOTH_BAD]
    st.caption(
        f"Shown the first two side by side, {user} would call it a tie with {_with_interval(tie)} and call both bad "
        f"with {_with_interval(bad)}. 95 % intervals over what the habit may be, from {decision.ratings} ratings."
    )
    if bad.probability >= OFTEN_BAD:
        st.warning(f"None of these LLMs may be good enough here: with {bad.probability:.0%} both are called bad.")


def _with_interval(said: Said) -> str:
    return f"{said.probability:.0%} ({said.low:.0%} to {said.high:.0%})"


def show_setting(decision: Decision, query: Query, alpha: float) -> None:
    """Which LLM is served once cost counts, where that is another than the one liked best."""
    order = ranked(decision, query, reply_tokens(context().database), alpha)
    served, liked = order[0], next(priced for priced in order if priced.choice.llm == decision.choices[0].llm)
    if served.choice.llm != liked.choice.llm:
        said = (
            f"At this setting {served.choice.name} is served, for about {dollars(served.cost)} a query instead of "
            f"{dollars(liked.cost)} by {liked.choice.name}; it is liked best with {served.choice.probability:.0%}."
        )
        st.info(said.replace("$", "\\$"))


def show_one_person(person: Person) -> None:
    """One person and one query: the ranked LLMs, the average user's, why, and what would change it."""
    table = ratings_per_user(here.database)
    simulated = dict(zip(table["user"], table["simulated"], strict=True))
    others = [name for name in simulated if name != person.name] if person.role.includes(Role.ANALYST) else []

    def user_label(name: str) -> str:
        """A name with what must be said about it."""
        if name == person.name:
            return f"{name} (you)"
        return f"{name} (simulated)" if simulated.get(name) else name

    left, right = st.columns([1, 2])
    chosen = left.selectbox("User", [person.name, *others], key="routing.user", format_func=user_label)
    unrated = unrated_queries(here.database, UserId(chosen), limit=200)
    picked: Query | None = right.selectbox(
        "A query they have not rated", unrated, key="routing.query", format_func=query_label
    )
    typed = st.text_area(
        "Or type a query", key="routing.typed", max_chars=8000, height=80, placeholder="Anything you would ask an LLM"
    )
    query = Query.typed(typed) if typed.strip() else picked
    if query is None:
        if table["ratings"].sum():
            st.info(f"No query with responses is left that {user_label(chosen)} has not rated. Type one above.")
        else:
            show_nothing_to_rate()
        return
    with st.spinner("Deciding"):
        decision = here.serving.decide(UserId(chosen), query)
    if len(decision.choices) == 0:
        show_nothing_to_rate()
        return
    own = chosen == person.name
    show_standing(user_label(chosen), decision)
    show_figures(decision)
    show_choices(user_label(chosen), decision)
    show_outcomes("you" if own else user_label(chosen), decision)
    if decision.version is not None:
        show_setting(decision, query, show_slider(UserId(chosen), "you" if own else chosen))
        show_track_record(UserId(chosen), own=own)
        show_drift(UserId(chosen), person)
    show_reasons(decision)
    if decision.version is not None:
        style = style_of(UserId(chosen))
        show_flips(decision, query, style)
        show_style(style, own=own)
        show_tasks(UserId(chosen))


person = require("rater")
here = context()
st.title("Who gets which LLM")
views = [ONE, EVERYONE] if person.role.includes(Role.ANALYST) else [ONE]
view = st.segmented_control("Show", views, default=ONE, required=True, key="routing.view") if len(views) > 1 else ONE
if view == EVERYONE:
    show_everyone(person.name)
else:
    show_one_person(person)
