"""Waits for executions: for their end, for a status, for the next events."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence

from app.api.live.event_hub import POLL_SECONDS, EventHub
from app.api.services.records import ExecutionRecords, is_ended
from app.database import Sessions
from app.errors import PerdureError
from app.models import events
from app.models.tables.executions import Execution, ExecutionEvent
from app.models.tokens import Token

BATCH = 200
JUDGE_SECONDS = 10.0
"""How often Temporal is asked about an execution that somebody waits for."""
HEARTBEAT_SECONDS = 15.0
SHORTEST_REST_SECONDS = 0.02
"""An execution may log hundreds of events a second; whoever waits reads them in batches."""


class LogEndsBefore(PerdureError):
    """The log of the execution does not reach as far as where it was to go on."""

    code = "LOG_ENDS_BEFORE"


class Waiting:
    """Follows executions by their logs."""

    def __init__(self, sessions: Sessions, hub: EventHub, records: ExecutionRecords) -> None:
        """Take the log, what announces its growth, and what is true of executions."""
        self._sessions = sessions
        self._hub = hub
        self._records = records

    async def until_ended(self, owner: str, execution_id: uuid.UUID, timeout_seconds: float) -> Execution:
        """Return an execution when it has ended, or as it is when the time is up.

        Raises:
            NotFound: The owner has no such execution.
        """
        return await self.until(owner, execution_id, lambda _: False, timeout_seconds)

    async def until(
        self,
        owner: str,
        execution_id: uuid.UUID,
        is_wanted: Callable[[Execution], bool],
        timeout_seconds: float,
    ) -> Execution:
        """Return an execution when it is as wanted or has ended, or as it is when the time is up.

        Raises:
            NotFound: The owner has no such execution.
        """
        deadline = time.monotonic() + timeout_seconds
        judged_at = time.monotonic()
        async with self._hub.subscribe(str(execution_id), is_for_status=True) as subscription:
            execution = await self._records.read(owner, execution_id)
            while not (is_ended(execution) or is_wanted(execution) or self._hub.is_closed):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                # Not every change of a status is announced.
                await subscription.wait(min(left, POLL_SECONDS))
                if time.monotonic() - judged_at >= JUDGE_SECONDS:
                    execution = await self._records.require(owner, execution_id)
                    judged_at = time.monotonic()
                else:
                    execution = await self._records.read(owner, execution_id)
        return execution

    async def follow(
        self, owner: str, execution_id: uuid.UUID, *, after: int, takes_tokens: bool
    ) -> AsyncGenerator[list[ExecutionEvent] | list[Token]]:
        """Give events in batches until the last one of the execution; an empty batch is a sign of life.

        Args:
            owner: Whose execution it is.
            execution_id: The execution.
            after: The number of the last event that is known.
            takes_tokens: Whether batches of what models write meanwhile come in between.

        Raises:
            NotFound: The owner has no such execution, or it was deleted meanwhile.
            LogEndsBefore: There is no event of that number.
        """
        silent_since = time.monotonic()
        async with self._hub.subscribe(str(execution_id), takes_tokens=takes_tokens) as subscription:
            while not self._hub.is_closed:
                # The row first: events that it counts are in the log that is read afterwards.
                execution = await self._records.read(owner, execution_id)
                if after > execution.event_seq:
                    raise LogEndsBefore
                batch = await self._read_events(execution, after)
                # What was written before these events is shown before them, and nothing after the last one.
                if tokens := subscription.take_tokens():
                    yield tokens
                if batch:
                    after = batch[-1].seq
                    silent_since = time.monotonic()
                    yield list(batch)
                if is_ended(execution) and after >= execution.event_seq:
                    return
                if batch:
                    continue
                if time.monotonic() - silent_since >= HEARTBEAT_SECONDS:
                    silent_since = time.monotonic()
                    # Also closes the record of an execution that was ended behind its back.
                    await self._records.require(owner, execution_id)
                    yield []
                # Every event is announced. Thousands may listen to nothing, so nobody looks more often than that.
                while not await subscription.wait(HEARTBEAT_SECONDS - (time.monotonic() - silent_since)):
                    yield subscription.take_tokens()
                await asyncio.sleep(SHORTEST_REST_SECONDS)

    async def _read_events(self, execution: Execution, after: int) -> Sequence[ExecutionEvent]:
        if execution.event_seq <= after:
            return ()
        async with self._sessions() as session:
            return await events.list_events(
                session, execution.user_id, execution.id, after=after, limit=BATCH
            )
