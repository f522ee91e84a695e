"""Errors on the wire, for the OpenAPI document; `app.api.errors` writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from app.errors import Category, Severity


class ErrorDetail(BaseModel):
    """What went wrong."""

    error_code: str
    """Stable; programs may branch on it."""
    message: str
    severity: Severity
    category: Category
    details: dict[str, Any]
    timestamp: datetime
    request_id: str
    """Names the request in the logs of the server."""


class ErrorView(BaseModel):
    """The body of every error."""

    success: bool = False
    error: ErrorDetail


_MEANINGS = {
    400: "The graph or its inputs are not valid; `details.node_errors` says where.",
    401: "A valid token is needed.",
    402: "There are not enough credits.",
    403: "This is not allowed to you, or the block is turned off.",
    404: "You have nothing of that id.",
    408: "The body comes too slowly.",
    409: "It is not in a state that allows this.",
    413: "The body is larger than 10 MB, a file larger than files may be, or the answer larger than 32 MiB.",
    422: "The request is not of the form that this call takes.",
    424: "The execution failed or was stopped; `details.error` says where.",
    429: "There were too many requests; `Retry-After` says for how long.",
    503: "Temporal or Postgres, or the payment service, cannot be reached; nothing was started.",
}


_CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorView"}}}
_OF_EVERY_ROUTE = (401, 403, 408, 422, 429, 503)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route for its documentation, those that every route has included."""
    described: dict[int | str, dict[str, Any]] = {
        status: {"description": _MEANINGS[status], "content": _CONTENT}
        for status in sorted({*statuses, *_OF_EVERY_ROUTE})
    }
    # One of them brings the schema into the document. FastAPI makes a serializer for each that names the model, which
    # for all errors of all routes took a third of the time in which the API starts.
    described[_OF_EVERY_ROUTE[0]]["model"] = ErrorView
    return described
