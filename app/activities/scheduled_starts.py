"""What a fire of a schedule executes. One that cannot start anything leaves a failed execution: never silence."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import Client

from app.activities.contracts.execution import ErrorRecord
from app.activities.contracts.scheduling import FireDecision, FireRequest, SchedulingActivities
from app.activities.settling import Settling
from app.database import Sessions
from app.errors import (
    MESSAGE_LIMIT,
    Forbidden,
    GraphInvalid,
    InsufficientCredits,
    InvalidRequest,
    NotFound,
    PerdureError,
)
from app.graph.status import Status
from app.models import execution_writes, executions, graphs, presets, schedules
from app.models.changes import Changes, NewExecution
from app.models.execution_writes import Closing
from app.models.graphs import SavedGraph
from app.models.tables.executions import Execution
from app.models.tables.schedules import Schedule
from app.models.value_bodies import ValueLost
from app.schedules import mirror
from app.schedules.specs import TRIGGER
from app.schedules.wants import wanted_of
from app.starting.deciding import Deciding
from app.starting.launches import make_details, make_start
from app.starting.limits import LimitPolicy
from app.starting.values import Values

NEW = timedelta(minutes=1)
"""How long a schedule of Temporal may be there before the transaction that made it has ended."""
REFUSALS = (Forbidden, GraphInvalid, InsufficientCredits, InvalidRequest, NotFound, ValueLost)
"""What trying again does not help against."""

log = structlog.get_logger(__name__)


class ScheduledStarts(SchedulingActivities):
    """Decides what is executed."""

    def __init__(
        self,
        client: Client,
        pool: asyncpg.Pool[Any],
        sessions: Sessions,
        deciding: Deciding,
        values: Values,
        *,
        limits: LimitPolicy,
        settling: Settling,
        api_url: str | None = None,
    ) -> None:
        """Take what deciding needs, and what records are written with.

        Args:
            client: Of Temporal.
            pool: Where records are written.
            sessions: Where schedules are read.
            deciding: Decides as for whoever asks by hand.
            values: Stores large inputs.
            limits: How much an execution may take.
            settling: Counts ends and tells of them.
            api_url: Where people reach the API, for links from Temporal's Web UI.
        """
        self._client = client
        self._pool = pool
        self._sessions = sessions
        self._deciding = deciding
        self._values = values
        self._limits = limits
        self._settling = settling
        self._api_url = api_url

    @activity.defn(name="decide_fire")
    async def decide_fire(self, request: FireRequest) -> FireDecision:
        """Decide what is executed, and record it if nothing can be. A repeat finds what was recorded."""
        owner, execution_id = request.fire.user_id, uuid.UUID(request.execution_id)
        schedule_id = uuid.UUID(request.fire.schedule_id)
        async with self._sessions() as session:
            row = await schedules.get_schedule(session, owner, schedule_id)
            earlier = await executions.get_execution_of_any_age(session, owner, execution_id)
        if earlier is not None and earlier.ended_at is not None:
            return FireDecision(refusal=_refusal_of(earlier))
        if row is None:
            await self._forget(schedule_id)
            return FireDecision()
        if row.remaining_actions:
            await self._note_remaining(row)
        try:
            decided = await self._deciding.decide(wanted_of(row), execution_id)
        except REFUSALS as error:
            return await self._refuse(row, request.execution_id, error)
        launch = decided.launch
        net = self._limits.net_below(launch.limits)
        start = make_start(decided.execution, launch)
        return FireDecision(
            start=start,
            priority=launch.priority,
            net_seconds=None if net is None else net.total_seconds(),
            details=make_details(start, request.execution_id, api_url=self._api_url),
        )

    async def _note_remaining(self, row: Schedule) -> None:
        found = await mirror.describe(self._client, row.id)
        if found is None or found.remaining_actions is None:
            return
        async with self._sessions.begin() as session:
            await schedules.note_remaining(
                session, row.user_id, row.id, revision=found.revision, remaining=found.remaining_actions
            )

    async def _forget(self, schedule_id: uuid.UUID) -> None:
        """Delete Temporal's schedule, whose record is gone.

        Raises:
            NotFound: It is so new that the record may be there in a moment.
        """
        found = await mirror.describe(self._client, schedule_id)
        if found is not None and found.created_at > datetime.now(UTC) - NEW:
            raise NotFound("The schedule is not written down yet")
        await mirror.remove(self._client, schedule_id)
        log.info("schedule_without_record_deleted", schedule_id=str(schedule_id))

    async def _refuse(self, row: Schedule, execution_id: str, error: PerdureError) -> FireDecision:
        """Record an execution that failed before it began; return why."""
        async with self._sessions() as session:
            saved = await _find_graph(session, row)
        if saved is None:
            # With the graph its schedules go: there is nobody left to be told.
            await mirror.remove(self._client, row.id)
            return FireDecision()
        message = _say(error)
        new = NewExecution(
            id=execution_id,
            user_id=row.user_id,
            graph_id=str(row.graph_id),
            graph_version=saved.version.version,
            plan_hash=saved.version.plan_hash,
            trigger=TRIGGER,
            trigger_id=str(row.id),
            preset_id=str(row.preset_id) if row.preset_id else None,
            inputs=await self._values.store(row.user_id, row.inputs),
            created_at=datetime.now(UTC),
            budget=row.budget,
            on_insufficient_credits=row.on_insufficient_credits,
        )
        await self._record(new, {"node_id": None, "code": error.code, "message": message})
        log.info("scheduled_start_refused", schedule_id=str(row.id), code=error.code)
        return FireDecision(refusal=ErrorRecord(error.code, message))

    async def _record(self, new: NewExecution, error: dict[str, Any]) -> None:
        closing, owner = Closing(Status.FAILED, error, {}, {}), new.user_id
        async with self._pool.acquire() as connection, connection.transaction():
            await execution_writes.insert_execution(connection, new)
            if not await execution_writes.lock_open_execution(connection, new.id, owner=owner):
                return
            closed = await execution_writes.close_execution(
                connection, new.id, closing, Changes(), owner=owner
            )
        self._settling.tell(new.id, closed, owner=owner)


async def _find_graph(session: AsyncSession, row: Schedule) -> SavedGraph | None:
    """Return the version that would have been executed, or the active one if that is not there."""
    version = row.graph_version
    if version is None and row.preset_id is not None:
        try:
            preset = await presets.find_preset_of(session, row.user_id, row.preset_id, row.graph_id)
        except NotFound:
            preset = None
        version = preset.graph_version if preset else None
    for each in (version, None):
        try:
            return await graphs.require_graph(session, row.user_id, row.graph_id, version=each)
        except NotFound:
            continue
    return None


def _refusal_of(execution: Execution) -> ErrorRecord:
    error = execution.error or {"code": execution.status, "message": "The execution has ended"}
    return ErrorRecord(error["code"], error["message"])


def _say(error: PerdureError) -> str:
    """Return an error in one line: what a caller reads in the details of an answer, an execution's record has not."""
    said = [
        f"{node}: {problem}" if node else problem
        for node, problems in error.details.get("node_errors", {}).items()
        for problem in problems.values()
    ]
    return "; ".join([error.message, *said])[:MESSAGE_LIMIT]
