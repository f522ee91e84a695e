"""The connection to Temporal, made when it is first needed, and the one place that says what its being away means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from temporalio.client import Client, RPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from app.errors import EngineUnavailable

log = structlog.get_logger(__name__)

RPC_TIMEOUT = timedelta(seconds=5)
CONNECT_TIMEOUT_SECONDS = 5.0
FIRST_REST_SECONDS = 0.2
LONGEST_REST_SECONDS = 2.0

AWAY = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNAUTHENTICATED,
    }
)


class Engine:
    """Hands out the client. The API starts without Temporal and works once it is there."""

    def __init__(self, connect: Callable[[], Awaitable[Client]], address: str = "") -> None:
        """Take how to connect, and the address for the log."""
        self._connect = connect
        self._address = address
        self._client: Client | None = None
        self._lock = asyncio.Lock()
        self._rest_seconds = 0.0
        self._failed_at = float("-inf")

    async def client(self) -> Client:
        """Return a connected client.

        Raises:
            EngineUnavailable: Temporal cannot be reached now.
        """
        if self._client is None:
            async with self._lock:
                if self._client is None:
                    self._client = await self._make()
        return self._client

    async def _make(self) -> Client:
        if time.monotonic() - self._failed_at < self._rest_seconds:
            raise EngineUnavailable
        try:
            client = await asyncio.wait_for(self._connect(), CONNECT_TIMEOUT_SECONDS)
        except (RuntimeError, RPCError, OSError) as error:
            self._failed_at = time.monotonic()
            self._rest_seconds = min(max(FIRST_REST_SECONDS, 2 * self._rest_seconds), LONGEST_REST_SECONDS)
            log.warning("temporal_unreachable", address=self._address)
            raise EngineUnavailable from error
        self._rest_seconds = 0.0
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
