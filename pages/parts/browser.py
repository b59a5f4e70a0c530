"""The cookie that lets a reload find its person again: a random name for this browser, which means nothing without our
database.
"""

import secrets
from http.cookies import SimpleCookie

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "prefroute_browser"
YEAR = 365 * 24 * 3600


class BrowserCookie:
    """ASGI middleware: gives every browser that has none its cookie. HttpOnly, same site, valid for a year."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; add the cookie to the answer of a first request."""
        if scope["type"] != "http" or _has_cookie(scope):
            await self._app(scope, receive, send)
            return

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                secure = "; Secure" if scope.get("scheme") == "https" else ""
                value = f"{COOKIE}={secrets.token_urlsafe(32)}; Path=/; Max-Age={YEAR}; HttpOnly; SameSite=Lax{secure}"
                MutableHeaders(scope=message).append("set-cookie", value)
            await send(message)

        # Only pages get one: scripts and styles come in parallel, and several cookies at once would race.
        wants_page = any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
        await self._app(scope, receive, with_cookie if wants_page else send)


def _has_cookie(scope: Scope) -> bool:
    raw = b"; ".join(value for name, value in scope["headers"] if name == b"cookie")
    return COOKIE in SimpleCookie(raw.decode("latin-1"))
