"""Keeps the reconciler's schedule in Temporal, which starts it from then on whatever becomes of us."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from app.activities.contracts.reconciliation import RECONCILIATION_WORKFLOW, Patience, ReconciliationRequest
from app.api.engine import RPC_TIMEOUT, Engine, engine_errors
from app.errors import EngineUnavailable

RENEW_SECONDS = 600.0
"""How often it is looked whether the schedule is still there: a Temporal that was set up anew has none."""
RETRY_SECONDS = 2.0
CATCH_UP = timedelta(seconds=10)
"""The shortest that Temporal takes: one run makes up for all that were missed."""
LONGEST = timedelta(hours=1)
"""While one run goes on no other is started, so none may go on for ever."""
LOST_AFTER = 5
"""Intervals after which an execution that Temporal does not know counts as lost."""

log = structlog.get_logger(__name__)


class Upkeep:
    """Sees to it that the reconciler is scheduled."""

    def __init__(
        self, engine: Engine, *, task_queue: str, every_seconds: float | None, silent_seconds: float
    ) -> None:
        """Take where and how often.

        Args:
            engine: Where it is scheduled.
            task_queue: Where a worker reconciles; part of the schedule's name.
            every_seconds: The interval; None leaves things as they are.
            silent_seconds: After how long without a sign of life another worker goes on.
        """
        self._engine = engine
        self._task_queue = task_queue
        self._every_seconds = every_seconds
        self._silent_seconds = silent_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, without waiting for Temporal to be there."""
        if self._every_seconds is not None:
            self._task = asyncio.create_task(self._keep(self._every_seconds))

    async def stop(self) -> None:
        """Look no more. The schedule stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep(self, every_seconds: float) -> None:
        schedule = make_schedule(self._task_queue, every_seconds, silent_seconds=self._silent_seconds)
        is_said = False
        while True:
            try:
                with engine_errors():
                    await ensure_schedule(
                        await self._engine.client(), schedule_id(self._task_queue), schedule
                    )
            except (EngineUnavailable, RPCError) as error:
                if not is_said:
                    log.warning("reconciler_not_scheduled", reason=f"{type(error).__name__}: {error}")
                is_said = True
                await asyncio.sleep(RETRY_SECONDS)
            else:
                is_said = False
                log.info("reconciler_scheduled", every_seconds=every_seconds)
                await asyncio.sleep(RENEW_SECONDS)


def schedule_id(task_queue: str) -> str:
    """Return the name of the schedule; a namespace may hold more than one deployment of ours."""
    return f"{task_queue}-reconcile"


def make_schedule(task_queue: str, every_seconds: float, *, silent_seconds: float = 15.0) -> Schedule:
    """Return the schedule of the reconciler."""
    patience = Patience(
        quiet_seconds=every_seconds, lost_seconds=LOST_AFTER * every_seconds, silent_seconds=silent_seconds
    )
    return Schedule(
        action=ScheduleActionStartWorkflow(
            RECONCILIATION_WORKFLOW,
            ReconciliationRequest(patience),
            id=schedule_id(task_queue),
            task_queue=task_queue,
            execution_timeout=LONGEST,
            static_summary="compare what is open with Temporal",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=every_seconds))]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )


async def ensure_schedule(client: Client, name: str, schedule: Schedule) -> None:
    """Create a schedule, or bring it up to date. One that somebody has paused stays paused.

    Raises:
        RPCError: Temporal is away or refuses it.
    """

    def update(found: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule.state = found.description.schedule.state
        return ScheduleUpdate(schedule)

    try:
        await client.create_schedule(name, schedule, rpc_timeout=RPC_TIMEOUT)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(name).update(update, rpc_timeout=RPC_TIMEOUT)
