"""How a request is made of what a block gives, and what a redirect makes of it."""

from __future__ import annotations

import json as json_codec
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import httpx2

from app.errors import BlockInputInvalid
from app.outbound.forms import FormFile, make_multipart

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


def make_request(
    method: str,
    url: str,
    headers: Mapping[str, str] | None,
    *,
    content: bytes | None,
    json: Any,
    form: Mapping[str, str] | None,
    files: Sequence[FormFile],
    secret_headers: Iterable[str],
) -> httpx2.Request:
    """Return a request with its framing. What the arguments mean, `OutboundHttp.request` says.

    Raises:
        BlockInputInvalid: Method or URL are malformed.
        ValueError: It holds what HTTP or JSON cannot carry.
    """
    if not re.fullmatch(r"[A-Za-z]{1,20}", method):
        raise BlockInputInvalid("The method is not one of HTTP")
    # Bytes, because text would have to be ASCII; many servers take UTF-8.
    sent = httpx2.Headers(
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
    request = _framed(method.upper(), _checked_url(httpx2.URL(""), url), sent, content)
    request.extensions[_SECRETS] = frozenset(name.strip().lower() for name in secret_headers)
    return request


def redirected(request: httpx2.Request, status_code: int, location: str) -> httpx2.Request:
    """Return the request that a redirect makes of another one. No secret follows it to another origin.

    Raises:
        BlockInputInvalid: It leads to no web address.
    """
    url = _checked_url(request.url, location)
    headers = httpx2.Headers(
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
    followed = _framed(method, url, headers, content)
    followed.extensions = dict(request.extensions)
    return followed


def _framed(method: str, url: httpx2.URL, headers: httpx2.Headers, content: bytes | None) -> httpx2.Request:
    headers["accept-encoding"] = "gzip"
    headers["connection"] = "close"
    return httpx2.Request(method, url, headers=headers, content=content)


def _checked_url(base: httpx2.URL, reference: str) -> httpx2.URL:
    try:
        url = base.join(reference.strip())
        # Decoding the host is part of parsing it, and is put off until asked for.
        host = url.host
    except (httpx2.InvalidURL, ValueError) as error:
        raise BlockInputInvalid("The URL is not valid") from error
    if url.scheme not in ("http", "https") or not host or not _HOST.fullmatch(url.raw_host):
        raise BlockInputInvalid("The URL has to begin with http:// or https:// and a host name")
    if url.port is not None and not 0 < url.port < 65_536:
        raise BlockInputInvalid("The port of the URL is not one")
    if url.userinfo:
        raise BlockInputInvalid("The URL may not hold a user name or password")
    return url


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
