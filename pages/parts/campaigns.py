"""Campaigns as an administrator sees them: which there are, a new one, open and close."""

from typing import Any

import streamlit as st

from core.campaigns import CampaignPlan, Kind, Mode, Reveal, Scale
from db.campaigns import Campaign, Listed
from db.reports import tasks
from pages.parts.context import context
from pages.parts.errors import callback

NO_LIMIT = 0


@callback
def create(by: str) -> None:
    """Open a campaign from what the form holds. What cannot work is said, and the form keeps it."""
    state = st.session_state
    kind = Kind(state["campaigns.kind"])
    plan = CampaignPlan(
        str(state["campaigns.name"]).strip(),
        guidelines=state["campaigns.guidelines"],
        tasks=tuple(state["campaigns.tasks"]),
        overlap=_limit(state["campaigns.overlap"]),
        quota=_limit(state["campaigns.quota"]),
        gold_share=state["campaigns.gold"] / 100,
        repeat_share=state["campaigns.repeats"] / 100,
        criteria=tuple(part.strip() for part in state["campaigns.criteria"].split(",") if part.strip()),
        kind=kind,
        options=2 if kind is Kind.PAIR else int(state["campaigns.options"]),
        scale=Scale(state["campaigns.scale"]),
        mode=Mode(state["campaigns.mode"]),
        reveal=Reveal(state["campaigns.reveal"]),
    )
    context().campaigns.create(plan, by)
    state["settings.notice"] = f"Campaign '{plan.name}' is open; people are asked for it first."


@callback
def set_open(name: str, by: str, open_it: bool) -> None:
    """Let people be asked for it, or not."""
    context().campaigns.set_open(name, by, open=open_it)


def show_campaigns(by: str) -> None:
    """Every campaign with its way to open or close, and the form for a new one."""
    st.caption("People are asked for the newest open campaign first. What was rated stays, whatever is closed.")
    for listed in context().campaigns.list():
        _show_one(listed, by)
    with st.expander("New campaign"):
        _show_form(by)


def _show_one(listed: Listed, by: str) -> None:
    campaign = listed.campaign
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(f"{campaign.plan.name} · {'open' if campaign.open else 'closed'}")
            st.button(
                "Close" if campaign.open else "Open", key=f"campaigns.open.{campaign.id}",
                on_click=set_open, args=(campaign.plan.name, by, not campaign.open),
            )  # fmt: skip
        st.caption(f"{listed.ratings:,} ratings by {listed.people:,} people over {listed.queries:,} queries.")
        st.caption(_described(campaign))


def _described(campaign: Campaign) -> str:
    plan = campaign.plan
    asked = "pairs" if plan.kind is Kind.PAIR else f"{plan.kind.replace('_', ' and ')} of {plan.options}"
    parts = [
        asked, f"{plan.scale} {'outcomes' if plan.scale is Scale.FOUR else 'steps'}", f"{plan.mode} mode",
        f"{plan.overlap} people a query" if plan.overlap else "everybody rates everything",
        f"at most {plan.quota} each" if plan.quota else "no quota",
        f"{plan.gold_share:.0%} gold, {plan.repeat_share:.0%} repeats",
        f"LLMs revealed: {plan.reveal.replace('_', ' ')}",
    ]  # fmt: skip
    if plan.tasks:
        parts.append("tasks: " + ", ".join(plan.tasks))
    return " · ".join(parts)


def _show_form(by: str) -> None:
    with st.form("campaigns.new", border=False):
        st.text_input("Name", key="campaigns.name", max_chars=120)
        st.multiselect("Tasks", tasks(context().database), key="campaigns.tasks", placeholder="All tasks")
        left, right = st.columns(2)
        _choice(left, "What is shown", Kind, "campaigns.kind")
        right.number_input("Of how many responses (best of several)", 3, 9, 4, key="campaigns.options")
        _choice(left, "Scale", Scale, "campaigns.scale")
        _choice(right, "Mode", Mode, "campaigns.mode")
        left.number_input("People a query (0: everybody)", 0, 1000, NO_LIMIT, key="campaigns.overlap")
        right.number_input("Ratings a person at most (0: no limit)", 0, 100_000, NO_LIMIT, key="campaigns.quota")
        left.number_input("Gold, % of pairs", 0, 100, 5, key="campaigns.gold")
        right.number_input("Own repeats, % of pairs", 0, 100, 5, key="campaigns.repeats")
        _choice(st, "LLMs revealed to who rated", Reveal, "campaigns.reveal")
        st.text_input("Criteria in stars, between commas (detailed mode)", key="campaigns.criteria")
        st.text_area("Guidelines (Markdown), shown with the key G", key="campaigns.guidelines")
        st.form_submit_button("Open this campaign", type="primary", on_click=create, args=(by,))


def _choice(place: Any, label: str, kind: Any, key: str) -> None:
    place.selectbox(label, [one.value for one in kind], key=key, format_func=lambda value: value.replace("_", " "))


def _limit(number: float) -> int | None:
    return None if int(number) == NO_LIMIT else int(number)
