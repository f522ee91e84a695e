"""The outermost edge of the API: every request gets an id, and nothing that is raised gets past it."""

from __future__ import annotations

import re
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.edge.security_headers import secure
from app.api.errors import SystemFault, error_response
from app.tenants import NOBODY, working_for

log = structlog.get_logger(__name__)

REQUEST_ID = "X-Request-ID"
_TAKEN_AS_IT_IS = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Edge:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, *, is_https: bool = False) -> None:
        self._app = app
        self._is_https = is_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _TAKEN_AS_IT_IS.fullmatch(given) else str(uuid.uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        has_begun = False

        async def send_named(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                secure(headers, path=scope["path"], is_https=self._is_https)
                rate = scope["state"].get("rate")
                if rate is not None:
                    headers.update(rate.as_headers())
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id), working_for(NOBODY):
            try:
                await self._app(scope, receive, send_named)
            except Exception:  # the outermost edge: whatever nobody foresaw still gets the error envelope
                # A path itself may be a secret: what is logged is the route's, with names in place of values.
                log.exception("request_crashed", path=getattr(scope.get("route"), "path", None))
                if has_begun:
                    raise
                await error_response(SystemFault(), request_id)(scope, receive, send_named)
