"""The one kind of route: says who calls before it reads a body, reads bodies strictly and once, and honours keys."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar

import structlog
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.api.auth import Caller
from app.api.edge.slow_bodies import in_time
from app.api.errors import request_id_of
from app.api.json_body import parse_json, read_bounded
from app.api.policies import authorize, find_policy
from app.api.services.identity import fingerprint_of
from app.errors import InvalidRequest
from app.tenants import work_for

THREAD_FROM_BYTES = 64 * 1024
"""Larger bodies are parsed beside the event loop."""
CLIENT_CLOSED_REQUEST = 499
PREFIX = "/api"
"""Below which all routes are."""
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
KEY_HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
KEY_DESCRIPTION = "Repeating a request with the same key gives the first answer, for a day."
NAMED_IN_LOG = ("execution_id", "node_execution_id")
_LIKE_AN_ID = re.compile(r"[0-9a-fA-F-]{32,36}")
_KEY_PARAMETER = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
    "description": KEY_DESCRIPTION,
}


class StrictRequest(Request):
    """A request whose JSON body was read under the rules of `app.api.json_body`."""

    reads_body: ClassVar[bool] = False
    """Whether a body is read although the endpoint declares none."""
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

    def release(self) -> None:
        """Let go of what was read, when the request has been answered."""

    async def fingerprint(self) -> str:
        """Return what a repeat of this request has in common with it."""
        given = {
            "call": [self.method, self.url.path, sorted(self.query_params.multi_items())],
            "body": self._value,
        }
        if len(self._text) > THREAD_FROM_BYTES:
            return await asyncio.to_thread(fingerprint_of, given)
        return fingerprint_of(given)


class ApiRoute(APIRoute):
    """A route of the API. Every router uses it, so that no route can be open by mistake."""

    request_class: ClassVar[type[StrictRequest]] = StrictRequest
    changes: ClassVar[bool] = True
    """Whether calls that are no plain reading change something of the caller's, and so may come with a key."""
    open_action: ClassVar[str] = ""
    """What the audit log calls a route that asks for no caller; it has to say whom its calls concern."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take what FastAPI says of a route."""
        super().__init__(*arguments, **options)
        has_own_key = any(field.alias.lower() == KEY_HEADER.lower() for field in self.dependant.header_params)
        self.takes_key = self.changes and not has_own_key and bool(CHANGING & set(self.methods or ()))
        if self.takes_key:
            self.openapi_extra = {**(self.openapi_extra or {}), "parameters": [_KEY_PARAMETER]}
        method = next(iter(self.methods or ()), "GET")
        self.policy = find_policy(method, self.path_format.removeprefix(PREFIX))
        """What it asks of its caller; None when nobody may call it."""
        self.action = self.policy.action if self.policy else self.open_action if method in CHANGING else ""
        """What the audit log calls it; empty when it leaves no entry."""

    async def admit(self, request: Request) -> None:
        """Find out who calls and whether they may, before anything else is read.

        Raises:
            Unauthenticated: Nobody we know.
            Forbidden: They may not call this.
        """
        api = request.app.state.resources
        caller = await self.identify(request)
        request.state.caller = caller
        is_start = self.policy is not None and self.policy.is_start
        request.state.rate = await api.rate_limits.take_user(caller.user_id, is_start=is_start)
        work_for(caller.user_id)
        authorize(caller, self.policy)

    async def identify(self, request: Request) -> Caller:
        """Return who calls.

        Raises:
            Unauthenticated: Nobody we know.
            Forbidden: Somebody who is not let in.
        """
        api = request.app.state.resources
        caller: Caller = await api.callers.identify(request.headers, address=request.state.address)
        return caller

    async def let_in(self, request: Request) -> None:
        """Admit a request unless its user, or its address, has made too many.

        Raises:
            RateLimited: There were too many.
        """
        await self.note_address(request)
        try:
            await self.admit(request)
        finally:
            # Whoever speaks for no user is counted by the address, let in or not.
            if not hasattr(request.state, "caller"):
                await self.count_stranger(request)

    async def note_address(self, request: Request) -> None:
        """Note where a request comes from.

        Raises:
            RateLimited: There were too many from there.
        """
        api = request.app.state.resources
        request.state.address = api.trusted_proxies.address_of(
            request.client.host if request.client else None, request.headers.getlist("x-forwarded-for")
        )
        await api.rate_limits.take_address(request.state.address)

    @staticmethod
    async def count_stranger(request: Request) -> None:
        """Count a request that speaks for no user.

        Raises:
            RateLimited: There were too many from its address.
        """
        api = request.app.state.resources
        request.state.rate = await api.rate_limits.take_stranger(request.state.address)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        handle = super().get_route_handler()
        takes_body = self.body_field is not None or self.request_class.reads_body

        async def handle_strictly(request: Request) -> Response:
            await self.let_in(request)
            if b"%00" in request.scope["query_string"]:
                raise InvalidRequest("A parameter holds a NUL")
            strict = self.request_class(request.scope, in_time(request.receive))
            try:
                if takes_body:
                    await strict.read()
                key = strict.headers.get(KEY_HEADER)
                if key is None or not self.takes_key:
                    return await handle(strict)
                return await self._answer_once(strict, key, lambda: handle(strict))
            except ClientDisconnect:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            finally:
                strict.release()

        async def handle_audited(request: Request) -> Response:
            with structlog.contextvars.bound_contextvars(**named_in(request.path_params)):
                answer: Response = await request.app.state.resources.audit_trail.follow(
                    request, self.action, lambda: handle_strictly(request)
                )
            return answer

        return handle_audited

    async def fingerprint(self, request: StrictRequest) -> str:
        """Return what is kept of a request under its key, to tell a repeat from another one."""
        return await request.fingerprint()

    async def _answer_once(
        self, request: StrictRequest, key: str, carry_out: Callable[[], Coroutine[Any, Any, Response]]
    ) -> Response:
        if not 1 <= len(key) <= MAX_KEY_LENGTH:
            raise InvalidRequest(f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters")
        answer: Response = await request.app.state.resources.idempotent_calls.answer(
            carry_out,
            owner=request.state.caller.user_id,
            key=key,
            fingerprint=await self.fingerprint(request),
            request_id=request_id_of(request),
            kept=self.kept,
        )
        return answer

    def kept(self, body: bytes) -> bytes:
        """Return what is kept of an answer under its key, for repeats."""
        return body


def named_in(path_params: Mapping[str, Any]) -> dict[str, str]:
    """Return what log lines about a call say: which execution its path names, if it is an id."""
    given = {name: str(path_params[name]) for name in NAMED_IN_LOG if name in path_params}
    return {name: value for name, value in given.items() if _LIKE_AN_ID.fullmatch(value)}


class SecretRoute(ApiRoute):
    """A route that takes secrets: of a password that is easy to guess a plain hash would tell too much."""

    async def fingerprint(self, request: StrictRequest) -> str:
        """Return a hash that nobody can compute without the server's keys."""
        blinded: str = request.app.state.resources.credentials.blind(await request.fingerprint())
        return blinded


class OneTimeRoute(ApiRoute):
    """A route whose answers may hold a secret, under one name or another, that is shown once: not in a repeat."""

    secrets: ClassVar[frozenset[str]] = frozenset({"key", "secret"})
    """What it is called."""

    def kept(self, body: bytes) -> bytes:
        """Return the answer without the secret."""
        answer = json.loads(body) if body else None
        if not isinstance(answer, dict) or not self.secrets & answer.keys():
            return body
        return json.dumps(answer | dict.fromkeys(self.secrets & answer.keys())).encode()


class GivenSecretRoute(SecretRoute, OneTimeRoute):
    """A route that takes secrets, and shows those once that it makes itself."""


class ReadingRoute(ApiRoute):
    """A route that changes nothing, whatever its method."""

    changes = False
