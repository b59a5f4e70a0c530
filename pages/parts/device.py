"""What a person holds: the server never sees the width of a screen, but a phone's browser says that it is one."""

import streamlit as st


def on_phone() -> bool:
    """Whether the browser says that it is a phone's. One that asks for the desktop's page gets it."""
    agent = st.context.headers.get("User-Agent")
    return isinstance(agent, str) and "Mobi" in agent and "iPad" not in agent
