"""The one kind of route: says who calls before it reads a body, and reads bodies strictly and once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.api.json_body import parse_json, read_bounded

THREAD_FROM_BYTES = 64 * 1024
"""Larger bodies are parsed beside the event loop."""
CLIENT_CLOSED_REQUEST = 499


class StrictRequest(Request):
    """A request whose JSON body was read under the rules of `app.api.json_body`."""

    _text: bytes = b""
    _value: Any = None

    async def read(self) -> None:
        """Read the body.

        Raises:
            PayloadTooLarge: It is too large.
            InvalidRequest: It is no JSON that is taken.
        """
        declared = self.headers.get("content-length", "")
        self._text = await read_bounded(self.stream(), int(declared) if declared.isdecimal() else None)
        if len(self._text) > THREAD_FROM_BYTES:
            self._value = await asyncio.to_thread(parse_json, self._text)
        elif self._text:
            self._value = parse_json(self._text)

    async def body(self) -> bytes:
        """Return the body as it came."""
        return self._text

    async def json(self) -> Any:
        """Return the value of the body."""
        return self._value


class ApiRoute(APIRoute):
    """A route of the API. Every router uses it, so that no route can be open by mistake."""

    async def admit(self, request: Request) -> None:
        """Find out who calls, before anything else is read.

        Raises:
            Unauthenticated: Nobody we know.
        """
        request.state.caller = await request.app.state.resources.callers.identify(request.headers)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        handle = super().get_route_handler()
        takes_body = self.body_field is not None

        async def handle_strictly(request: Request) -> Response:
            await self.admit(request)
            strict = StrictRequest(request.scope, request.receive)
            if takes_body:
                try:
                    await strict.read()
                except ClientDisconnect:
                    return Response(status_code=CLIENT_CLOSED_REQUEST)
            return await handle(strict)

        return handle_strictly


class CapabilityRoute(ApiRoute):
    """A route for whoever knows a secret part of its path, called `capability`."""

    async def admit(self, request: Request) -> None:
        """Check the secret, before anything else is read.

        Raises:
            NotFound: It is not ours.
        """
        request.app.state.resources.codec.require_capability(request.path_params["capability"])


class ReviewLinkRoute(ApiRoute):
    """A route for whoever holds a signed link to a review, called `token`."""

    async def admit(self, request: Request) -> None:
        """Check the signature, before anything else is read.

        Raises:
            NotFound: The link is not ours, or has expired.
        """
        request.state.link = request.app.state.resources.reviews.read_link(request.path_params["token"])
