"""Responses that LLMs have not written yet: which, what they cost, asking for them, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.domain import LLMId
from core.errors import InvalidInput
from core.generation import Estimate, Limits, check_prices
from db.generations import GENERATION, Generations
from db.runs import Run
from db.worker import spawn_worker
from pages.parts.context import context
from pages.parts.errors import callback

ALL_TASKS = "All tasks"
USUAL = Limits()
STATUS = {
    "queued": "Waiting for a worker", "running": "Running", "done": "Done", "failed": "Failed",
    "cancelled": "Cancelled", "interrupted": "Interrupted: its worker died",
}  # fmt: skip
_FIGURES = {
    "expected": st.column_config.NumberColumn("Expected, $", format="%.4f"),
    "at_most": st.column_config.NumberColumn("At most, $", format="%.4f"),
    "cost": st.column_config.NumberColumn("Cost, $", format="%.4f"),
}


def generations() -> Generations:
    """What can be generated here."""
    here = context()
    return Generations(here.database, here.providers, here.runs)


def show_generate(tasks: Sequence[str], person: str) -> None:
    """Choose, see the cost, ask; or watch the run there is, and what came of the last one."""
    context().runs.reap()
    active = context().runs.active(GENERATION)
    if active:
        _watch(person)
        return
    _show_last(person)
    askable = generations().askable()
    names = {llm.llm_id: llm.name or llm.llm_id for llm, _ in askable}
    ready = [llm.llm_id for llm, why in askable if not why]
    if not ready:
        st.info("No LLM here can be asked. Give one an endpoint under People and settings, and its key to the server.")
    else:
        _show_choice(ready, names, tasks, person)
    _show_unready([why for _, why in askable if why])


def _show_choice(ready: Sequence[LLMId], names: Mapping[LLMId, str], tasks: Sequence[str], person: str) -> None:
    llms = st.multiselect(
        "LLMs", ready, key="data.generate.llms", format_func=lambda llm: names[llm], placeholder="Choose LLMs to ask"
    )
    left, right = st.columns(2)
    task = left.selectbox("Task", [ALL_TASKS, *tasks], key="data.generate.task")
    first = right.number_input("Only the first queries (0: all)", 0, 10_000_000, 0, key="data.generate.queries")
    with st.expander("Limits"):
        columns = st.columns(3)
        for column, (name, label, most) in zip(columns, _LIMITS, strict=True):
            column.number_input(label, 1, most, getattr(USUAL, name), key=f"data.generate.{name}")
        st.number_input(
            "Budget in US dollars, never exceeded; empty for none", 0.0, value=None, key="data.generate.budget",
            step=0.5, help="What a call may cost at most is put aside before it begins, so it needs prices.",
        )  # fmt: skip
    if not llms:
        st.caption("Choose LLMs to see what their missing responses cost. Nothing is asked before you say so.")
        return
    tokens = int(st.session_state.get("data.generate.max_tokens", USUAL.max_tokens))
    chosen = "" if task == ALL_TASKS else task
    found = _estimates(tuple(llms), tokens, chosen, int(first), generations().revision())
    _show_estimates(found)
    missing = sum(one.responses for one in found)
    trouble = _trouble(found)
    st.button(
        f"Generate {missing:,} responses{_about(found)}", key="data.generate.start", type="primary",
        disabled=not missing or bool(trouble), on_click=_start, args=(llms, chosen, int(first), person),
        help=trouble or (None if missing else "These LLMs have answered every one of these queries."),
    )  # fmt: skip


_LIMITS = (
    ("max_tokens", "Tokens a response may have", 100_000),
    ("per_minute", "Calls a minute to one LLM", 100_000),
    ("at_once", "Calls at once to one LLM", 100),
)


def _limits() -> Limits:
    state = st.session_state
    whole = {name: int(state.get(f"data.generate.{name}", getattr(USUAL, name))) for name, _, _ in _LIMITS}
    return Limits(**whole, budget=state.get("data.generate.budget") or None)


def _trouble(found: Sequence[Estimate]) -> str:
    try:
        check_prices([one.llm for one in found], _limits())
    except InvalidInput as error:
        return str(error)
    return ""


@st.cache_data(max_entries=20, show_spinner=False)
def _estimates(llms: tuple[str, ...], tokens: int, task: str, queries: int, fact: str) -> list[Estimate]:  # noqa: ARG001
    return generations().estimates(llms, tokens, task, queries)


def _show_estimates(found: Sequence[Estimate]) -> None:
    rows = [
        {"LLM": one.llm.name or one.llm.llm_id, "missing": one.responses, "tokens in": round(one.input_tokens),
         "tokens out": round(one.output_tokens), "expected": one.cost, "at_most": one.at_most}
        for one in found
    ]  # fmt: skip
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=_FIGURES, alt="Estimated tokens and cost by LLM")
    st.caption(
        "Tokens are estimated: the length of the queries in, and out what this LLM's stored responses usually have. At "
        "most is what it would cost if every response were as long as it may be. Empty where no price is known."
    )


def _about(found: Sequence[Estimate]) -> str:
    costs, most = [one.cost for one in found], [one.at_most for one in found]
    if any(cost is None for cost in costs):
        return ""
    return f" for about ${sum(c or 0 for c in costs):,.2f}, at most ${sum(c or 0 for c in most):,.2f}"


def _show_unready(reasons: Sequence[str]) -> None:
    if reasons:
        with st.expander(f"{len(reasons):,} LLMs cannot be asked"):
            for why in reasons:
                st.text(why)


@callback
def _start(llms: list[str], task: str, queries: int, person: str) -> None:
    """Queue a run and see to it that a worker takes it; everything is checked again."""
    generations().request(llms, _limits(), person, task, queries)
    _see_to_a_worker()


@callback
def _resume(run: int, person: str) -> None:
    """What is missing of a run that ended early."""
    generations().resume(run, person)
    _see_to_a_worker()


def _see_to_a_worker() -> None:
    if context().settings.spawn_worker:
        spawn_worker(context().settings)


@callback
def _cancel(run: int, person: str) -> None:
    """Ask the worker to stop; calls under way are hung up."""
    context().runs.cancel(run, person)


@st.fragment(run_every=1.0)
def _watch(person: str) -> None:
    context().runs.reap()
    run = context().runs.active(GENERATION)
    if run is None:
        st.rerun()
    asked = " · stopping" if run.cancel_requested else ""
    st.markdown(f"**Run {run.id}** · {STATUS[run.status]}{asked}")
    share = min(run.step / run.steps, 1.0) if run.steps else 0.0
    text = f"{run.step:,} of {run.steps:,} responses. Each is kept as it comes." if run.steps else "Starting"
    st.progress(share, text=text)
    st.button(
        "Cancel", key=f"data.generate.cancel.{run.id}", on_click=_cancel, args=(run.id, person),
        disabled=run.cancel_requested,
    )  # fmt: skip


def _show_last(person: str) -> None:
    last = next(iter(context().runs.latest(1, GENERATION)), None)
    if last is None:
        return
    with st.container(border=True):
        st.markdown(f"**Run {last.id}** · {STATUS[last.status]}{_kept(last)}")
        if last.error and last.status == "failed":
            st.error(last.error)
        if last.report:
            _show_report(last.report["llms"])
        if last.status != "done":
            st.button(
                "Ask for the rest", key=f"data.generate.resume.{last.id}", on_click=_resume, args=(last.id, person),
                help="With the same LLMs, queries and limits, and what is left of the budget. What was answered is not "
                "asked again.",
            )  # fmt: skip


def _kept(run: Run) -> str:
    if run.status == "done" or not run.steps:
        return ""
    return f" after {run.step:,} of {run.steps:,} responses, which are kept"


def _show_report(llms: Sequence[Mapping[str, Any]]) -> None:
    columns = ("name", "answered", "cut", "failed", "not_asked", "input_tokens", "output_tokens", "cost")
    rows = [{name: one[name] for name in columns} for one in llms]
    named = {"name": "LLM", "not_asked": "not asked", "input_tokens": "tokens in", "output_tokens": "tokens out"}
    st.dataframe(
        pd.DataFrame(rows).rename(columns=named), hide_index=True, column_config=_FIGURES, alt="What came of each LLM"
    )
    if any(one["cut"] for one in llms):
        st.caption("Cut: the limit of tokens ended the response, which is kept as it is.")
    for one in llms:
        for reason, count in one["reasons"]:
            st.text(f"{one['name']}, {count:,} times: {reason}")
