"""The endpoint as an ASGI application, alone or beside the pages."""

import threading
import time
from collections.abc import Callable

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import chat, routing
from api.errors import ErrorBody, handle_errors
from api.limits import BodyLimit
from api.parts import Parts
from api.schemas import Health
from core.settings import load_settings


def create_app(parts: Callable[[], Parts]) -> FastAPI:
    """The endpoint. `parts` is called at the first request, so that a server starts before its database is opened."""
    app = FastAPI(
        title="PrefRoute", version="1", docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json",
        description="Routes each query to the LLM that its person would pick; speaks OpenAI's protocol.",
    )  # fmt: skip
    state = _State(parts)
    app.state = state  # type: ignore[assignment]
    handle_errors(app)
    app.include_router(routing.router)
    app.include_router(chat.router)
    app.add_middleware(BodyLimit)
    app.add_middleware(Measured, state=state)

    @app.get("/healthz", responses={503: {"model": ErrorBody}})
    def healthz(request: Request) -> Health:
        """Whether the database answers, and which router serves."""
        active = request.app.state.parts.registry.active()
        return Health(status="ok", version=active.id if active else None)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics(request: Request) -> Response:
        """For Prometheus."""
        return Response(request.app.state.parts.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app


class _State:
    """What routes find at `request.app.state`."""

    def __init__(self, make: Callable[[], Parts]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._parts: Parts | None = None

    @property
    def parts(self) -> Parts:
        """Made once, whoever asks first."""
        with self._lock:
            if self._parts is None:
                self._parts = self._make()
            return self._parts

    async def started(self) -> Parts:
        """`parts`, made in a thread: opening the database may take a while, and whoever is served meanwhile goes on."""
        return self._parts if self._parts is not None else await run_in_threadpool(lambda: self.parts)


class Measured:
    """Middleware: how many requests went how, and how long each took to its last byte."""

    def __init__(self, app: ASGIApp, state: "_State") -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            metrics = (await self._state.started()).metrics
            route = getattr(scope.get("route"), "path", "unknown")
            metrics.requests.labels(route, str(status)).inc()
            metrics.seconds.labels(route).observe(time.perf_counter() - began)


def from_settings() -> Parts:
    """The parts that the settings name. Raises DatabaseUnavailable and NewerDatabase."""
    from db.engine import Database

    settings = load_settings()
    return Parts.over(Database.open(settings.database_url), settings)


def serve_app() -> FastAPI:
    """What `uvicorn --factory api.app:serve_app` serves."""
    return create_app(from_settings)
