"""Figures over all ratings, which take seconds where there are very many: worked out once a revision of the data."""

import streamlit as st

from core.tally import Tally
from db.raters import Raters, raters
from db.tallies import EVER, Span, tally
from pages.parts.context import context


def of_now() -> tuple[str, str]:
    """The data as they stand: the first two arguments of the figures."""
    return context().settings.database_url, context().store.revision()


@st.cache_data(show_spinner=False, max_entries=2)
def known(url: str, revision: str) -> Raters:  # noqa: ARG001  what makes the figures differ from the last
    """Everyone who rated."""
    return raters(context().database)


@st.cache_data(show_spinner=False, max_entries=8)
def counted(url: str, revision: str, span: Span) -> Tally:  # noqa: ARG001
    """All ratings, counted, of one span of days."""
    return tally(context().database, span=span)


def work_out() -> None:
    """Have the figures at hand, so that whoever looks first after a start does not wait for them."""
    counted(*of_now(), EVER)
    known(*of_now())
