"""Decisions, the list of what can be asked, and feedback."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi import Response as HttpResponse
from starlette.concurrency import run_in_threadpool

from api.access import allowed
from api.desk import FEW
from api.errors import ApiError, ErrorBody
from api.parts import Parts, no_such_model, wanted
from api.schemas import (
    ChatMessage,
    Decision,
    FeedbackRequest,
    FeedbackResponse,
    Model,
    ModelList,
    RouteRequest,
    RouteResponse,
    Side,
)  # fmt: skip
from core.domain import LLMId, Query, Response, User, UserId
from db.keys import ApiKey, Scope
from db.live import Routed

ERRORS = (401, 403, 404, 413, 422, 429, 503)
router = APIRouter(prefix="/v1", responses={status: {"model": ErrorBody} for status in ERRORS})


@router.get("/models")
def models(request: Request, _: Annotated[ApiKey, Depends(allowed(Scope.ROUTE))]) -> ModelList:
    """The router in service, every published version, and every LLM by its own name."""
    parts: Parts = request.app.state.parts
    versions = parts.registry.versions()
    newest = max((int(v.created_at.timestamp()) for v in versions), default=0)
    found = [Model(id="prefroute", created=newest, owned_by="prefroute")]
    found += [
        Model(id=f"prefroute-{v.id}", created=int(v.created_at.timestamp()), owned_by="prefroute") for v in versions
    ]
    found += [Model(id=llm.llm_id, created=0, owned_by=llm.family or "llm") for llm in parts.store.llms()]
    return ModelList(data=found)


@router.post("/route", response_model=RouteResponse)
async def route(
    asked: RouteRequest, request: Request, _: Annotated[ApiKey, Depends(allowed(Scope.ROUTE))]
) -> HttpResponse:
    """Where each query goes for this person, without asking any LLM. Every decision is written down."""
    parts: Parts = request.app.state.parts
    want = wanted(asked.model, asked.user, tuple(asked.llms))
    if want is None:
        raise no_such_model(asked.model)
    if asked.user:
        User(UserId(asked.user))  # a name that can be one
    queries = [Query.typed(text) for text in asked.queries]
    decided = await parts.desk.decide(want, queries)
    if len(decided) <= FEW:
        return _told(parts, decided)
    return await run_in_threadpool(_told, parts, decided)


def _told(parts: Parts, decided: Sequence[Routed]) -> HttpResponse:
    body = RouteResponse(data=[counted(parts, each) for each in decided])
    return HttpResponse(body.model_dump_json(), media_type="application/json")  # FastAPI would check it once more


@router.post("/feedback")
def feedback(
    said: FeedbackRequest, request: Request, _: Annotated[ApiKey, Depends(allowed(Scope.FEEDBACK))]
) -> FeedbackResponse:
    """A thumb for a decision, or a comparison: a rating like any other, which counts from the next decision on."""
    parts: Parts = request.app.state.parts
    user = User(UserId(said.user)).user_id
    pair = (said.messages, said.a, said.b, said.outcome)
    if said.thumbs is not None and said.decision is not None and not any(pair):
        parts.decisions.thumbs(said.decision, user, up=said.thumbs == "up")
        return FeedbackResponse(status="saved")
    if said.thumbs is None and said.messages and said.a and said.b and said.outcome:
        query = query_of(said.messages)
        answers = _response(said.messages, query, said.a), _response(said.messages, query, said.b)
        saved = parts.decisions.compare(user, query, answers, said.outcome, said.decision)
        return FeedbackResponse(status="saved" if saved else "already_saved")
    raise ApiError(
        422, "Send either `decision` and `thumbs`, or `messages`, `a`, `b` and `outcome`. Nothing was stored.",
        "invalid_request",
    )  # fmt: skip


def query_of(messages: Sequence[ChatMessage]) -> Query:
    """What is routed: the user's turns. Raises InvalidInput where they say nothing."""
    turns = [message.text for message in messages if message.role == "user"]
    if not turns:
        raise ApiError(422, "messages: no message is the user's. Nothing was done.", "invalid_request", "messages")
    return Query(Query.id_of(turns), tuple(turns))


def counted(parts: Parts, routed: Routed) -> Decision:
    """A decision as it is given, and counted in the metrics."""
    decided = routed.decided
    parts.metrics.decisions.labels(routed.service, routed.llm.llm_id).inc()
    parts.metrics.decide.observe(routed.milliseconds / 1000)
    others = [llm.llm_id for llm in routed.ranked if llm is not routed.llm]
    return Decision(
        decision=decided.key, llm=routed.llm.llm_id, probability=decided.probabilities[routed.llm.llm_id],
        probabilities={str(llm): p for llm, p in decided.probabilities.items()},
        runner_up=others[0] if others else None,
        propensity=decided.propensity, explored=routed.explored, router=routed.service, version=decided.version,
        ratings=decided.history_count, alpha=decided.alpha or 0.0, expected_cost=routed.cost,
        milliseconds=routed.milliseconds,
    )  # fmt: skip


def _response(messages: Sequence[ChatMessage], query: Query, side: Side) -> Response:
    before = tuple(message.text for message in messages if message.role == "assistant")
    return Response(query.query_id, LLMId(side.model), (*before, side.content))
