"""LLMs and API keys as an administrator sees them: where an LLM is asked, what it costs, whether it answers."""

import time
from dataclasses import replace

import streamlit as st

from core.domain import LLM, LLMId
from core.errors import InvalidInput
from core.price_table import listed, priced
from db.catalogue import Catalogue, find
from db.keys import ApiKeys, Scope
from pages.parts.context import context
from pages.parts.errors import callback

NEW = "A new LLM"


@callback
def save(by: str) -> None:
    """Register or change what the form holds."""
    state = st.session_state
    chosen, catalogue = state["llms.chosen"], Catalogue(context().database)
    values = {name: state[f"llms.{name}.{chosen}"] for name in ("name", "family", "description", "endpoint")}
    prices = {name: state[f"llms.{name}.{chosen}"] for name in ("input_price", "output_price")}
    if chosen == NEW:
        key = str(state["llms.id"]).strip()
        catalogue.add(LLM(LLMId(key), **values, **prices), by=by)
    else:
        key = chosen
        catalogue.edit(replace(find(catalogue.list(), chosen), **values, **prices), by=by)
    state["settings.notice"] = f"Saved {key}."


@callback
def fill_prices(by: str) -> None:
    """Give LLMs without a price the one on the shipped list."""
    filled = Catalogue(context().database).fill_prices(by=by)
    st.session_state["settings.notice"] = f"Filled in the prices of {len(filled)} LLM{'' if len(filled) == 1 else 's'}."


@callback
def test(llm: LLM) -> None:
    """One short call; what came back, or why nothing did, is said. A key is never shown."""
    started = time.perf_counter()
    context().providers.test(llm)
    st.session_state["settings.notice"] = f"{llm.name or llm.llm_id} answered in {time.perf_counter() - started:.1f} s."


def show_llms(by: str) -> None:
    """All of them in a table, and one to register, change or test."""
    known = Catalogue(context().database).list()
    available = {llm.llm_id: context().providers.availability(llm) for llm in known}
    if known:
        st.dataframe(
            [
                {"LLM": llm.llm_id, "name": llm.name, "endpoint": llm.endpoint, "$ in": llm.input_price,
                 "$ out": llm.output_price, "can be asked": available[llm.llm_id].reason or "yes"}
                for llm in known
            ],
            hide_index=True, alt="LLMs, their endpoints and prices per million tokens",
        )  # fmt: skip
    st.caption("Prices are in dollars per million tokens. Keys come from the environment and are never stored here.")
    if missing := priced(known):
        st.button(
            f"Fill in {len(missing)} missing price{'s' if len(missing) > 1 else ''}", key="llms.fill",
            on_click=fill_prices, args=(by,),
            help="From the price list that is shipped, with its source and date. Prices that are there stay.",
        )  # fmt: skip
    with st.container(border=True):
        chosen = st.selectbox("LLM", [NEW, *(llm.llm_id for llm in known)], key="llms.chosen")
        shown = LLM(LLMId("new")) if chosen == NEW else find(known, chosen)
        _show_form(chosen, shown, by)
        if chosen != NEW:
            ready = available[shown.llm_id]
            st.button(
                "Test it", key="llms.test", on_click=test, args=(shown,), disabled=not ready.ready,
                help=ready.reason or "Sends one short message.",
            )  # fmt: skip


def _show_form(chosen: str, shown: LLM, by: str) -> None:
    # Keys carry the LLM: a form must not keep what was typed for another one.
    with st.form("llms.form", border=False):
        if chosen == NEW:
            st.text_input("Id", key="llms.id", max_chars=120)
        left, right = st.columns(2)
        left.text_input("Name", shown.name, key=f"llms.name.{chosen}")
        right.text_input("Family", shown.family, key=f"llms.family.{chosen}")
        st.text_area("Description (routers read it of an LLM never rated)", shown.description, height=80,
                     key=f"llms.description.{chosen}")  # fmt: skip
        st.text_input(
            "Endpoint", shown.endpoint, key=f"llms.endpoint.{chosen}",
            placeholder="provider/model, or http://host:port/v1#model",
        )  # fmt: skip
        left, right = st.columns(2)
        left.number_input("$ per million tokens in", 0.0, value=shown.input_price, key=f"llms.input_price.{chosen}")
        right.number_input("$ per million tokens out", 0.0, value=shown.output_price, key=f"llms.output_price.{chosen}")
        if price := listed(shown):
            st.caption(f"List price: {price.input:g} in, {price.output:g} out, as of {price.as_of}. {price.source}.")
        st.form_submit_button("Save", type="primary", on_click=save, args=(by,))


@callback
def make_key(by: str) -> None:
    """A key for the endpoint, shown once."""
    state = st.session_state
    if not str(state["keys.name"]).strip():
        raise InvalidInput("A key needs a name, so that it can be told from others. Nothing was made.")
    scopes = state["keys.scopes"] or list(Scope)
    state["keys.made"] = ApiKeys(context().database).create(state["keys.name"], scopes, int(state["keys.limit"]), by)[0]


@callback
def revoke_key(name: str, by: str) -> None:
    """End a key; effective with the next request."""
    ApiKeys(context().database).revoke(name, by)


def show_keys(by: str) -> None:
    """Keys of the endpoint: which there are, and a new one."""
    if key := st.session_state.pop("keys.made", None):
        st.success("Keep this key now; it is shown only once.")
        st.code(key, language=None)
    for one in ApiKeys(context().database).list():
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            ended = " · revoked" if one.revoked_at else ""
            st.text(f"{one.name} · {one.hint}… · {', '.join(one.scopes)} · {one.per_minute} a minute{ended}")
            if not one.revoked_at:
                st.button("Revoke", key=f"keys.revoke.{one.name}", on_click=revoke_key, args=(one.name, by))
    with st.form("keys.new", border=True):
        st.text_input("Name", key="keys.name", max_chars=120, placeholder="The program that will use it")
        st.multiselect("May", [scope.value for scope in Scope], key="keys.scopes", placeholder="Everything")
        st.number_input("Requests a minute", 1, 100_000, 600, key="keys.limit")
        st.form_submit_button("Make a key", type="primary", on_click=make_key, args=(by,))
