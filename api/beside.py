"""The endpoint's addresses in the pages' server. What the endpoint stands on is imported at its first request."""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

PATHS = ("/v1", "/healthz", "/metrics")


def endpoint() -> ASGIApp:
    """The endpoint on what the settings name."""
    from api.app import serve_app  # with FastAPI a quarter of all that a start would wait for

    return serve_app()


class Beside:
    """Middleware of the pages' server: the endpoint's addresses go to the endpoint, all others to the pages."""

    def __init__(self, app: ASGIApp, make: Callable[[], ASGIApp] = endpoint) -> None:
        self._pages, self._make = app, make
        self._api: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        ours = scope["type"] == "http" and any(path == start or path.startswith(f"{start}/") for start in PATHS)
        await (await self._endpoint() if ours else self._pages)(scope, receive, send)

    async def _endpoint(self) -> ASGIApp:
        """Made once, whoever asks first, in a thread: the pages do not wait for it."""
        if self._api is None:
            async with self._making:
                if self._api is None:
                    self._api = await asyncio.to_thread(self._make)
        return self._api
