"""Has schedules fire when somebody asks for it: now, or for a time that has passed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from app.api.engine import Engine, engine_errors
from app.api.idempotency import note_done
from app.database import Sessions
from app.errors import Conflict, InvalidRequest
from app.models import schedules
from app.models.tables.schedules import Schedule
from app.schedules import fires, mirror

TRIES = 5
"""Of a fire that others come in between of."""

T = TypeVar("T")


class ScheduleFiring:
    """Has the schedules of all owners fire, one owner at a time."""

    def __init__(self, sessions: Sessions, engine: Engine, *, task_queue: str) -> None:
        """Take where the records are, where schedules fire, and where workers wait."""
        self._sessions = sessions
        self._engine = engine
        self._task_queue = task_queue

    async def trigger(self, owner: str, schedule_id: uuid.UUID, *, overlap: str | None) -> Schedule:
        """Have a schedule fire now, also if it is paused.

        Raises:
            NotFound: The owner has no such schedule.
            Conflict: It is fired more often than once a second.
            EngineUnavailable: Nothing was done.
        """
        client = await self._engine.client()
        for _ in range(TRIES):
            await self._wait_for_second(owner, schedule_id)
            async with self._sessions.begin() as session:
                row = await schedules.lock_schedule(session, owner, schedule_id)
                moment = fires.make_fire_time(row.triggered_at)
                if moment > datetime.now(UTC):
                    # Somebody was quicker.
                    continue
                row.triggered_at = moment
                await session.flush()
                await note_done(session)
                await self._fire(client, row, overlap)
                return row
        raise Conflict("A schedule is fired once a second at most: try again")

    async def _wait_for_second(self, owner: str, schedule_id: uuid.UUID) -> None:
        """Wait until a fire may have a second of its own, with no lock and no connection in hand."""
        async with self._sessions() as session:
            row = await schedules.require_schedule(session, owner, schedule_id)
        moment = fires.make_fire_time(row.triggered_at)
        await asyncio.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))

    async def _fire(self, client: Client, row: Schedule, overlap: str | None) -> None:
        moment = row.triggered_at
        assert moment is not None

        async def fire() -> None:
            await fires.trigger(client, row.id, moment, overlap=overlap)

        with schedule_refusals():
            await self._with_schedule(client, row, fire)

    async def backfill(
        self, owner: str, schedule_id: uuid.UUID, *, start_at: datetime, end_at: datetime, overlap: str
    ) -> int:
        """Have a schedule fire as often as it would have in a time that has passed; return how often.

        Raises:
            NotFound: The owner has no such schedule.
            InvalidRequest: That time has not passed, or there are too many fires in it.
            EngineUnavailable: Nothing was done.
        """
        if not start_at < end_at <= datetime.now(UTC):
            raise InvalidRequest("start_at must be before end_at, and end_at not in the future")
        client = await self._engine.client()

        async def count_fires() -> int:
            return await fires.count_fires(client, schedule_id, start_at, end_at)

        async with self._sessions.begin() as session:
            row = await schedules.lock_schedule(session, owner, schedule_id)
            with schedule_refusals():
                count = await self._with_schedule(client, row, count_fires)
                if count > fires.MOST_FIRES:
                    raise InvalidRequest(f"A backfill has {fires.MOST_FIRES:,} fires at most: take less time")
                await note_done(session)
                if count:
                    await fires.backfill(client, schedule_id, start_at, end_at, overlap=overlap)
        return count

    async def _with_schedule(self, client: Client, row: Schedule, act: Callable[[], Awaitable[T]]) -> T:
        """Do something with Temporal's schedule, which is made first should it be missing."""
        try:
            return await act()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            await mirror.push(client, row, task_queue=self._task_queue)
            return await act()


@contextmanager
def schedule_refusals() -> Iterator[None]:
    """Translate what Temporal says against a schedule.

    Raises:
        InvalidRequest: It does not take it.
        EngineUnavailable: It is away.
    """
    try:
        with engine_errors():
            yield
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            raise InvalidRequest(f"Temporal does not take this schedule: {error.message}"[:500]) from error
        raise
