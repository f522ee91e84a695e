"""The connection to Temporal, made when it is first needed, and the one place that says what its being away means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client, RPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from app.errors import EngineUnavailable

log = structlog.get_logger(__name__)

RPC_TIMEOUT = timedelta(seconds=5)
ANSWER_TIMEOUT_SECONDS = 5.0
FRESH_SECONDS = 1.0
FIRST_REST_SECONDS = 0.2
LONGEST_REST_SECONDS = 2.0

AWAY = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNAUTHENTICATED,
        # What the client says of a call whose connection broke off in the middle ("transport error").
        RPCStatusCode.UNKNOWN,
    }
)


class Engine:
    """Hands out the client. The API starts without Temporal and works once it is there.

    A call to a Temporal that is away is tried again for ten seconds by the client. So a quick question goes ahead when
    nobody has asked for a second, and after a failure nobody asks again for a moment.
    """

    def __init__(self, connect: Callable[[], Awaitable[Client]], address: str = "") -> None:
        """Take how to connect, and the address for the log."""
        self._connect = connect
        self._address = address
        self._client: Client | None = None
        self._lock = asyncio.Lock()
        self._answered_at = float("-inf")
        self._failed_at = float("-inf")
        self._rest_seconds = 0.0

    async def client(self) -> Client:
        """Return the client of a Temporal that has just answered.

        Raises:
            EngineUnavailable: Temporal cannot be reached now.
        """
        if self._client is not None and self._is_fresh():
            return self._client
        async with self._lock:
            if self._client is None or not self._is_fresh():
                self._client = await self._ask()
            return self._client

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._answered_at < FRESH_SECONDS

    async def _ask(self) -> Client:
        if time.monotonic() - self._failed_at < self._rest_seconds:
            raise EngineUnavailable
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                client = self._client or await self._connect()
                try:
                    await client.workflow_service.get_system_info(GetSystemInfoRequest(), retry=False)
                except RPCError:
                    # The connection may have broken while nobody used it: this call has found out, the next makes one.
                    await client.workflow_service.get_system_info(GetSystemInfoRequest(), retry=False)
        except (RuntimeError, RPCError, OSError) as error:
            self._failed_at = time.monotonic()
            self._rest_seconds = min(max(FIRST_REST_SECONDS, 2 * self._rest_seconds), LONGEST_REST_SECONDS)
            log.warning(
                "temporal_unreachable", address=self._address, reason=f"{type(error).__name__}: {error}"
            )
            raise EngineUnavailable from error
        self._rest_seconds = 0.0
        self._answered_at = time.monotonic()
        return client


@contextmanager
def engine_errors() -> Iterator[None]:
    """Translate Temporal's being away into our error.

    Raises:
        EngineUnavailable: It was away.
    """
    try:
        yield
    except RPCError as error:
        if error.status in AWAY:
            raise EngineUnavailable from error
        raise
    except (TimeoutError, RPCTimeoutOrCancelledError) as error:
        raise EngineUnavailable from error
