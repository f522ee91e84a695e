"""How errors look in HTTP: one table from codes to statuses, one body for all of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api.json_response import JsonResponse
from app.database import AWAY, is_outage
from app.errors import (
    Category,
    EngineUnavailable,
    InvalidRequest,
    NotFound,
    PerdureError,
    RateLimited,
    Severity,
    SlowRequest,
    Unauthenticated,
)

log = structlog.get_logger(__name__)

NOT_SENT_AS_JSON = "must be sent with `Content-Type: application/json`"

STATUS_OF_CODE: Mapping[str, int] = {
    "GRAPH_VALIDATION_ERROR": 400,
    "UNAUTHENTICATED": 401,
    "INSUFFICIENT_CREDITS": 402,
    "BUDGET_EXCEEDED": 402,
    "SPENDING_LIMIT_REACHED": 402,
    "FORBIDDEN": 403,
    "BLOCK_DISABLED": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "REQUEST_TIMEOUT": 408,
    "CONFLICT": 409,
    "EMAIL_DISABLED": 409,
    "PAYMENTS_DISABLED": 409,
    "PAYMENT_REFUSED": 409,
    "PAYLOAD_TOO_LARGE": 413,
    "QUOTA_EXCEEDED": 413,
    "INVALID_REQUEST": 422,
    # The call was right, and so were we: no 5xx, after which many a client calls again and pays again.
    "EXECUTION_FAILED": 424,
    "EXECUTION_CANCELLED": 424,
    "RATE_LIMITED": 429,
    "SYSTEM_ERROR": 500,
    "ENGINE_UNAVAILABLE": 503,
    "PAYMENTS_UNAVAILABLE": 503,
}
_MAX_PROBLEMS = 100
_MAX_TEXT = 500


class MethodNotAllowed(PerdureError):
    """This path does not take this method."""

    code = "METHOD_NOT_ALLOWED"
    severity = Severity.LOW
    category = Category.VALIDATION


class SystemFault(PerdureError):
    """Something went wrong on our side."""


class BlockRefused(PerdureError):
    """The block failed."""

    severity = Severity.LOW
    category = Category.BUSINESS

    def __init__(self, code: str, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, details=details)
        self.block_code = code


def install_error_handlers(application: FastAPI) -> None:
    """Make every error of the application answer with the one body."""
    handlers: Mapping[Any, Any] = {
        PerdureError: _answer_perdure,
        RequestValidationError: _answer_validation,
        HTTPException: _answer_http,
        # What the API reads from sockets is Postgres and Temporal alone.
        **dict.fromkeys(AWAY, _answer_outage),
        OperationalError: _answer_outage,
        InterfaceError: _answer_outage,
        PoolTimeoutError: _answer_outage,
        DBAPIError: _answer_database,
    }
    for kind, handler in handlers.items():
        application.add_exception_handler(kind, handler)


def error_response(
    error: PerdureError, request_id: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer that tells of an error."""
    code = error.block_code if isinstance(error, BlockRefused) else error.code
    status = 400 if isinstance(error, BlockRefused) else STATUS_OF_CODE.get(code, 500)
    body = {
        "success": False,
        "error": {
            "error_code": code,
            "message": error.message,
            "severity": error.severity,
            "category": error.category,
            "details": error.details,
            "timestamp": datetime.now(UTC).isoformat(),
            "request_id": request_id,
        },
    }
    return JsonResponse(body, status_code=status, headers={**_headers_of(error), **(headers or {})})


def _headers_of(error: PerdureError) -> Mapping[str, str]:
    match error:
        case Unauthenticated():
            return {"WWW-Authenticate": "Bearer"}
        case RateLimited():
            return error.headers
        case SlowRequest():
            # What of the body is still to come must not be taken for another request.
            return {"Connection": "close"}
        case _:
            return {}


def request_id_of(request: Request) -> str:
    """Return the id under which this request is logged."""
    known = getattr(request.state, "request_id", None)
    return known if isinstance(known, str) else str(uuid.uuid4())


async def _answer_perdure(request: Request, error: PerdureError) -> Response:
    if error.severity in {Severity.HIGH, Severity.CRITICAL}:
        cause = None if isinstance(error, EngineUnavailable) else error.__cause__
        log.error("request_failed", code=error.code, reason=error.message, exc_info=cause)
    return error_response(error, request_id_of(request))


async def _answer_validation(request: Request, error: RequestValidationError) -> Response:
    found = error.errors()
    problems = _problems(found)
    is_whole = any(each["loc"] == ("body",) and each["type"] != "missing" for each in found)
    if is_whole and "json" not in request.headers.get("content-type", ""):
        # What curl sends unless it is told otherwise is taken for a text, and nothing else is wrong with it.
        problems = [{"field": "body", "message": NOT_SENT_AS_JSON, "type": "content_type"}]
    return error_response(InvalidRequest(details={"errors": problems}), request_id_of(request))


async def _answer_http(request: Request, error: HTTPException) -> Response:
    known: Mapping[int, PerdureError] = {
        HTTPStatus.NOT_FOUND: NotFound(),
        HTTPStatus.METHOD_NOT_ALLOWED: MethodNotAllowed(),
    }
    fault = known.get(error.status_code) or InvalidRequest(str(error.detail)[:_MAX_TEXT])
    return error_response(fault, request_id_of(request), error.headers)


async def _answer_outage(request: Request, error: Exception) -> Response:
    log.error("database_unreachable", reason=type(error).__name__)
    return error_response(EngineUnavailable(), request_id_of(request))


async def _answer_database(request: Request, error: DBAPIError) -> Response:
    if is_outage(error):
        return await _answer_outage(request, error)
    log.error("request_crashed", exc_info=error)
    return error_response(SystemFault(), request_id_of(request))


def _problems(errors: Sequence[Any]) -> list[dict[str, str]]:
    """Return what the caller needs of pydantic's problems: never the input, which may be large or secret."""
    return [
        {
            "field": ".".join(str(part) for part in problem["loc"])[:_MAX_TEXT],
            "message": str(problem["msg"])[:_MAX_TEXT],
            "type": str(problem["type"]),
        }
        for problem in errors[:_MAX_PROBLEMS]
    ]
