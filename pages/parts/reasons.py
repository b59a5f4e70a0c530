"""Why this LLM, and what would change it: the person's own ratings that moved the choice, the nearest rated queries,
their taste in style, and what flips the pick.
"""

import numpy as np
import pandas as pd
import streamlit as st

from core.domain import LLMId, Outcome, Query, UserId
from core.explain import flip_by_cost
from core.style_profile import ENOUGH, StyleEffect
from db.pricing import expected_costs, reply_tokens
from db.serving import Decision
from db.styles import profile
from pages.parts.context import context

MOST_SHOWN = 8
SNIPPET = 90
NEAR = 0.25  # cosine below which a query does not read alike in any way that a person would call so


def show_reasons(decision: Decision) -> None:
    """A table of the ratings that weighed most, called what they are; a sentence where there are none."""
    st.subheader("Ratings that weighed most")
    if not decision.reasons:
        st.caption("No own rating took part in this choice.")
        return
    top = decision.choices[0].name
    rows = []
    for reason in decision.reasons[:MOST_SHOWN]:
        what = {
            "They said": said(decision, reason.llm_a, reason.llm_b, reason.outcome),
            "Effect": 100 * reason.effect,
            "Attention": 100 * reason.attention,
        }
        rows.append(what | {"On": snippet(reason.query)})
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "Effect": st.column_config.NumberColumn(
                f"Moved {top} by", format="%+.1f points", help="Its probability with this rating minus without it."
            ),
            "Attention": st.column_config.NumberColumn(
                format="%.1f %%", help="Where the network looked when it formed its first guess; not proof of cause."
            ),
        },
        alt=f"The own ratings that moved {top} most, with their effect and the network's attention",
    )
    st.caption(
        "Moved by: leave-one-out, the choice worked out anew without that rating. Attention: where the network looked, "
        f"not proof of cause. {len(decision.reasons)} ratings in all."
    )
    near = [each for each in decision.nearest if each.cosine >= NEAR]
    if near:
        st.markdown("**Their rated queries that read most like this one**")
        st.dataframe(
            pd.DataFrame([
                {"They said": said(decision, n.llm_a, n.llm_b, n.outcome), "Alike": n.cosine, "On": snippet(n.query)}
                for n in near
            ]),
            hide_index=True,
            column_config={"Alike": st.column_config.NumberColumn(format="%.2f", help="Cosine of the text vectors.")},
            alt="The rated queries nearest to this one, and what was said about them",
        )  # fmt: skip


def show_flips(decision: Decision, query: Query, style: tuple[StyleEffect, ...]) -> None:
    """What would change the pick: the smallest cost weight, one rating fewer, or shorter answers."""
    if len(decision.choices) < 2:
        return
    st.subheader("What would change it", anchor=False)
    for line in (cost_line(decision, query), rating_line(decision), length_line(decision, style)):
        if line:
            st.markdown(f"- {line}")


def cost_line(decision: Decision, query: Query) -> str:
    """The smallest setting of taste or cost that serves another LLM."""
    choices = decision.choices
    costs = expected_costs([(choice.llm, choice) for choice in choices], [query], reply_tokens(context().database))[0]
    if not np.isfinite(costs).any():
        return "Cost: no price is known, so no cost weight changes it."
    flip = flip_by_cost([choice.probability for choice in choices], costs)
    if flip is None:
        return f"Cost: {choices[0].name} is already the cheapest, so no cost weight changes it."
    at = "a cost weight just above 0" if flip.alpha < 0.005 else f"a cost weight above {flip.alpha:.2f}"
    return f"Cost: {at} serves {choices[flip.llm].name} instead (0 is taste alone, 1 the cheapest)."


def rating_line(decision: Decision) -> str:
    """Whether one rating decides."""
    if not decision.reasons:
        return ""
    deciding = [reason for reason in decision.reasons if reason.instead is not None]
    if not deciding:
        return f"One rating: none of the {len(decision.reasons)} decides alone; without any one of them the pick stays."
    first = deciding[0]
    names = {choice.llm: choice.name for choice in decision.choices}
    more = f" ({len(deciding)} ratings would each do it)" if len(deciding) > 1 else ""
    return (
        f"One rating: without “{said(decision, first.llm_a, first.llm_b, first.outcome)}” "
        f"on “{snippet(first.query, 50)}” it would be {names.get(first.instead or LLMId(''), first.instead)}{more}."
    )


def length_line(decision: Decision, style: tuple[StyleEffect, ...]) -> str:
    """How much shorter or longer the runner-up's answers would have to be, where a taste in length is clear."""
    length = next((effect for effect in style if "words" in effect.name), None)
    if length is None or not length.clear:
        return ""
    first, second = decision.choices[:2]
    words = 100 * float(np.log(first.probability / max(second.probability, 1e-12))) / abs(length.logits)
    way = "longer" if length.logits > 0 else "shorter"
    return f"Length: if {second.name} answered about {words:,.0f} words {way}, all else equal, it would draw level."


def show_style(style: tuple[StyleEffect, ...], *, own: bool) -> None:
    """A person's taste in how answers are written, each with its number and interval."""
    st.subheader("Taste in style", anchor=False)
    if not style:
        st.caption(f"Not enough data: at least {ENOUGH} ratings whose answers differ in length or format are needed.")
        return
    for effect in style:
        st.markdown(f"- {style_sentence(effect, own=own)}")
    st.caption(
        "What it adds to an answer's chance in an even pair, apart from which LLM wrote it and from what the average "
        "person thinks of that LLM; 95 % intervals (Laplace). Where an LLM always writes so, the two cannot be told "
        "apart and the interval is wide."
    )


def style_sentence(effect: StyleEffect, *, own: bool) -> str:
    """One trait in words."""
    figures = f"{100 * effect.points:+.0f} points ({100 * effect.low:+.0f} to {100 * effect.high:+.0f}), n = {effect.n}"
    if not effect.clear:
        return f"{effect.name[0].upper()}{effect.name[1:]}: {figures}; too close to call."
    if "100 more words" in effect.name and effect.points < 0:
        worth, least, most = (-100 * points for points in (effect.points, effect.high, effect.low))
        return (
            f"{'You' if own else 'They'} would give up about {worth:.0f} points of chance ({least:.0f} to {most:.0f}) "
            f"for 100 fewer words in an answer, n = {effect.n}."
        )
    return f"{effect.name[0].upper()}{effect.name[1:]}: {figures}."


def style_of(user: UserId) -> tuple[StyleEffect, ...]:
    """The style profile of a person as of now."""
    here = context()
    return profile(here.database, here.serving, user)


def said(decision: Decision, llm_a: LLMId, llm_b: LLMId, outcome: Outcome) -> str:
    """A rating in words."""
    names = {choice.llm: choice.name for choice in decision.choices}
    a, b = names.get(llm_a, llm_a), names.get(llm_b, llm_b)
    return {
        Outcome.A: f"{a} over {b}", Outcome.B: f"{b} over {a}",
        Outcome.TIE: f"{a} and {b}: tie", Outcome.BOTH_BAD: f"{a} and {b}: both bad",
    }[outcome]  # fmt: skip


def snippet(query: Query, most: int = SNIPPET) -> str:
    """The beginning of a query's last turn."""
    return " ".join(query.turns[-1].split())[:most]
