"""Calls executions that wait for their turn when there is room for them.

Whoever has made room calls this afterwards: the end of an execution, its pause, or the settling of what Temporal has
closed. Calling one twice does no harm. A call that was lost is made up for by the execution itself, which asks again
from time to time, and by the reconciler.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from app.activities.contracts.messages import ADMIT_SIGNAL
from app.models import admissions

RPC_TIMEOUT = timedelta(seconds=5)


class Queue:
    """The queues of all users."""

    def __init__(self, client: Client, pool: asyncpg.Pool[Any], *, most_running: int) -> None:
        """Take what calling needs.

        Args:
            client: Of the Temporal that executions run in.
            pool: Of the record.
            most_running: How many executions of a user run at once, nested ones not counted; 0 for any number.
        """
        self._client = client
        self._pool = pool
        self.most_running = most_running

    async def call_next(self, owner: str) -> None:
        """Call those of an owner's executions that are next.

        Raises:
            RPCError: Temporal is away; to be tried again.
        """
        if not self.most_running:
            return
        async with self._pool.acquire() as connection:
            execution_ids = await admissions.list_next(connection, owner=owner, limit=self.most_running)
        for execution_id in execution_ids:
            await self.call(execution_id)

    async def find_with_room(
        self, connection: asyncpg.Connection[Any], execution_ids: Sequence[str]
    ) -> Sequence[str]:
        """Return those of some executions that wait although there is room."""
        if not self.most_running:
            return ()
        return await admissions.find_with_room(connection, execution_ids, limit=self.most_running)

    async def call(self, execution_id: str) -> None:
        """Have an execution ask again whether it may begin; one that has ended asks no more.

        Raises:
            RPCError: Temporal is away.
        """
        try:
            await self._client.get_workflow_handle(execution_id).signal(ADMIT_SIGNAL, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
