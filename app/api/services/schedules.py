"""Has graphs executed again and again. The record is the truth, and Temporal's schedule follows it.

Temporal is told in the transaction that changes the record: if it is away, nothing is done. Should the API die between
the two, the reconciler brings Temporal in line with the record (`app.activities.schedule_reconciling`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.service import RPCError

from app.api.engine import Engine, engine_errors
from app.api.idempotency import note_done
from app.api.schemas.schedules import ScheduleBody
from app.api.services.schedule_firing import ScheduleFiring, schedule_refusals
from app.api.services.schedule_showing import ScheduleShowing
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.errors import Conflict, EngineUnavailable, GraphInvalid, InvalidRequest, PayloadTooLarge
from app.graph.definition import definition_from_json
from app.models import graphs, presets, schedules, users
from app.models.tables.schedules import Schedule
from app.schedules import mirror
from app.schedules.wants import wanted_of
from app.starting.deciding import Deciding

TRIES = 5
"""Of a change that others come in between of."""
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
        self.showing = ScheduleShowing(sessions, engine)
        self.firing = ScheduleFiring(sessions, engine, task_queue=task_queue)

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
        _fill(row, await self._with_zone(owner, body.model_dump()))
        await self._check(row)
        client = await self._engine.client()
        async with self._sessions.begin() as session:
            # So that no schedule is made of a graph that is being deleted.
            await graphs.lock_graph(session, owner, graph_id)
            await _hold_preset(session, owner, row.preset_id)
            if await schedules.count_schedules(session, owner) >= self._most_per_user:
                raise Conflict(f"You have {self._most_per_user} schedules, which is the most: delete one")
            await schedules.insert_schedule(session, row)
            await note_done(session, row.id)
            with schedule_refusals():
                await mirror.create(client, row, task_queue=self._task_queue)
        return row

    async def change(self, owner: str, schedule_id: uuid.UUID, given: Mapping[str, Any]) -> Schedule:
        """Change what is given of a schedule; its id and its history stay.

        Raises:
            NotFound: The owner has no such schedule, or its graph no such version or preset.
            GraphInvalid: It could not be executed like this.
            InvalidRequest: It would never fire, or more is asked for than an execution may take.
            PayloadTooLarge: The inputs are too large.
            Conflict: Others change it all the time.
            EngineUnavailable: Nothing was done.
        """
        client = await self._engine.client()
        given = await self._with_zone(owner, given)
        for _ in range(TRIES):
            checked = await self._check_change(owner, schedule_id, given)
            async with self._sessions.begin() as session:
                await _hold_preset(session, owner, given.get("preset_id"))
                row = await schedules.lock_schedule(session, owner, schedule_id)
                if row.revision != (checked or row.revision):
                    # What was checked together with this change was another one.
                    continue
                _fill(row, given)
                row.revision += 1
                await session.flush()
                await note_done(session)
                with schedule_refusals():
                    await mirror.push(client, row, task_queue=self._task_queue, changed=given.keys())
                return row
        raise Conflict("The schedule is being changed: try again")

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

    async def _with_zone(self, owner: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what is given, with the time zone of the user's account where null is."""
        if given.get("timezone", "") is not None:
            return given
        async with self._sessions() as session:
            return {**given, "timezone": (await users.require_user(session, owner)).timezone}

    async def _check_change(self, owner: str, schedule_id: uuid.UUID, given: Mapping[str, Any]) -> int | None:
        """Check a change like a start; return of which revision, None if there is nothing to check.

        Not under the lock of the row: whoever held a connection and waited for another could wait forever.
        """
        if _DECIDES.isdisjoint(given):
            return None
        async with self._sessions() as session:
            row = await schedules.require_schedule(session, owner, schedule_id)
        _fill(row, given)
        await self._check(row)
        return row.revision

    async def _check(self, row: Schedule) -> None:
        saved = await self._deciding.check(wanted_of(row))
        off: dict[str, dict[str, str]] = {}
        for node in definition_from_json(saved.version.definition).nodes:
            block = self._registry.get(node.block_id)
            if block is not None and block.off_because:
                off[node.id] = {"block_id": block.off_because}
        if off:
            raise GraphInvalid(off)


async def _hold_preset(session: AsyncSession, owner: str, preset_id: uuid.UUID | None) -> None:
    """See to it that a preset is not deleted before the transaction ends. Before schedules, as when a graph goes.

    Raises:
        NotFound: It has been.
    """
    if preset_id is not None:
        await presets.require_preset(session, owner, preset_id, is_locked=True)


def _fill(row: Schedule, given: Mapping[str, Any]) -> None:
    """Put what is given into a record.

    Raises:
        InvalidRequest: It would never fire.
        PayloadTooLarge: The inputs are too large.
    """
    for name, value in given.items():
        setattr(row, "is_paused" if name == "paused" else name, value)
    row.updated_at = datetime.now(UTC)
    if not (row.cron or row.calendars or row.intervals):
        raise InvalidRequest("A schedule needs `cron`, `calendars` or `intervals`")
    if row.start_at is not None and row.end_at is not None and row.start_at >= row.end_at:
        raise InvalidRequest("start_at must be before end_at")
    if len(json.dumps(row.inputs)) > MAX_INPUT_BYTES:
        raise PayloadTooLarge(f"Inputs of a schedule have {MAX_INPUT_BYTES:,} bytes at most: use a preset")
