"""The blocks that speak HTTP with any server. Which one may be reached is decided elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.credentials import CredentialsRef, HostHeaders, headers_for
from app.errors import BlockLimitExceeded, BlockUnavailable
from app.files.data_uris import make_data_uri
from app.graph.credentials import CredentialsNeed, CredentialsType
from app.graph.signature import Effect
from app.outbound.forms import FormFile
from app.outbound.http import IDEMPOTENT_METHODS, SAFE_METHODS

if TYPE_CHECKING:
    from app.blocks.context import BlockContext
    from app.outbound.response import Response

REQUEST_TIMEOUT_SECONDS = 300.0
MAX_FILES_BYTES = 32 * 1024 * 1024
"""All files of a request together."""
MAX_INLINE_BYTES = 256 * 1024
"""A response that is no text and larger is kept as a file."""

_BARE_HOST = re.compile(r"[\w.-]+(:\d+)?([/?#].*)?", re.DOTALL)
_BINARY = re.compile(r"(image|audio|video|font)/(?!svg\+xml)|application/(octet-stream|pdf|zip|gzip)$")


def complete_url(given: str) -> str:
    """Return a URL as people write it, with http when there is no scheme."""
    url = given.strip()
    return f"http://{url}" if _BARE_HOST.fullmatch(url) else url


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
        """Whether the body goes as JSON; otherwise, and whenever there are files, as the fields of a form."""
        body: dict[str, Any] | None = None
        """Nothing is sent when it is null."""
        files_name: str = "file"
        """The form field of the files."""
        files: list[str] = Field(default=[])
        """Files to send in a form: references, URLs or data URIs, 32 MiB at most together."""

    class Output(BlockOutput):
        """The body of the response, on the pin that its status chooses.

        JSON is parsed, other text comes as text, images and the like as a data URI, above 256 KiB as a file.
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
            BlockError: The request or a file is not valid, or something is too large.
        """
        async for emitted in _send(given, context, secret_headers={}):
            yield emitted


class SendAuthenticatedWebRequestBlock(SendWebRequestBlock):
    """Send one HTTP request with stored headers that are for its host only.

    The headers go along when the host of the URL is the one that they are stored for; a redirect does not take them to
    another host. A header of the node wins over a stored one of the same name.
    """

    id = "fff86bcd-e001-4bad-a7f6-2eae4720c8dc"
    credentials = MappingProxyType(
        {
            "credentials": CredentialsNeed(
                providers=("http",), types=(CredentialsType.HOST_SCOPED,), discriminator="url"
            )
        }
    )

    class Input(SendWebRequestBlock.Input):
        """The request."""

        credentials: CredentialsRef | None = None
        """Headers and the host that they are for."""

    async def run(self, given: Any, context: BlockContext) -> AsyncIterator[Emitted]:
        """Send the request.

        Raises:
            CredentialsMissing: None were chosen.
            BlockUnavailable: The failure may pass: of the network, or of the server while attempts are left.
            AddressRefused: The URL leads to an address that blocks may not reach.
            BlockError: The request or a file is not valid, or something is too large.
        """
        stored = await context.require_credentials(HostHeaders)
        async for emitted in _send(
            given, context, secret_headers=headers_for(stored, complete_url(given.url))
        ):
            yield emitted


async def _send(
    given: SendWebRequestBlock.Input, context: BlockContext, *, secret_headers: Mapping[str, str]
) -> AsyncIterator[Emitted]:
    files = await _read_files(given, context)
    is_form = bool(files) or not given.json_format
    own = {name.strip().lower() for name in given.headers}
    stored = {name: value for name, value in secret_headers.items() if name.lower() not in own}
    response = await context.http.request(
        given.method,
        complete_url(given.url),
        headers={**stored, **given.headers},
        json=None if is_form else given.body,
        form=_form_of(given.body) if is_form and given.body is not None else None,
        files=files,
        idempotency_key=context.idempotency_key,
        secret_headers=stored,
        timeout_seconds=REQUEST_TIMEOUT_SECONDS,
    )
    if not context.is_last_attempt and _is_transient(given.method, response.status_code):
        raise BlockUnavailable(
            f"The host answered {response.status_code}", retry_after_seconds=response.retry_after_seconds
        )
    pin = "client_error" if response.is_client_error else "server_error"
    yield "response" if response.is_success else pin, await _body_of(response, context)


async def _read_files(given: SendWebRequestBlock.Input, context: BlockContext) -> list[FormFile]:
    files: list[FormFile] = []
    room = MAX_FILES_BYTES
    for reference in given.files:
        file = await context.files.read(reference, limit_bytes=room)
        room -= len(file.content)
        if room < 0:
            raise BlockLimitExceeded("The files are larger than 32 MiB together")
        files.append(FormFile(given.files_name, file.name, file.content, file.content_type))
    return files


def _is_transient(method: str, status_code: int) -> bool:
    return status_code in (429, 502, 503, 504) or (status_code == 500 and method in IDEMPOTENT_METHODS)


def _form_of(body: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}


async def _body_of(response: Response, context: BlockContext) -> Any:
    media_type = response.content_type
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            return response.json()
        except (ValueError, RecursionError):
            return response.text
    if not response.body or not _BINARY.match(media_type):
        return response.text
    if len(response.body) > MAX_INLINE_BYTES:
        return await context.files.store(response.body, content_type=media_type)
    return make_data_uri(response.body, media_type)
