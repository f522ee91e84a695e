"""Writes down what becomes of executions, and announces it to the processes at which others watch them.

Nothing waits for an announcement. One statement makes all that have come together meanwhile: while a worker is busy
they cost it no more than a few statements a second, and while it is not they are made at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import structlog

from app.activities.attempts import end_task
from app.database import AWAY
from app.graph.status import Status
from app.models.announcements import announce, announcement
from app.models.changes import Changes
from app.models.execution_writes import record_with_nested
from app.models.recording import announcement_of

ANNOUNCE_TIMEOUT_SECONDS = 5.0
LAST_SECONDS = 1.0
"""For what still waits when there is nothing left to be written."""
AGAIN_SECONDS = 1.0
"""After an announcement that could not be made."""
MOST_WAITING = 10_000
"""Of announcements. Beyond these, who watches finds out when they next look by themselves."""

log = structlog.get_logger(__name__)


class Recorder:
    """Writes records of executions."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        """Announce nothing yet."""
        self._pool = pool
        # In the order of their writing, each once.
        self._waiting: dict[str, None] = {}
        self._announcing: asyncio.Task[None] | None = None

    async def record(self, execution_id: str, changes: Changes, *, owner: str) -> bool:
        """Write changes of an open execution, with what is nested in it, and have them announced.

        Returns:
            Whether it was still open. If not, nothing is written.

        Raises:
            ValueCollected: A value is not stored any more. Nothing was written.
        """
        async with self._pool.acquire() as connection:
            is_open = await record_with_nested(connection, execution_id, changes, owner=owner)
        text = announcement_of(execution_id, changes, owner=owner)
        if is_open and text is not None:
            self._announce_soon(text)
        return is_open

    def tell(self, execution_id: str, status: Status | None, *, owner: str) -> None:
        """Have it announced that an execution has changed: to this status, or in something else if that is None."""
        self._announce_soon(announcement(execution_id, status, owner))

    async def aclose(self) -> None:
        """Announce what still waits, if Postgres is there."""
        if self._announcing is not None:
            announcing = self._announcing
            await asyncio.wait([announcing], timeout=LAST_SECONDS)
            await end_task(announcing)

    def _announce_soon(self, text: str) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting[text] = None
        if self._announcing is None:
            self._announcing = asyncio.create_task(self._announce(), name="announcements")

    async def _announce(self) -> None:
        try:
            while self._waiting:
                if not await self._announce_waiting():
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            self._announcing = None

    async def _announce_waiting(self) -> bool:
        """Announce all that waits; answer whether that could be done. If not, it goes on waiting."""
        waiting, self._waiting = self._waiting, {}
        try:
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_SECONDS):
                await announce(self._pool, list(waiting))
        except (*AWAY, asyncpg.PostgresError) as error:
            log.debug("announcements_wait", number=len(waiting), reason=type(error).__name__)
            self._waiting = {**waiting, **self._waiting}
            return False
        return True
