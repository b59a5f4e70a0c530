"""The app as an ASGI application: Streamlit's pages, with the cookie that lets a reload find its person again, and the
endpoint for programs beside them.
"""

import streamlit as st
from starlette.middleware import Middleware

from api.beside import Beside
from pages.parts.browser import BrowserCookie
from pages.parts.errors import show_error
from pages.parts.preload import preloading
from pages.parts.proxy import ProxyHeader

app = st.App(
    "app.py",
    lifespan=preloading,
    middleware=[Middleware(Beside), Middleware(BrowserCookie), Middleware(ProxyHeader)],
    on_script_error=show_error,
)
