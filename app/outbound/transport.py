"""The checked network for client libraries that bring their own HTTP client: a transport to put into it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

import httpcore2
import httpx2

from app.outbound.addresses import CheckedBackend, Resolver, resolve
from app.outbound.authorities import trust_public_authorities
from app.outbound.http import DEFAULT_LIMIT_BYTES

KEPT_SECONDS = 60.0
"""How long a connection that nobody uses stays open."""


class CheckedTransport(httpx2.AsyncBaseTransport):
    """Carries the requests of an `httpx2.AsyncClient` to checked addresses only.

    It keeps connections, which `OutboundHttp` does not: a kept one leads where it led when it was checked.
    No proxy of the environment is used, and responses come uncompressed, so none swells.
    """

    def __init__(
        self,
        *,
        allowed_private_hosts: Iterable[str] = (),
        own_services: Iterable[str] = (),
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        resolver: Resolver = resolve,
        network: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        """Set the rules.

        Args:
            allowed_private_hosts: Hosts, or `host:port`, that are reached whatever their address is.
            own_services: `host:port` of what runs this system: never reached, allowed or not.
            limit_bytes: The largest response that is read.
            resolver: Finds the addresses of a host.
            network: Connects to an address that was checked.
        """
        self._limit_bytes = limit_bytes
        self._connections = httpcore2.AsyncConnectionPool(
            ssl_context=trust_public_authorities(),
            max_connections=None,
            max_keepalive_connections=20,
            keepalive_expiry=KEPT_SECONDS,
            network_backend=CheckedBackend(
                allowed_private_hosts=allowed_private_hosts,
                own_services=own_services,
                resolver=resolver,
                network=network,
            ),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Carry one request.

        Raises:
            AddressRefused: Its URL leads to an address that is not public, or to one of our own services.
            httpx2.TransportError: It could not be carried, or the response is compressed.
        """
        url = request.url
        request.headers["accept-encoding"] = "identity"
        with _told_as_httpx(request):
            answer = await self._connections.handle_async_request(
                httpcore2.Request(
                    method=request.method,
                    url=httpcore2.URL(
                        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        response = httpx2.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_BoundedStream(answer, request, self._limit_bytes),
            extensions=answer.extensions,
        )
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            await answer.aclose()
            raise httpx2.RemoteProtocolError(
                "The response is compressed although no compression was asked for"
            )
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, answer: httpcore2.Response, request: httpx2.Request, limit_bytes: int) -> None:
        self._answer = answer
        self._request = request
        self._left_bytes = limit_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _told_as_httpx(self._request):
            stream = self._answer.stream
            assert isinstance(stream, AsyncIterable)
            async for chunk in stream:
                self._left_bytes -= len(chunk)
                if self._left_bytes < 0:
                    raise httpx2.ReadError("The response is larger than allowed", request=self._request)
                yield chunk

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextlib.contextmanager
def _told_as_httpx(request: httpx2.Request) -> Iterator[None]:
    try:
        yield
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
        # The two libraries call their errors the same.
        told: Any = getattr(httpx2, type(error).__name__)
        raise told(str(error), request=request) from error
