"""Data in and out: import a file after a look at what it would do, have LLMs respond, export, and what is here."""

import streamlit as st

from db.demo import SOURCE
from db.demo.loading import load
from db.reports import counts, task_names
from db.sources import sources
from pages.parts.context import context, require
from pages.parts.errors import callback
from pages.parts.exporting import show_export
from pages.parts.generating import show_generate
from pages.parts.importing import show_import

person = require("admin")
here = context()


@callback
def load_demo() -> None:
    """Add the demo world, or what is missing of it."""
    load(here.database)


@callback
def remove(source: str) -> None:
    """Take out what one source brought, but for what people's own ratings rest on."""
    here.store.remove_source(source, by=person.name)
    st.session_state["data.removed"] = source


st.title("Data in and out")
st.subheader("Import")
show_import(person.name)

there = counts(here.database)
if there.queries and there.llms:
    st.subheader("Generate responses")
    show_generate(task_names(here.database), person.name)

if there.ratings:
    st.subheader("Export")
    show_export(task_names(here.database), person.name)

st.subheader("What is here")
found = sources(here.database)
if removed := st.session_state.pop("data.removed", None):
    st.success(f"What '{removed}' brought is gone, but for what people rated here.")
if not found:
    st.info("Nothing is here yet. Import a file above, start from a template, or load the demo world to look around.")
for source in found:
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        simulated = f", {source.simulated:,} of them simulated" if source.simulated else ""
        st.markdown(
            f"**{source.label}** · {source.ratings:,} ratings · {source.queries:,} queries · {source.responses:,} "
            f"responses · {source.users:,} users{simulated}"
        )
        if source.removable:
            with st.popover("Remove", key=f"data.remove.{source.name}"):
                st.markdown("Its ratings and simulated users are deleted. What people rated here stays.")
                st.button("Remove it", key=f"data.remove.sure.{source.name}", on_click=remove, args=(source.name,))
if SOURCE not in {source.name for source in found}:
    st.button("Load demo data", key="data.demo", on_click=load_demo, help="Simulated users and written responses.")
