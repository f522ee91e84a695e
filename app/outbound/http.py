"""The one client through which blocks speak HTTP: to public addresses only, within limits on time and size.

Which addresses are public is decided in `app.outbound.addresses`, anew for every redirect.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import httpcore2
import httpx2

from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.outbound.addresses import CheckedBackend, Resolver, resolve
from app.outbound.authorities import trust_public_authorities
from app.outbound.forms import FormFile
from app.outbound.idempotency import make_header_value
from app.outbound.requests import make_request, redirected
from app.outbound.response import BodyReader, Response

DEFAULT_LIMIT_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)
CONNECT_TIMEOUT_SECONDS = 10.0

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
IDEMPOTENT_METHODS = SAFE_METHODS | {"PUT", "DELETE"}


class OutboundHttp:
    """Makes requests for blocks. Keeps no cookies and no connections, so one serves all users."""

    def __init__(
        self,
        *,
        allowed_private_hosts: Iterable[str] = (),
        own_services: Iterable[str] = (),
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        resolver: Resolver = resolve,
        network: httpcore2.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Open the client.

        Args:
            allowed_private_hosts: Hosts, or `host:port`, that are reached whatever their address is.
            own_services: `host:port` of what runs this system: never reached, allowed or not.
            limit_bytes: The largest response that is read.
            resolver: Finds the addresses of a host.
            network: Connects to an address that was checked.
            ssl_context: What is trusted; the public certificate authorities unless given.
        """
        self._limit_bytes = limit_bytes
        # A kept connection may die under the next request, and none could tell whether that was carried out.
        self._network = CheckedBackend(
            allowed_private_hosts=allowed_private_hosts,
            own_services=own_services,
            resolver=resolver,
            network=network,
        )
        self._connections = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context or trust_public_authorities(),
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=self._network,
        )

    async def request(  # noqa: PLR0913 - what a request can carry, nearly all of it by name and left out
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        files: Iterable[FormFile] = (),
        idempotency_key: str | None = None,
        secret_headers: Iterable[str] = (),
        follows_redirects: bool = True,
        limit_bytes: int | None = None,
        timeout_seconds: float = 30.0,
    ) -> Response:
        """Make one request, follow its redirects and read the response. No status is an error here.

        Args:
            method: In any case.
            url: Of http or https, without a user name in it.
            headers: Those of the connection and of the framing are left out: the client sets them.
            content: The body. At most one of `content`, `json` and `form` is given.
            json: A value to send as JSON; None sends nothing.
            form: Fields to send as a form, URL-encoded unless there are files.
            files: Files to send as parts of the form.
            idempotency_key: Sent as `Idempotency-Key` when the method changes something.
            secret_headers: Names of headers that no redirect takes to another host, besides those whose names say so.
            follows_redirects: Whether a redirect is followed; otherwise it is the answer.
            limit_bytes: The largest response that is read; None for the usual.
            timeout_seconds: For everything together.

        Raises:
            AddressRefused: The URL, or a redirect, leads to an address that is not public.
            BlockInputInvalid: Method, URL, headers or content are malformed.
            BlockLimitExceeded: The response is too large.
            BlockUnavailable: The host cannot be reached, or did not answer in time.
                `details.outcome_unknown` is true when the request may have been carried out and the method is
                not idempotent.
            BlockError: The response cannot be understood, or there are too many redirects.
        """
        try:
            request = make_request(
                method,
                url,
                headers,
                content=content,
                json=json,
                form=form,
                files=list(files),
                secret_headers=secret_headers,
            )
        except ValueError as error:
            raise BlockInputInvalid("The request holds what HTTP or JSON cannot carry") from error
        if idempotency_key and request.method not in SAFE_METHODS:
            request.headers.setdefault("idempotency-key", make_header_value(idempotency_key))
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._follow(
                    request, follows_redirects=follows_redirects, limit_bytes=limit_bytes or self._limit_bytes
                )
        except TimeoutError as error:
            _raise_unavailable(request, f"did not answer within {timeout_seconds:g} s", error)

    async def connect(self, host: str, port: int) -> httpcore2.AsyncNetworkStream:
        """Open a plain connection, for what speaks HTTP by itself.

        Raises:
            AddressRefused: One of the host's addresses is not public.
            BlockInputInvalid: It cannot be the name of a host.
            BlockUnavailable: The host cannot be reached.
        """
        try:
            return await self._network.connect_tcp(host, port, timeout=CONNECT_TIMEOUT_SECONDS)
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            raise BlockUnavailable(f"{host} cannot be reached: {error}") from error

    async def checked_addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host, for a client that connects to one of them by itself, at once.

        Raises:
            AddressRefused: One of them is not public.
            BlockInputInvalid: It cannot be the name of a host.
            BlockUnavailable: It has no address.
        """
        return await self._network.checked_addresses(host, port)

    async def aclose(self) -> None:
        """Close the client; what is under way is broken off."""
        await self._connections.aclose()

    async def _follow(
        self, request: httpx2.Request, *, follows_redirects: bool, limit_bytes: int
    ) -> Response:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._send(request, follows_redirects=follows_redirects, limit_bytes=limit_bytes)
            if isinstance(answer, Response):
                return answer
            request = answer
        raise BlockError(f"There were more than {MAX_REDIRECTS} redirects")

    async def _send(
        self, request: httpx2.Request, *, follows_redirects: bool, limit_bytes: int
    ) -> Response | httpx2.Request:
        """Return the response, or the request that it redirects to."""
        url = request.url
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        try:
            async with self._connections.stream(
                request.method,
                target,
                headers=request.headers.raw,
                content=request.content,
                extensions={"timeout": {"connect": CONNECT_TIMEOUT_SECONDS}},
            ) as answer:
                headers = httpx2.Headers(answer.headers)
                if follows_redirects and answer.status in REDIRECTS and "location" in headers:
                    return redirected(request, answer.status, headers["location"])
                body = BodyReader(
                    content_encoding=headers.get("content-encoding", ""), limit_bytes=limit_bytes
                )
                async for chunk in answer.aiter_stream():
                    body.feed(chunk)
                return Response(
                    status_code=answer.status,
                    headers=dict(headers),
                    body=body.finish(),
                    url=str(url),
                )
        except httpcore2.LocalProtocolError as error:
            raise BlockInputInvalid("The headers are not valid in HTTP") from error
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            raise BlockUnavailable(f"{url.host} cannot be reached: {error}") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            _raise_unavailable(request, "broke the connection off", error)


def _raise_unavailable(request: httpx2.Request, what: str, cause: Exception) -> NoReturn:
    raise BlockUnavailable(
        f"{request.url.host} {what}",
        details={"outcome_unknown": True} if request.method not in IDEMPOTENT_METHODS else None,
    ) from cause
