"""Shows schedules: their records, with what Temporal knows of them if it can be asked, and what they have started."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence

from temporalio.client import Client

from app.api.engine import Engine, engine_errors
from app.api.schemas.schedule_views import ScheduleView
from app.database import Sessions
from app.errors import EngineUnavailable
from app.models import graphs, schedules
from app.models.page import Page
from app.models.tables.schedules import Schedule
from app.schedules import mirror
from app.schedules.mirror import Described, Listed

SHOWN_EXECUTIONS = 5
AT_ONCE = 8
"""Questions to Temporal under way for a list."""


class ScheduleShowing:
    """Reads schedules for their owners."""

    def __init__(self, sessions: Sessions, engine: Engine) -> None:
        """Take where the records are, and where schedules fire."""
        self._sessions = sessions
        self._engine = engine

    async def get(self, owner: str, schedule_id: uuid.UUID) -> ScheduleView:
        """Return a schedule.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions() as session:
            row = await schedules.require_schedule(session, owner, schedule_id)
        return await self.show(row)

    async def show(self, row: Schedule) -> ScheduleView:
        """Return a schedule whose record is at hand."""
        found: Described | None = None
        try:
            with engine_errors():
                found = await mirror.describe(await self._engine.client(), row.id)
        except EngineUnavailable:
            pass
        return (await self._view(row.user_id, [row], {} if found is None else {row.id: found}))[0]

    async def list(
        self, owner: str, *, graph_id: uuid.UUID | None = None, cursor: str | None, limit: int
    ) -> Page[ScheduleView]:
        """Return an owner's schedules, newest first: all of them, or those of a graph.

        Raises:
            NotFound: The owner has no such graph.
        """
        async with self._sessions() as session:
            if graph_id is not None:
                await graphs.require_graph(session, owner, graph_id)
            page = await schedules.list_schedules(
                session, owner, graph_id=graph_id, cursor=cursor, limit=limit
            )
        found = await self._find(page.items)
        return Page(await self._view(owner, page.items, found), page.next_cursor)

    async def _view(
        self, owner: str, rows: Sequence[Schedule], found: Mapping[uuid.UUID, Described | Listed]
    ) -> Sequence[ScheduleView]:
        async with self._sessions() as session:
            last = await schedules.find_last_executions(
                session, owner, [row.id for row in rows], limit=SHOWN_EXECUTIONS
            )
        return [ScheduleView.of(row, found.get(row.id), last.get(row.id, ())) for row in rows]

    async def _find(self, rows: Sequence[Schedule]) -> Mapping[uuid.UUID, Described | Listed]:
        """Return what Temporal says of schedules: one question for all of them, and one for each that just changed."""
        try:
            client = await self._engine.client()
            with engine_errors():
                listed = await mirror.find_listed(client, [row.id for row in rows])
                # The list lags behind for a moment.
                late = [
                    row for row in rows if row.id not in listed or listed[row.id].revision != row.revision
                ]
                described = await _describe(client, late)
        except EngineUnavailable:
            return {}
        return {**listed, **described}


async def _describe(client: Client, rows: Sequence[Schedule]) -> Mapping[uuid.UUID, Described]:
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(row: Schedule) -> Described | None:
        async with at_once:
            return await mirror.describe(client, row.id)

    found = await asyncio.gather(*(one(row) for row in rows))
    return {row.id: each for row, each in zip(rows, found, strict=True) if each is not None}
