"""Chat completions: decide, ask, answer in OpenAI's words, whole or as server-sent events."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.access import allowed
from api.errors import ErrorBody, detail_of
from api.parts import Parts, no_such_model, wanted
from api.routing import ERRORS, counted, query_of
from api.schemas import ChatRequest, Decision
from core.domain import LLM, User, UserId
from core.errors import ProviderFailed
from core.providers import Message, Reply, Stream
from db.decisions import FAILED, FALLBACK
from db.keys import ApiKey
from db.keys import Scope as For
from db.live import Routed

router = APIRouter(prefix="/v1", responses={status: {"model": ErrorBody} for status in (400, *ERRORS, 502)})

FINISHES = {"stop", "length", "content_filter", "tool_calls", "function_call"}


@dataclass(frozen=True)
class _Turn:
    """One completion under way."""

    parts: Parts
    stream: Stream
    decision: Decision | None
    key: str
    created: int

    def extra(self) -> dict[str, Any]:
        """What PrefRoute adds to OpenAI's body: the decision, who answered, and what must be said."""
        decided = self.decision.model_dump() if self.decision else {}
        return {**decided, "answered_by": self.stream.llm.llm_id, "note": self.stream.note}

    def headers(self) -> dict[str, str]:
        """The decision for those who cannot read the body's extra field."""
        found = {"x-prefroute-llm": quote(self.stream.llm.llm_id)}
        if self.decision:
            found |= {
                "x-prefroute-decision": self.decision.decision, "x-prefroute-router": quote(self.decision.router),
                "x-prefroute-probability": f"{self.decision.probability:.6f}",
                "x-prefroute-propensity": f"{self.decision.propensity:.6f}",
            }  # fmt: skip
            if self.decision.llm != self.stream.llm.llm_id:
                found["x-prefroute-fallback-for"] = quote(self.decision.llm)
        return found


@router.post(
    "/chat/completions",
    response_class=JSONResponse,
    responses={
        200: {
            "description": "A chat completion, or with `stream` its server-sent events.",
            "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
        }
    },
)
def complete(asked: ChatRequest, request: Request, _: Annotated[ApiKey, Depends(allowed(For.CHAT))]) -> Response:
    """Answer with the LLM this person would pick, or with the one that is named."""
    parts: Parts = request.app.state.parts
    turn = _begin(parts, asked)
    if not asked.stream:
        try:
            for _piece in turn.stream:
                pass
        except ProviderFailed as error:
            parts.metrics.failures.labels(error.kind).inc()
            raise
        return JSONResponse(_whole(turn, turn.stream.reply), headers=turn.headers())
    usage = bool(asked.stream_options and asked.stream_options.include_usage)
    return _Written(_events(turn, usage), turn)


class _Written(StreamingResponse):
    """Server-sent events. Whoever hangs up stops the provider too: nothing is written, and billed, for nobody."""

    def __init__(self, events: Iterator[str], turn: _Turn) -> None:
        headers = turn.headers() | {"Cache-Control": "no-store"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._turn = turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._turn.stream.stop()


def _begin(parts: Parts, asked: ChatRequest) -> _Turn:
    query = query_of(asked.messages)
    if asked.user:
        User(UserId(asked.user))
    roles = {"developer": "system"}
    messages = [Message(roles.get(m.role, m.role), m.text) for m in asked.messages]  # type: ignore[arg-type]
    llms, routed = _who(parts, asked, query)
    try:
        stream = parts.providers.answer(llms, messages, **asked.options)
    except ProviderFailed as error:
        parts.metrics.failures.labels(error.kind).inc()
        if routed:
            parts.live.keep([routed], FAILED)
        raise
    if routed:
        parts.live.keep([routed], None if stream.llm is routed.llm else FALLBACK)
    decision = counted(parts, routed) if routed else None
    return _Turn(parts, stream, decision, f"chatcmpl-{uuid.uuid4().hex}", int(time.time()))


def _who(parts: Parts, asked: ChatRequest, query: Any) -> tuple[tuple[LLM, ...], Routed | None]:
    """The LLM to ask and the one after it, with the decision where a router made one."""
    want = wanted(asked.model, asked.user)
    if want is None:
        named = parts.llm(asked.model)
        if named is None:
            raise no_such_model(asked.model)
        return (named,), None
    routed = parts.live.consider(want, [query], "api")[0]
    return routed.asked, routed


def _whole(turn: _Turn, reply: Reply) -> dict[str, Any]:
    _count(turn, reply)
    message = {"role": "assistant", "content": reply.text}
    return {
        "id": turn.key, "object": "chat.completion", "created": turn.created, "model": reply.llm.llm_id,
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(reply)}], "usage": _usage(reply),
        "prefroute": turn.extra() | {"cost": reply.cost, "tokens_estimated": reply.estimated},
    }  # fmt: skip


def _events(turn: _Turn, usage: bool) -> Iterator[str]:
    def event(delta: dict[str, str], finish: str | None = None, **more: Any) -> str:
        body = {
            "id": turn.key, "object": "chat.completion.chunk", "created": turn.created,
            "model": turn.stream.llm.llm_id, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }  # fmt: skip
        return f"data: {json.dumps(body | more)}\n\n"

    yield event({"role": "assistant", "content": ""}, prefroute=turn.extra())
    try:
        for piece in turn.stream:
            yield event({"content": piece})
    except ProviderFailed as error:
        turn.parts.metrics.failures.labels(error.kind).inc()
        yield f"data: {json.dumps({'error': detail_of(error)[1].model_dump()})}\n\n"
        return
    reply = turn.stream.reply
    _count(turn, reply)
    yield event({}, _finish(reply))
    if usage:
        yield event({}, choices=[], usage=_usage(reply))
    yield "data: [DONE]\n\n"


def _count(turn: _Turn, reply: Reply) -> None:
    metrics, llm = turn.parts.metrics, reply.llm.llm_id
    metrics.tokens.labels(llm, "in").inc(reply.input_tokens)
    metrics.tokens.labels(llm, "out").inc(reply.output_tokens)
    metrics.cost.labels(llm).inc(reply.cost or 0.0)


def _finish(reply: Reply) -> str:
    if reply.finish in ("stopped", "longest"):
        return "length"
    return reply.finish if reply.finish in FINISHES else "stop"


def _usage(reply: Reply) -> dict[str, int]:
    total = reply.input_tokens + reply.output_tokens
    return {"prompt_tokens": reply.input_tokens, "completion_tokens": reply.output_tokens, "total_tokens": total}
