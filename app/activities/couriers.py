"""Has deliveries begin that have just been written down. What is lost here the reconciler makes up for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import asyncpg
import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from app.activities.attempts import end_task
from app.database import AWAY
from app.models import deliveries
from app.models.deliveries import DeliveryKey
from app.starting.deliveries import start_delivery

log = structlog.get_logger(__name__)

AT_ONCE = 8
MOST_WAITING = 1_000
"""Beyond these the reconciler is left to it."""


class Couriers:
    """Starts deliveries beside what has written them, which does not wait for it."""

    def __init__(self, client: Client, pool: asyncpg.Pool[Any], *, task_queue: str) -> None:
        """Take where deliveries are carried out and where they are written down."""
        self._client = client
        self._pool = pool
        self._task_queue = task_queue
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, keys: Iterable[DeliveryKey]) -> None:
        """Have deliveries begin soon."""
        for key in keys:
            self._soon(self._start(key))

    def send_new(self, execution_id: str, *, owner: str) -> None:
        """Have the deliveries begin soon that tell of an execution and have not begun."""
        self._soon(self._start_new(execution_id, owner))

    async def start(self, key: DeliveryKey) -> None:
        """Have a delivery begin, unless it is under way.

        Raises:
            RPCError: Temporal is away.
        """
        await start_delivery(self._client, key.id, owner=key.user_id, task_queue=self._task_queue)

    async def aclose(self) -> None:
        """Leave the rest to the reconciler."""
        for task in list(self._tasks):
            await end_task(task)

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= MOST_WAITING:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self, key: DeliveryKey) -> None:
        try:
            async with self._limit:
                await self.start(key)
        except RPCError as error:
            log.info("delivery_not_started", delivery_id=key.id, reason=str(error))

    async def _start_new(self, execution_id: str, owner: str) -> None:
        try:
            keys = await deliveries.list_new(self._pool, execution_id, owner=owner)
        except (*AWAY, asyncpg.PostgresError) as error:
            log.info("deliveries_not_started", execution_id=execution_id, reason=str(error))
            return
        self.send(keys)
