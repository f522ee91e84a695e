"""The one client through which blocks speak HTTP: to public addresses only, within limits on time and size.

Which addresses are public is decided in `app.outbound.addresses`, anew for every redirect.
"""

from __future__ import annotations

import asyncio
import json as json_codec
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import urlencode

import httpcore
import httpx

from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.outbound.addresses import CheckedBackend, Resolver, resolve
from app.outbound.forms import FormFile, make_multipart
from app.outbound.idempotency import make_header_value
from app.outbound.response import BodyReader, Response

DEFAULT_LIMIT_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 10
CONNECT_TIMEOUT_SECONDS = 10.0

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
IDEMPOTENT_METHODS = SAFE_METHODS | {"PUT", "DELETE"}

_CLIENT_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""What the client alone decides: headers of the connection and of the framing."""
_CONTENT_HEADERS = ("content-encoding", "content-language", "content-location", "content-type")
_SECRET_HEADER = re.compile(r"auth|cookie|api-?key|token|secret|session|signature", re.IGNORECASE)

_SECRETS = "secret_headers"
"""Where a request keeps the names of further ones."""

_HOST = re.compile(rb"[\w.:-]+")
"""A name or an address, of either kind."""


class OutboundHttp:
    """Makes requests for blocks. Keeps no cookies and no connections, so one serves all users."""

    def __init__(
        self,
        *,
        allowed_private_hosts: Iterable[str] = (),
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        resolver: Resolver = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Open the client.

        Args:
            allowed_private_hosts: Hosts, or `host:port`, that are reached whatever their address is.
            limit_bytes: The largest response that is read.
            resolver: Finds the addresses of a host.
            network: Connects to an address that was checked.
            ssl_context: What is trusted; the public certificate authorities unless given.
        """
        self._limit_bytes = limit_bytes
        # A kept connection may die under the next request, and none could tell whether that was carried out.
        self._network = CheckedBackend(
            allowed_private_hosts=allowed_private_hosts, resolver=resolver, network=network
        )
        self._connections = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(trust_env=False),
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=self._network,
        )

    async def request(
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
            request = _make_request(
                method, url, headers, content=content, json=json, form=form, files=list(files)
            )
        except ValueError as error:
            raise BlockInputInvalid("The request holds what HTTP or JSON cannot carry") from error
        request.extensions[_SECRETS] = frozenset(name.strip().lower() for name in secret_headers)
        if idempotency_key and request.method not in SAFE_METHODS:
            request.headers.setdefault("idempotency-key", make_header_value(idempotency_key))
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._follow(request)
        except TimeoutError as error:
            _raise_unavailable(request, f"did not answer within {timeout_seconds:g} s", error)

    async def connect(self, host: str, port: int) -> httpcore.AsyncNetworkStream:
        """Open a plain connection, for what speaks HTTP by itself.

        Raises:
            AddressRefused: One of the host's addresses is not public.
            BlockInputInvalid: It cannot be the name of a host.
            BlockUnavailable: The host cannot be reached.
        """
        try:
            return await self._network.connect_tcp(host, port, timeout=CONNECT_TIMEOUT_SECONDS)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise BlockUnavailable(f"{host} cannot be reached: {error}") from error

    async def aclose(self) -> None:
        """Close the client; what is under way is broken off."""
        await self._connections.aclose()

    async def _follow(self, request: httpx.Request) -> Response:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._send(request)
            if isinstance(answer, Response):
                return answer
            request = answer
        raise BlockError(f"There were more than {MAX_REDIRECTS} redirects")

    async def _send(self, request: httpx.Request) -> Response | httpx.Request:
        """Return the response, or the request that it redirects to."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        try:
            async with self._connections.stream(
                request.method,
                target,
                headers=request.headers.raw,
                content=request.content,
                extensions={"timeout": {"connect": CONNECT_TIMEOUT_SECONDS}},
            ) as answer:
                headers = httpx.Headers(answer.headers)
                if answer.status in (301, 302, 303, 307, 308) and "location" in headers:
                    return _redirected(request, answer.status, headers["location"])
                body = BodyReader(
                    content_encoding=headers.get("content-encoding", ""), limit_bytes=self._limit_bytes
                )
                async for chunk in answer.aiter_stream():
                    body.feed(chunk)
                return Response(
                    status_code=answer.status,
                    headers=dict(headers),
                    body=body.finish(),
                    url=str(url),
                )
        except httpcore.LocalProtocolError as error:
            raise BlockInputInvalid("The headers are not valid in HTTP") from error
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise BlockUnavailable(f"{url.host} cannot be reached: {error}") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            _raise_unavailable(request, "broke the connection off", error)


def _make_request(
    method: str,
    url: str,
    headers: Mapping[str, str] | None,
    *,
    content: bytes | None,
    json: Any,
    form: Mapping[str, str] | None,
    files: Sequence[FormFile],
) -> httpx.Request:
    if not re.fullmatch(r"[A-Za-z]{1,20}", method):
        raise BlockInputInvalid("The method is not one of HTTP")
    # Bytes, because text would have to be ASCII; many servers take UTF-8.
    sent = httpx.Headers(
        [
            (name.encode(), str(value).strip().encode())
            for name, value in (headers or {}).items()
            if name.strip().lower() not in _CLIENT_HEADERS
        ]
    )
    if files:
        content, sent["content-type"] = make_multipart(form or {}, files)
    elif json is not None:
        content = json_codec.dumps(json, allow_nan=False).encode()
        sent.setdefault("content-type", "application/json")
    elif form is not None:
        content = urlencode(form).encode()
        sent.setdefault("content-type", "application/x-www-form-urlencoded")
    sent.setdefault("user-agent", "Perdure")
    sent.setdefault("accept", "*/*")
    return _framed(method.upper(), _checked_url(httpx.URL(""), url), sent, content)


def _framed(method: str, url: httpx.URL, headers: httpx.Headers, content: bytes | None) -> httpx.Request:
    headers["accept-encoding"] = "gzip"
    headers["connection"] = "close"
    return httpx.Request(method, url, headers=headers, content=content)


def _checked_url(base: httpx.URL, reference: str) -> httpx.URL:
    try:
        url = base.join(reference.strip())
        # Decoding the host is part of parsing it, and is put off until asked for.
        host = url.host
    except (httpx.InvalidURL, ValueError) as error:
        raise BlockInputInvalid("The URL is not valid") from error
    if url.scheme not in ("http", "https") or not host or not _HOST.fullmatch(url.raw_host):
        raise BlockInputInvalid("The URL has to begin with http:// or https:// and a host name")
    if url.port is not None and not 0 < url.port < 65_536:
        raise BlockInputInvalid("The port of the URL is not one")
    if url.userinfo:
        raise BlockInputInvalid("The URL may not hold a user name or password")
    return url


def _redirected(request: httpx.Request, status_code: int, location: str) -> httpx.Request:
    url = _checked_url(request.url, location)
    headers = httpx.Headers(
        [(name, value) for name, value in request.headers.raw if name.lower().decode() not in _CLIENT_HEADERS]
    )
    if _origin(url) != _origin(request.url):
        marked = request.extensions.get(_SECRETS, frozenset())
        for name in [name for name in headers if name in marked or _SECRET_HEADER.search(name)]:
            del headers[name]
    method, content = request.method, request.content
    becomes_get = method != "HEAD" if status_code == 303 else status_code in (301, 302) and method == "POST"
    if becomes_get:
        method, content = "GET", b""
        for name in (*_CONTENT_HEADERS, "idempotency-key"):
            headers.pop(name, None)
    redirected = _framed(method, url, headers, content)
    redirected.extensions = dict(request.extensions)
    return redirected


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _raise_unavailable(request: httpx.Request, what: str, cause: Exception) -> NoReturn:
    raise BlockUnavailable(
        f"{request.url.host} {what}",
        details={"outcome_unknown": True} if request.method not in IDEMPOTENT_METHODS else None,
    ) from cause
