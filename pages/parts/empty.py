"""What stands where there is nothing yet: what to do next."""

import streamlit as st


def show_nothing_to_rate() -> None:
    """No query has two responses to compare."""
    st.info(
        "Nothing to rate yet. Load the demo world with `python cli.py demo`, "
        "or import ratings with `python cli.py import FILE`."
    )
