"""PrefRoute's web app: page config, who is here, navigation. Nothing else; each page stands in its group's folder."""

import streamlit as st

from db.models import Role
from pages.parts.account import show_account
from pages.parts.context import role_here
from pages.parts.errors import boundary
from pages.parts.preload import first_page

PAGES = {
    "Annotate": {
        "welcome": "Welcome",
        "rate": "Rate responses",
        "my_ratings": "My ratings",
    },
    "Explore": {
        "overview": "Overview",
        "playground": "Try the router",
        "routing": "Who gets which LLM",
        "embeddings": "Learned map",
        "leaderboard": "LLM leaderboard",
        "evaluation": "Honest evaluation",
    },
    "Manage": {
        "quality": "Rating quality",
        "data": "Data in and out",
        "training": "Training and routers",
        "settings": "People and settings",
    },
}
# Pages that raters do not see in the navigation. Each page asks for its role by itself; this only spares the links.
NEEDS = {
    "quality": Role.ANALYST,
    "data": Role.ADMIN,
    "training": Role.ADMIN,
    "settings": Role.ADMIN,
}

st.set_page_config(page_title="PrefRoute", layout="wide")
role = Role.VIEWER
with boundary():
    role = role_here()
page = st.navigation(
    {
        group: [
            st.Page(
                f"pages/{group.lower()}/{name}.py", title=title, url_path=name, default=name == "welcome",
                visibility="visible" if role.includes(NEEDS.get(name, Role.VIEWER)) else "hidden",
            )
            for name, title in scripts.items()
        ]
        for group, scripts in PAGES.items()
    },
    expanded=True,
)  # fmt: skip
with first_page(), boundary():
    show_account()
    page.run()
