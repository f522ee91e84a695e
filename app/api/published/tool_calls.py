"""Published graphs as tools of models, for one message of one caller, whatever protocol it came by.

A call is an execution. Its id follows from who calls and from how the client names the call, so that a repeat finds the
first execution, and whoever takes a call back finds it in any process of the API.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import structlog
from fastapi import Request
from starlette.responses import Response

from app.api.auditing import REPLAYED, name_caller
from app.api.auth import Caller
from app.api.live.notices import Notice
from app.api.published.calls import RESULT, place_of
from app.api.resources import Resources
from app.api.schemas.publications import PublicationView, RunView
from app.api.services.identity import execution_id_of
from app.api.services.records import is_ended
from app.errors import Category, NotFound, PerdureError, Severity
from app.models.tables.executions import Execution

log = structlog.get_logger(__name__)

MAX_SESSION_LENGTH = 128
MAX_WAIT_SECONDS = 600.0
"""How long a call is waited for: many a client gives up sooner."""


class StillRunning(PerdureError):
    """The execution goes on; what it gives is to be had from the API later."""

    code = "STILL_RUNNING"
    severity = Severity.LOW
    category = Category.BUSINESS


class ResultTooLarge(PerdureError):
    """The result is more than a client of the protocol takes; it is to be had from the API."""

    code = "RESULT_TOO_LARGE"
    severity = Severity.LOW
    category = Category.BUSINESS


Report = Callable[[Notice], Awaitable[None]]


class ToolCalls:
    """Lists the tools of a caller, calls them and takes calls back."""

    def __init__(
        self, api: Resources, request: Request, caller: Caller, *, session: str = "", key: str | None = None
    ) -> None:
        """Take what the message is served from.

        Args:
            api: The parts of the API.
            request: What brought the message.
            caller: Who sent it.
            session: What the client has in common with its other messages; empty for nothing.
            key: The message's idempotency key, if it came with one.
        """
        self._api = api
        self._request = request
        self._caller = caller
        self._session = session
        self._key = key
        self.open_id: uuid.UUID | None = None
        """The execution that a call waits for."""

    async def list(self) -> list[PublicationView]:
        """Return what may be called."""
        return await self._api.published.publications.find(self._caller.user_id, tools_only=True)

    async def call(
        self, name: str, inputs: Mapping[str, Any], *, request_id: str | int, report: Report
    ) -> RunView:
        """Return what a tool gives.

        Args:
            name: Of the tool.
            inputs: What it is given.
            request_id: How the client names the call.
            report: Is told what happens meanwhile.

        Raises:
            NotFound: There is no tool of that name.
            StillRunning: It takes longer than is waited for, or the server is being stopped.
            PerdureError: It was not started, or has failed.
        """
        owner = self._caller.user_id
        published = await self._api.published.publications.require_slug(owner, name)
        if not published.publication.is_tool:
            raise NotFound
        await self._api.rate_limits.take_start(owner)
        with self._api.streams.held(owner):
            execution = await self._start(name, inputs, self._key_of(request_id))
            self.open_id = execution.id
            execution = await self._until_ended(execution, report)
            self.open_id = None
        if not is_ended(execution):
            details = {"execution_id": str(execution.id), "status": execution.status}
            raise StillRunning(details={**details, "url": place_of(execution.id)})
        return await self._api.published.calls.view(execution)

    async def take_back(self, request_id: str | int) -> None:
        """Stop the execution of a call that the client no longer waits for, if there is one."""
        if self._session:
            await self._stop(execution_id_of(self._caller.user_id, self._key_in_session(request_id)))

    async def abandon(self) -> None:
        """Stop the execution that this message's own call waits for, if there is one."""
        if self.open_id is not None:
            await self._stop(self.open_id)

    def _key_of(self, request_id: str | int) -> str | None:
        if self._key is not None:
            return self._key
        return self._key_in_session(request_id) if self._session else None

    def _key_in_session(self, request_id: str | int) -> str:
        # The numbers and the texts of ids are not the same.
        return json.dumps(["tool call", self._session, request_id])

    async def _start(self, name: str, inputs: Mapping[str, Any], key: str | None) -> Execution:
        found: list[Execution] = []

        async def start() -> Response:
            name_caller(self._caller)
            started = await self._api.published.calls.start(
                self._caller.user_id, name, inputs, idempotency_key=key
            )
            found.append(started.execution)
            return Response(headers={REPLAYED: "true"} if started.is_replayed else None)

        await self._api.audit_trail.follow(self._request, "execution.start", start)
        return found[0]

    async def _until_ended(self, execution: Execution, report: Report) -> Execution:
        owner = self._caller.user_id
        try:
            async with (
                asyncio.timeout(MAX_WAIT_SECONDS),
                aclosing(self._api.published.calls.follow(owner, execution.id)) as followed,
            ):
                async for batch in followed:
                    if batch and batch[-1].type != RESULT:
                        await report(batch[-1])
        except TimeoutError:
            log.info("tool_call_goes_on", execution_id=str(execution.id))
        return await self._api.waiting.until_ended(owner, execution.id, 0.0)

    async def _stop(self, execution_id: uuid.UUID) -> None:
        async def stop() -> Response:
            name_caller(self._caller)
            await self._api.control.stop(self._caller.user_id, execution_id)
            return Response()

        try:
            await self._api.audit_trail.follow(self._request, "execution.stop", stop)
        except NotFound:
            log.info("tool_call_unknown", execution_id=str(execution_id))
