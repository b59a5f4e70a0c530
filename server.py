"""The app as an ASGI application: Streamlit's pages, with the cookie that lets a reload find its person again."""

import streamlit as st
from starlette.middleware import Middleware

from pages.parts.browser import BrowserCookie
from pages.parts.errors import show_error

app = st.App("app.py", middleware=[Middleware(BrowserCookie)], on_script_error=show_error)
