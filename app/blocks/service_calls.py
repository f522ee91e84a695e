"""How blocks ask a service for something: what its answer means for the call, in words that hold no secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from app.errors import BlockError, BlockUnavailable, Category

if TYPE_CHECKING:
    from app.blocks.context import BlockContext
    from app.outbound.response import Response

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_PASSING_WHEN_CHANGING = frozenset({429, 503})
"""With any other, nobody knows whether what was asked for has been done."""
_QUOTED = 200


class CredentialsRefused(BlockError):
    """The service does not accept these credentials."""

    code = "CREDENTIALS_REFUSED"
    category = Category.AUTH


async def ask(
    context: BlockContext,
    url: str,
    *,
    service: str,
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    changes_nothing: bool = False,
    timeout_seconds: float = 60.0,
) -> Response:
    """Return a service's answer, whose status is 2xx. It is asked by GET, or by POST when there is something to send.

    Args:
        context: Of the call.
        url: Without a query.
        service: What people call it.
        query: The parameters in the URL; those that are None are left out.
        headers: All of them stay with this host.
        json: What is sent.
        changes_nothing: Whether asking twice does no harm, although it is by POST.
        timeout_seconds: For everything together.

    Raises:
        BlockUnavailable: It cannot be reached, or says that it will work later.
        CredentialsRefused: It does not accept the credentials.
        BlockError: It refuses for another reason, or answers with too much.
    """
    asked = urlencode({name: value for name, value in (query or {}).items() if value is not None})
    response = await context.http.request(
        "GET" if json is None else "POST",
        f"{url}?{asked}" if asked else url,
        headers=headers,
        json=json,
        idempotency_key=context.idempotency_key,
        secret_headers=headers or (),
        timeout_seconds=timeout_seconds,
    )
    if response.is_success:
        return response
    code = response.status_code
    passing = _PASSING if changes_nothing or json is None else _PASSING_WHEN_CHANGING
    if code in passing:
        raise BlockUnavailable(f"{service} answered {code}", retry_after_seconds=response.retry_after_seconds)
    if code in (401, 403):
        raise CredentialsRefused(f"{service} does not accept the credentials ({code})")
    raise BlockError(f"{service} answered {code}{_reason_in(response)}")


def read_object(response: Response, *, service: str) -> dict[str, Any]:
    """Return the JSON object that a service answered with.

    Raises:
        BlockError: It is none.
    """
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise BlockError(f"{service} answered with something else than a JSON object")
    return answer


def _reason_in(response: Response) -> str:
    try:
        said = response.json()
    except (ValueError, RecursionError):
        return ""
    reason = said.get("message") or said.get("error") if isinstance(said, dict) else None
    if isinstance(reason, dict):
        reason = reason.get("message")
    return f": {reason[:_QUOTED]}" if isinstance(reason, str) and reason else ""
