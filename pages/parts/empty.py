"""What stands where there is nothing yet: what to do next."""

import streamlit as st

from db.models import Role
from pages.parts.context import role_here


def show_nothing_to_rate() -> None:
    """No query has two responses to compare."""
    if not role_here().includes(Role.ADMIN):
        st.info("Nothing to rate yet: whoever runs PrefRoute here has to import queries and responses first.")
        return
    st.info("Nothing to rate yet. Load the demo world, or import queries and responses.")
    st.page_link("pages/manage/data.py", label="Go to Data in and out")
