"""The block that speaks HTTP with any server. Which one may be reached is decided elsewhere."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.errors import BlockError, BlockUnavailable
from app.graph.signature import Effect
from app.outbound.http import IDEMPOTENT_METHODS, SAFE_METHODS

if TYPE_CHECKING:
    from app.blocks.context import BlockContext
    from app.outbound.response import Response

REQUEST_TIMEOUT_SECONDS = 300.0

_BARE_HOST = re.compile(r"[\w.-]+(:\d+)?([/?#].*)?", re.DOTALL)
_BINARY = re.compile(r"(image|audio|video|font)/(?!svg\+xml)|application/(octet-stream|pdf|zip|gzip)$")


class HttpMethod(StrEnum):
    """The methods that the block offers."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    DELETE = "DELETE"
    PATCH = "PATCH"
    OPTIONS = "OPTIONS"
    HEAD = "HEAD"


class SendWebRequestBlock(RemoteBlock):
    """Send one HTTP request and pass the body of the response on.

    A request that fails for a passing reason (429, 502, 503, 504, and 500 when the method is idempotent) is
    tried again; what the last attempt brings is emitted. A request that changes something carries an
    `Idempotency-Key`, the same on every attempt.
    """

    id = "6595ae1f-b924-42cb-9a41-551a0611c4b4"
    categories = (BlockCategory.OUTPUT,)
    timeout_seconds = REQUEST_TIMEOUT_SECONDS + 20
    effect = Effect.UNKEYED

    class Input(BlockInput):
        """The request."""

        url: str
        """Of http or https, on the public internet. http is taken when there is no scheme."""
        method: HttpMethod = HttpMethod.POST
        """What to do there."""
        headers: dict[str, str] = Field(default={})
        """Sent along. Those of the connection and of the framing (`Host`, `Content-Length`) are left out."""
        json_format: bool = True
        """Whether the body goes as JSON; otherwise as a URL-encoded form."""
        body: dict[str, Any] | None = None
        """Nothing is sent when it is null."""
        files_name: str = "file"
        """The form field of the files."""
        files: list[str] = Field(default=[])
        """Sending files is not offered yet: has to be empty."""

    class Output(BlockOutput):
        """The body of the response, on the pin that its status chooses.

        JSON is parsed, other text comes as text, images and the like as a data URI.
        """

        response: Any
        """When the status is 2xx."""
        client_error: Any
        """When the status is 4xx."""
        server_error: Any
        """When the status is any other."""

    def effect_of(self, given: dict[str, Any]) -> Effect:
        """Return what the method says. Few servers know the key of a request that changes something."""
        return Effect.PURE if str(given.get("method")).upper() in SAFE_METHODS else self.effect

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Send the request.

        Raises:
            BlockUnavailable: The failure may pass: of the network, or of the server while attempts are left.
            AddressRefused: The URL leads to an address that blocks may not reach.
            BlockError: The request is not valid, or the response is too large.
        """
        if given.files:
            raise BlockError("Sending files is not offered yet; leave `files` empty")
        url = given.url.strip()
        response = await context.http.request(
            given.method,
            f"http://{url}" if _BARE_HOST.fullmatch(url) else url,
            headers=given.headers,
            json=given.body if given.json_format else None,
            form=None if given.json_format or given.body is None else _form_of(given.body),
            idempotency_key=context.idempotency_key,
            timeout_seconds=REQUEST_TIMEOUT_SECONDS,
        )
        if not context.is_last_attempt and _is_transient(given.method, response.status_code):
            raise BlockUnavailable(
                f"The host answered {response.status_code}", retry_after_seconds=response.retry_after_seconds
            )
        if response.is_success:
            yield "response", _body_of(response)
        else:
            yield "client_error" if response.is_client_error else "server_error", _body_of(response)


def _is_transient(method: str, status_code: int) -> bool:
    return status_code in (429, 502, 503, 504) or (status_code == 500 and method in IDEMPOTENT_METHODS)


def _form_of(body: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}


def _body_of(response: Response) -> Any:
    media_type = response.content_type
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            return response.json()
        except (ValueError, RecursionError):
            return response.text
    if response.body and _BINARY.match(media_type):
        return f"data:{media_type};base64,{base64.b64encode(response.body).decode()}"
    return response.text
