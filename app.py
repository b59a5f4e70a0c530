"""PrefRoute's web app: page config, who is here, navigation. Nothing else; each page stands in its group's folder."""

import streamlit as st

from pages.parts.account import show_account
from pages.parts.errors import boundary

PAGES = {
    "Annotate": {"welcome": "Welcome", "rate": "Rate responses", "my_ratings": "My ratings"},
    "Explore": {"playground": "Try the router", "routing": "Who gets which LLM", "leaderboard": "LLM leaderboard"},
    "Manage": {"training": "Training and routers"},
}

st.set_page_config(page_title="PrefRoute", layout="wide")
page = st.navigation(
    {
        group: [
            st.Page(f"pages/{group.lower()}/{name}.py", title=title, url_path=name, default=name == "welcome")
            for name, title in scripts.items()
        ]
        for group, scripts in PAGES.items()
    }
)
with boundary():
    show_account()
    page.run()
