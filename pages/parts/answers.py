"""An answer as it is written on the page, with its way to stop, what it took, and what went wrong."""

import streamlit as st

from core.domain import LLM, LLMId
from core.providers import Message
from core.providers.writing import Writing
from db.pricing import Priced
from pages.parts.asked import Asked, dollars
from pages.parts.context import context
from pages.parts.markdown import safe_markdown, show_text

TICK = 0.3  # seconds between two looks at what was written
FINISHES = {
    "stopped": "You stopped it here.",
    "length": "It reached its longest allowed length.",
    "longest": "It took longer than its provider may, and was cut.",
    "broken": "Its provider broke off here.",
}


def llm_of(key: LLMId) -> LLM:
    """The LLM as it is stored now, with its endpoint. The router only knows ids of those there are."""
    return next(llm for llm in context().store.llms() if llm.llm_id == key)


def ready(priced: Priced | None) -> bool:
    """Whether this LLM can be asked here."""
    return priced is not None and context().providers.availability(llm_of(priced.choice.llm)).ready


def begin(asked: Asked, llms: list[LLM]) -> Writing:
    """Ask the first of these LLMs, and where it fails the next; the prompt is sent once to each that is asked."""
    providers, messages = context().providers, [Message("user", asked.query.text)]
    return Writing(llms[0], lambda: providers.answer(llms, messages))


def failed(writing: Writing) -> bool:
    """Whether it ended with nothing that can be read or rated: only then may it be asked for once more."""
    return writing.finished and (writing.failure is not None or writing.reply is None)


@st.fragment(run_every=TICK)
def show_while_written(*writings: Writing) -> None:
    """Nothing to see: looks whether all have finished, and then draws the whole page once more."""
    if all(writing.finished for writing in writings):
        st.rerun()


def show_answer(writing: Writing) -> None:
    """The text so far or in the end."""
    if writing.note:
        st.caption(safe_markdown(writing.note))
    if writing.text:
        show_text(writing.text)
    elif writing.finished and writing.failure is None and not writing.stopped:
        st.caption("This response is empty.")
    elif not writing.finished:
        st.caption("Waiting for the first word")


@st.fragment(run_every=TICK)
def show_growing(writing: Writing) -> None:
    """The text as it grows."""
    show_answer(writing)


def show_took(writing: Writing, expected: float | None) -> None:
    """Tokens, cost and time, each as measured; what was expected beside it."""
    reply = writing.reply
    if reply is None:
        st.caption("You stopped it before its first word.")
        return
    about = "about " if reply.estimated else ""
    cost = "price unknown" if reply.cost is None else f"{about}{dollars(reply.cost)}"
    told = "" if expected is None or reply.cost is None else f" (expected {dollars(expected)})"
    words = [
        f"{about}{reply.input_tokens:,} tokens in, {about}{reply.output_tokens:,} out", f"{cost}{told}",
        f"{reply.seconds:.1f} s",
    ]  # fmt: skip
    if ending := FINISHES.get(reply.finish):
        words.append(ending)
    st.caption(" · ".join(words).replace("$", "\\$"))
