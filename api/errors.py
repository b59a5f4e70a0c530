"""Errors as OpenAI's clients expect them: a status, and `{"error": {message, type, param, code}}`."""

import logging
import uuid
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from core.errors import (
    DatabaseUnavailable,
    FailureKind,
    InvalidInput,
    NotAllowed,
    NotEnoughData,
    NotFound,
    PrefRouteError,
    ProviderFailed,
)  # fmt: skip

log = logging.getLogger("prefroute.api")

STATUS: tuple[tuple[type[PrefRouteError], int], ...] = (
    (NotFound, 404), (NotAllowed, 403), (InvalidInput, 422), (NotEnoughData, 503), (DatabaseUnavailable, 503),
)  # fmt: skip
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# The official client repeats a 429 and a 5xx by itself. What went to a provider may have been billed: not again.
ONCE = {"x-should-retry": "false"}
LIMITS = (FailureKind.OVER_BUDGET, FailureKind.BUSY, FailureKind.RATE_LIMIT)


class ErrorDetail(BaseModel):
    """What went wrong, for a person (`message`) and for a program (`code`)."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """OpenAI's envelope of an error."""

    error: ErrorDetail


class ApiError(Exception):
    """An error of the endpoint itself."""

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.headers = status, code, param, headers or {}


def detail_of(error: Exception) -> tuple[int, ErrorDetail, dict[str, str]]:
    """Status, body and headers of an error; one that nobody foresaw is logged under a reference and says only that."""
    if isinstance(error, ApiError):
        return error.status, _detail(error.status, str(error), error.code, error.param), error.headers
    if isinstance(error, ProviderFailed):
        if error.kind == FailureKind.TOO_LONG:  # the text's fault, and told as OpenAI tells it
            return 400, _detail(400, str(error), "context_length_exceeded", "messages"), ONCE
        status = 429 if error.kind in LIMITS else 502
        return status, _detail(status, str(error), f"provider_{error.kind}"), ONCE
    if isinstance(error, PrefRouteError):
        status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
        return status, _detail(status, str(error), _snake(type(error).__name__)), {}
    reference = uuid.uuid4().hex[:8]
    log.error("reference %s", reference, exc_info=error)
    message = f"Something went wrong that should not. Report reference {reference}."
    return 500, _detail(500, message, "internal_error"), ONCE


def answer(error: Exception) -> JSONResponse:
    """The response to an error."""
    status, detail, headers = detail_of(error)
    return JSONResponse(ErrorBody(error=detail).model_dump(), status, headers=headers)


def handle_errors(app: FastAPI) -> None:
    """Let every error of the app leave in this form."""

    async def known(_: Request, error: Exception) -> JSONResponse:
        return answer(error)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        first: dict[str, Any] = error.errors()[0] if isinstance(error, RequestValidationError) else {}
        where = ".".join(str(part) for part in first.get("loc", ())[1:]) or None
        # Pydantic's own message may quote what was sent; its kind of error says enough.
        message = f"{where or 'The request'}: {_reason(first)}. Nothing was done."
        return answer(ApiError(422, message, "invalid_request", where))

    async def http(_: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        says = {404: "There is nothing at this address.", 405: "This address does not take this method."}
        return answer(ApiError(status, says.get(status, "The request cannot be read."), "not_found", None, headers))

    app.add_exception_handler(PrefRouteError, known)
    app.add_exception_handler(ApiError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, known)


def _reason(first: dict[str, Any]) -> str:
    kind = str(first.get("type", ""))
    if kind == "extra_forbidden":
        return "is not supported here"
    return str(first.get("msg", "cannot be read")).rstrip(".")


def _detail(status: int, message: str, code: str, param: str | None = None) -> ErrorDetail:
    usual = "invalid_request_error" if status < 500 else "api_error"
    return ErrorDetail(message=message, type=TYPES.get(status, usual), param=param, code=code)


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
