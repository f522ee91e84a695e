"""Has graphs executed again and again. The record is the truth, and Temporal's schedule follows it.

Temporal is told in the transaction that changes the record: if it is away, nothing is done. Should the API die between
the two, the reconciler brings Temporal in line with the record (`app.activities.schedule_reconciling`).
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from app.api.engine import Engine, engine_errors
from app.api.idempotency import note_done
from app.api.schemas.schedules import ScheduleBody, ScheduleView
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.errors import Conflict, EngineUnavailable, GraphInvalid, InvalidRequest, PayloadTooLarge
from app.graph.definition import definition_from_json
from app.models import graphs, schedules, users
from app.models.page import Page
from app.models.tables.schedules import Schedule
from app.schedules import mirror
from app.schedules.mirror import Described
from app.schedules.wants import wanted_of
from app.starting.deciding import Deciding

SHOWN_EXECUTIONS = 5
AT_ONCE = 8
"""Questions to Temporal under way for a list."""
MAX_INPUT_BYTES = 1024 * 1024
"""Of the inputs of a schedule, as JSON."""
_DECIDES = frozenset(
    {
        "graph_version",
        "preset_id",
        "inputs",
        "credentials_inputs",
        "timeout_seconds",
        "max_node_executions",
    }
)
"""What an execution is made of: a change of it is checked like a start."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Schedules:
    """The schedules of all owners, one owner at a time."""

    def __init__(
        self,
        sessions: Sessions,
        engine: Engine,
        deciding: Deciding,
        registry: BlockRegistry,
        *,
        task_queue: str,
        most_per_user: int,
    ) -> None:
        """Take what schedules need.

        Args:
            sessions: Where their records are.
            engine: Where they fire.
            deciding: Checks what they are to execute.
            registry: The blocks there are.
            task_queue: Where workers wait.
            most_per_user: How many schedules a user may have.
        """
        self._sessions = sessions
        self._engine = engine
        self._deciding = deciding
        self._registry = registry
        self._task_queue = task_queue
        self._most_per_user = most_per_user

    async def create(self, owner: str, graph_id: uuid.UUID, body: ScheduleBody) -> Schedule:
        """Have a graph executed again and again.

        Raises:
            NotFound: The owner has no such graph, version or preset.
            GraphInvalid: It could not be executed like this.
            InvalidRequest: It would never fire, or more is asked for than an execution may take.
            PayloadTooLarge: The inputs are too large.
            Conflict: The owner has as many schedules as they may have.
            EngineUnavailable: Nothing was done.
        """
        now = datetime.now(UTC)
        row = Schedule(
            id=uuid.uuid4(),
            user_id=owner,
            graph_id=graph_id,
            catchup_window=0,
            overlap="",
            created_at=now,
            updated_at=now,
        )
        await self._fill(row, body.model_dump())
        await self._check(row)
        client = await self._engine.client()
        async with self._sessions.begin() as session:
            # So that no schedule is made of a graph that is being deleted.
            await graphs.lock_graph(session, owner, graph_id)
            if await schedules.count_schedules(session, owner) >= self._most_per_user:
                raise Conflict(f"You have {self._most_per_user} schedules, which is the most: delete one")
            await schedules.insert_schedule(session, row)
            await note_done(session, row.id)
            with _refusals():
                await mirror.create(client, row, task_queue=self._task_queue)
        return row

    async def change(self, owner: str, schedule_id: uuid.UUID, given: Mapping[str, Any]) -> Schedule:
        """Change what is given of a schedule; its id and its history stay.

        Raises:
            NotFound: The owner has no such schedule, or its graph no such version or preset.
            GraphInvalid: It could not be executed like this.
            InvalidRequest: It would never fire, or more is asked for than an execution may take.
            PayloadTooLarge: The inputs are too large.
            EngineUnavailable: Nothing was done.
        """
        client = await self._engine.client()
        async with self._sessions.begin() as session:
            row = await schedules.lock_schedule(session, owner, schedule_id)
            await self._fill(row, given)
            if not _DECIDES.isdisjoint(given):
                await self._check(row)
            row.revision += 1
            await session.flush()
            await note_done(session)
            with _refusals():
                await mirror.push(
                    client, row, task_queue=self._task_queue, counts_anew="remaining_actions" in given
                )
        return row

    async def delete(self, owner: str, schedule_id: uuid.UUID) -> None:
        """Delete a schedule. What it has started goes on.

        Raises:
            NotFound: The owner has no such schedule.
            EngineUnavailable: Nothing was done.
        """
        client = await self._engine.client()
        async with self._sessions.begin() as session:
            await schedules.delete_schedule(session, owner, schedule_id)
            await note_done(session)
            with engine_errors():
                await mirror.remove(client, schedule_id)

    async def forget(self, schedule_ids: Sequence[uuid.UUID]) -> None:
        """Delete schedules in Temporal whose records are deleted. What cannot be now, the reconciler deletes."""
        try:
            for schedule_id in schedule_ids:
                with engine_errors():
                    await mirror.remove(await self._engine.client(), schedule_id)
        except (EngineUnavailable, RPCError) as error:
            log.warning("schedules_left_over", reason=f"{type(error).__name__}: {error}")

    async def trigger(self, owner: str, schedule_id: uuid.UUID, *, overlap: str | None) -> Schedule:
        """Have a schedule fire now, also if it is paused.

        Raises:
            NotFound: The owner has no such schedule.
            EngineUnavailable: Nothing was done.
        """

        async def fire(client: Client) -> None:
            await mirror.trigger(client, schedule_id, overlap=overlap)

        client = await self._engine.client()
        async with self._sessions.begin() as session:
            row = await schedules.lock_schedule(session, owner, schedule_id)
            await _own_second(row.triggered_at)
            row.triggered_at = datetime.now(UTC)
            await session.flush()
            await note_done(session)
            with _refusals():
                await self._with_schedule(client, row, fire)
        return row

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

        async def count(client: Client) -> int:
            return await mirror.count_fires(client, schedule_id, start_at, end_at)

        client = await self._engine.client()
        async with self._sessions.begin() as session:
            row = await schedules.lock_schedule(session, owner, schedule_id)
            with _refusals():
                fires = await self._with_schedule(client, row, count)
                if fires > mirror.MOST_FIRES:
                    raise InvalidRequest(
                        f"A backfill has {mirror.MOST_FIRES:,} fires at most: take less time"
                    )
                await note_done(session)
                if fires:
                    await mirror.backfill(client, schedule_id, start_at, end_at, overlap=overlap)
        return fires

    async def require(self, owner: str, schedule_id: uuid.UUID) -> Schedule:
        """Return a schedule.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions() as session:
            return await schedules.require_schedule(session, owner, schedule_id)

    async def list(
        self, owner: str, *, graph_id: uuid.UUID | None = None, cursor: str | None, limit: int
    ) -> Page[Schedule]:
        """Return an owner's schedules, newest first: all of them, or those of a graph.

        Raises:
            NotFound: The owner has no such graph.
        """
        async with self._sessions() as session:
            if graph_id is not None:
                await graphs.require_graph(session, owner, graph_id)
            return await schedules.list_schedules(
                session, owner, graph_id=graph_id, cursor=cursor, limit=limit
            )

    async def view(self, owner: str, rows: Sequence[Schedule]) -> Sequence[ScheduleView]:
        """Show schedules with what Temporal knows of them, if it can be asked, and what they have started."""
        async with self._sessions() as session:
            last = await schedules.find_last_executions(
                session, owner, [row.id for row in rows], limit=SHOWN_EXECUTIONS
            )
        found = await self._describe(rows)
        return [
            ScheduleView.of(row, known, last.get(row.id, ())) for row, known in zip(rows, found, strict=True)
        ]

    async def _describe(self, rows: Sequence[Schedule]) -> Sequence[Described | None]:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(client: Client, row: Schedule) -> Described | None:
            async with at_once:
                with engine_errors():
                    return await mirror.describe(client, row.id)

        try:
            client = await self._engine.client()
            return await asyncio.gather(*(one(client, row) for row in rows))
        except EngineUnavailable:
            return [None] * len(rows)

    async def _fill(self, row: Schedule, given: Mapping[str, Any]) -> None:
        """Put what is given into a record.

        Raises:
            InvalidRequest: It would never fire.
            PayloadTooLarge: The inputs are too large.
        """
        for name, value in given.items():
            setattr(row, "is_paused" if name == "paused" else name, value)
        if not row.timezone or given.get("timezone", "") is None:
            async with self._sessions() as session:
                row.timezone = (await users.require_user(session, row.user_id)).timezone
        row.updated_at = datetime.now(UTC)
        if not (row.cron or row.calendars or row.intervals):
            raise InvalidRequest("A schedule needs `cron`, `calendars` or `intervals`")
        if row.start_at is not None and row.end_at is not None and row.start_at >= row.end_at:
            raise InvalidRequest("start_at must be before end_at")
        if len(json.dumps(row.inputs)) > MAX_INPUT_BYTES:
            raise PayloadTooLarge(
                f"Inputs of a schedule have {MAX_INPUT_BYTES:,} bytes at most: use a preset"
            )

    async def _check(self, row: Schedule) -> None:
        saved = await self._deciding.check(wanted_of(row))
        off: dict[str, dict[str, str]] = {}
        for node in definition_from_json(saved.version.definition).nodes:
            block = self._registry.get(node.block_id)
            if block is not None and block.off_because:
                off[node.id] = {"block_id": block.off_because}
        if off:
            raise GraphInvalid(off)

    async def _with_schedule(self, client: Client, row: Schedule, act: Callable[[Client], Awaitable[T]]) -> T:
        """Do something with Temporal's schedule, which is made first should it be missing."""
        try:
            return await act(client)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            await mirror.push(client, row, task_queue=self._task_queue, counts_anew=True)
            return await act(client)


async def _own_second(before: datetime | None) -> None:
    """Wait for a second of its own: Temporal names what a schedule starts after it, and drops what has the same name.

    Args:
        before: When the schedule was last triggered. What fires by itself does so at second 0.
    """
    while True:
        now = datetime.now(UTC)
        is_taken = before is not None and now.replace(microsecond=0) <= before.replace(microsecond=0)
        if now.second and not is_taken:
            return
        await asyncio.sleep(1 - now.microsecond / 1_000_000)


@contextmanager
def _refusals() -> Iterator[None]:
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
