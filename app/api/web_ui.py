"""Temporal's Web UI as a caller: which of our paths its pages may call from a browser, and where it finds them."""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.encryption.keys import EncryptionKey

CODEC_PATH = "/api/codec"
HEADERS = ("Authorization", "Content-Type", "X-Namespace")
_ONE_MACHINE = ("127.0.0.1", "localhost")


class WebUiAccess:
    """ASGI middleware: the browser lets pages of the Web UI, and of nobody else, call the codec."""

    def __init__(self, app: ASGIApp, *, web_ui_url: str | None) -> None:
        self._app = app
        self._for_web_ui = CORSMiddleware(
            app, allow_origins=_origins_of(web_ui_url), allow_methods=["POST"], allow_headers=HEADERS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        is_codec = scope["type"] == "http" and scope["path"].startswith(f"{CODEC_PATH}/")
        await (self._for_web_ui if is_codec else self._app)(scope, receive, send)


def make_capability(key: EncryptionKey) -> str:
    """Return the secret part of a path that lets the embedded Web UI use the codec; a new key makes a new one."""
    return base64.urlsafe_b64encode(key.derive("web ui")).decode().rstrip("=")


def codec_endpoint(api_url: str, capability: str) -> str:
    """Return the address that the embedded Web UI is given."""
    return f"{api_url}{CODEC_PATH}/{capability}"


def _origins_of(url: str | None) -> list[str]:
    """Return the origin of a page; two when a person of this machine may spell it in two ways."""
    if url is None:
        return []
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    if parts.hostname not in _ONE_MACHINE:
        return [origin]
    return [origin.replace(parts.hostname, name, 1) for name in _ONE_MACHINE]
