"""The guidelines of a campaign, in a panel on the rating page that the key G opens and closes."""

import streamlit as st

from pages.parts.errors import callback
from pages.parts.markdown import show_text

OPEN = "rate.guidelines_open"
USUAL = """\
Read the prompt, then both responses to their end. Choose the one you would rather have got: for you, not for an average
reader. Length and polish count only as far as they help you.

- **Tie** when you would take either, **Both bad** when you would take neither.
- **Skip** what you cannot judge now: it comes back when the rest is done.
- **Flag** what should not be rated at all: wrong language, broken, harmful, personal data, or a response that says
  which LLM it is. It does not come back.
- **Undo** goes back up to ten steps; your first answer stays in the record.
"""


@callback
def toggle_guidelines() -> None:
    """Open or close the panel."""
    st.session_state[OPEN] = not st.session_state.get(OPEN, False)


def show_guidelines(written: str) -> None:
    """What the campaign's makers wrote, or the usual advice; nothing while the panel is closed."""
    if not st.session_state.get(OPEN):
        return
    with st.container(border=True, key="rate.guidelines_panel"):
        show_text(written if written.strip() else USUAL)
        st.caption("Press G to close.")
