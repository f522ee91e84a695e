"""Where models find tools: the one address that speaks MCP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from app.api.dependencies import CallerDep, IdempotencyKey, ResourcesDep
from app.api.published.tool_calls import MAX_SESSION_LENGTH, ToolCalls
from app.api.route import ApiRoute, StrictRequest
from app.errors import Forbidden

CANCELLED = "notifications/cancelled"


class ToolRequest(StrictRequest):
    """A message, which is read under the rules of every other body."""

    reads_body = True


class ToolRoute(ApiRoute):
    """A route for clients that are no pages, unless they are pages of an origin that may call the API."""

    request_class = ToolRequest

    async def admit(self, request: Request) -> None:
        """Find out who calls, wherever from: nobody is believed for being on this machine.

        Raises:
            Unauthenticated: Nobody we know.
            Forbidden: They may not call this, or a page of another origin does.
        """
        origins: Sequence[str] = request.app.state.resources.published.origins
        if any(origin not in origins for origin in request.headers.getlist("origin")):
            raise Forbidden("Pages of this origin may not call tools")
        await super().admit(request)


class ToolAnswer(Response):
    """An answer that the protocol's own SDK sends."""

    def __init__(self, calls: ToolCalls, message: Any, body: bytes) -> None:
        """Take the message, and what it is served from."""
        super().__init__()
        self._calls = calls
        self._message = message
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        # Only who speaks to tools pays for the SDK, and nobody else waits while it is loaded.
        server = await asyncio.to_thread(import_module, "app.api.published.tool_server")
        await server.serve(self._calls, self._message, self._body, scope, receive, send)


router = APIRouter(route_class=ToolRoute, include_in_schema=False)


@router.post("/mcp")
async def speak_mcp(
    request: Request, caller: CallerDep, api: ResourcesDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answer a message of the Model Context Protocol, by which models list and call your published graphs."""
    session = request.headers.get("mcp-session-id", "")[:MAX_SESSION_LENGTH]
    calls = ToolCalls(api, request, caller, session=session, key=idempotency_key)
    message = await request.json()
    if isinstance(message, dict) and message.get("method") == CANCELLED and "id" not in message:
        params = message.get("params")
        request_id = params.get("requestId") if isinstance(params, dict) else None
        if isinstance(request_id, str | int):
            await calls.take_back(request_id)
        return Response(status_code=202)
    return ToolAnswer(calls, message, await request.body())
