"""What a call can come to instead of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNREACHABLE = "UNREACHABLE"
"""The code of an API that did not answer."""
UNREADABLE = "UNREADABLE"
"""The code of an answer that is none of this API."""
PASSING = frozenset({None, 429, 502, 503, 504})
"""Statuses after which it may go well; None stands for no answer."""

_PLACES = frozenset({"body", "query", "header", "path"})


class ApiError(Exception):
    """The API has refused a call, or has not answered it."""

    code: str
    """Stable: `NOT_FOUND`, `GRAPH_VALIDATION_ERROR`, …; `UNREACHABLE` when nobody answered."""
    message: str
    """For people."""
    details: Mapping[str, Any]
    """What the code brings along, such as `node_errors`."""
    status: int | None
    """Of HTTP; None when there was no answer."""
    request_id: str | None
    """Under which the server has logged the call."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(f"{code} ({status}): {message}" if status is not None else f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details or {}
        self.status = status
        self.request_id = request_id

    @property
    def node_errors(self) -> Mapping[str, Mapping[str, str]]:
        """What is wrong with a graph or with the inputs of an execution: `{node_id: {field: message}}`."""
        errors = self.details.get("node_errors")
        return errors if isinstance(errors, Mapping) else {}

    @property
    def field_errors(self) -> Mapping[str, str]:
        """What is wrong with the body or the query of a call: `{field: message}`."""
        fields = self.details.get("fields")
        if isinstance(fields, Mapping):
            return fields
        errors = self.details.get("errors")
        listed = [error for error in errors if isinstance(error, Mapping)] if isinstance(errors, list) else []
        return {_named(str(error.get("field"))): str(error.get("message")) for error in listed}


def _named(place: str) -> str:
    """Return a field without where it stands, unless that is all."""
    start, _, rest = place.partition(".")
    return rest if rest and start in _PLACES else place
