"""A server that speaks OpenAI's protocol over real HTTP, with models for everything that goes right or wrong.

Its model's name says what it does; `seen` counts what was asked, so that a test can prove that nothing was asked twice.
"""

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

SECRET = "sk-the-secret-key-of-the-tests"
PROVIDER_BODY = "upstream stack trace with internal-host.example"  # what an error body may hold and nobody may see


@dataclass
class OpenAIServer:
    """`base_url` for a provider; `seen` requests by model; `bodies` what was sent; `release` ends what stalls."""

    base_url: str
    seen: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    hung_up: Counter[str] = field(default_factory=Counter)
    release: threading.Event = field(default_factory=threading.Event)

    def clear(self) -> None:
        """Forget what was asked."""
        self.seen.clear()
        self.hung_up.clear()
        self.bodies.clear()
        self.keys.clear()


def words_of(model: str, question: str) -> list[str]:
    """What a model that works answers."""
    return [f"{model} ", "says ", "of ", f"{len(question)} ", "characters: ", "fine."]


def _event(model: str, delta: dict[str, Any], finish: str | None = None, usage: dict[str, int] | None = None) -> str:
    choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices}
    return f"data: {json.dumps(body | {'usage': usage})}\n\n"


def _error(status: int, headers: dict[str, str] | None = None, code: str | None = None, says: str = "") -> JSONResponse:
    body = {"error": {"message": f"{says}{PROVIDER_BODY}", "type": "x", "code": code}}
    return JSONResponse(body, status, headers=headers)


class _Behaviour:
    """The routes; one instance a server."""

    def __init__(self, server: OpenAIServer) -> None:
        self._server = server

    async def completions(self, request: Request) -> Response:
        body = await request.json()
        model = body["model"]
        self._server.seen[model] += 1
        self._server.bodies.append(body)
        self._server.keys.append(request.headers.get("authorization", ""))
        asked = self._server.seen[model]
        refused: dict[str, Callable[[], Response]] = {
            "rate-limited": lambda: _error(429, {"retry-after": "0"}),
            "broken": lambda: _error(500),
            "gateway": lambda: _error(503),
            "unauthorised": lambda: _error(401),
            "short": lambda: _error(400, code="context_length_exceeded"),
            "narrow": lambda: _error(400, says="This model's maximum context length is 8 tokens. "),
            "html": lambda: HTMLResponse(f"<html>{PROVIDER_BODY}</html>"),
        }
        if model in refused:
            return refused[model]()
        if model == "flaky" and asked % 3:
            return _error(429, {"retry-after": "0"})
        return StreamingResponse(self._stream(request, model, body), media_type="text/event-stream")

    async def _stream(self, request: Request, model: str, body: dict[str, Any]) -> AsyncIterator[str]:
        over = False
        try:
            if model == "stall":
                await self._wait(request)
            elif model == "garbage":
                yield f"data: {{not json, {PROVIDER_BODY}\n\n"
            elif model != "empty":
                async for event in self._answer(request, model, body):
                    yield event
            over = not await request.is_disconnected()
        finally:  # a client that hangs up ends this in one of several ways
            self._server.hung_up[model] += not over

    async def _answer(self, request: Request, model: str, body: dict[str, Any]) -> AsyncIterator[str]:
        words = words_of(model, body["messages"][-1]["content"])
        yield _event(model, {"role": "assistant", "content": ""})
        for i, word in enumerate(words):
            if model in ("slow", "endless"):
                await asyncio.sleep(0.02)
            if i == 2 and model == "stall-midway":
                await self._wait(request)
                return
            if i == 2 and model == "cut":
                yield "data: {half of an ev"
                raise ConnectionResetError
            yield _event(model, {"content": word})
        while model == "endless" and not await self._over(request):
            yield _event(model, {"content": "and "})
            await asyncio.sleep(0.02)
        yield _event(model, {}, "stop")
        if body.get("stream_options", {}).get("include_usage"):
            usage = {"prompt_tokens": 100, "completion_tokens": len(words), "total_tokens": 100 + len(words)}
            yield _event(model, {}, None, usage)
        yield "data: [DONE]\n\n"

    async def _over(self, request: Request) -> bool:
        return self._server.release.is_set() or await request.is_disconnected()

    async def _wait(self, request: Request) -> None:
        while not await self._over(request):
            await asyncio.sleep(0.02)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Any ASGI app over real HTTP on a free port, in a thread; its address without a slash at the end."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, log_level="error", lifespan="off", timeout_graceful_shutdown=1, ws="none", loop="asyncio"
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        until = time.monotonic() + 120
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        assert server.started
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


@contextmanager
def openai_server() -> Iterator[OpenAIServer]:
    """The server, running; stopped at the end whatever it was doing."""
    server = OpenAIServer("")
    app = Starlette(routes=[Route("/v1/chat/completions", _Behaviour(server).completions, methods=["POST"])])
    with serving(app) as address:
        server.base_url = f"{address}/v1"
        try:
            yield server
        finally:
            server.release.set()
