"""What administrators see and do of anybody's executions. What is somebody's is read and done as for its owner."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from app.api.auditing import concern, describe
from app.api.engine import RPC_TIMEOUT, Engine, engine_errors
from app.api.services.control import RECORD_TIMEOUT_SECONDS, Control
from app.api.services.funding import Funding
from app.api.services.records import ExecutionRecords
from app.api.services.waiting import Waiting
from app.database import Sessions
from app.errors import EngineUnavailable
from app.models import oversight
from app.models.oversight import ExecutionRow, OversightFilter, Stuck
from app.models.page import Page
from app.models.tables.executions import Execution
from app.tenants import working_for

_KINDS = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)


@dataclass(frozen=True, slots=True)
class Overview:
    """How it stands with everybody's executions and credits."""

    executions: dict[str, int]
    failures: dict[str, int]
    stuck: dict[str, Stuck]
    ledger_differences: int
    backlog: dict[str, int] | None
    """Tasks that wait for a worker, by task queue; None while Temporal does not say."""


class Oversight:
    """Executions of all owners."""

    def __init__(
        self,
        sessions: Sessions,
        engine: Engine,
        records: ExecutionRecords,
        control: Control,
        waiting: Waiting,
        funding: Funding,
        *,
        queues: Sequence[str],
    ) -> None:
        """Take what it needs.

        Args:
            sessions: Of all users.
            engine: Where executions run.
            records: What is true of them.
            control: Stops them.
            waiting: Waits for them.
            funding: Has those go on that wait for credits.
            queues: The task queues of workers.
        """
        self._sessions = sessions
        self._engine = engine
        self._records = records
        self._control = control
        self._waiting = waiting
        self._funding = funding
        self._queues = queues

    async def list(self, wanted: OversightFilter, *, cursor: str | None, limit: int) -> Page[ExecutionRow]:
        """Return executions of all users, newest first."""
        if wanted.user_id is not None:
            concern(wanted.user_id)
        async with self._sessions() as session:
            return await oversight.list_of_all(session, wanted, cursor=cursor, limit=limit)

    @asynccontextmanager
    async def for_owner(self, execution_id: uuid.UUID) -> AsyncIterator[str]:
        """Work for the owner of an execution, and tell them in the audit log.

        Raises:
            NotFound: There is none of this id.
        """
        async with self._sessions() as session:
            owner = await oversight.require_owner(session, execution_id)
        concern(owner)
        with working_for(owner):
            yield owner

    async def stop(self, execution_id: uuid.UUID) -> Execution:
        """Stop an execution; one that has ended is left as it is.

        Raises:
            NotFound: There is none of this id.
            EngineUnavailable: It could not be stopped now.
        """
        async with self.for_owner(execution_id) as owner:
            return await self._control.stop(owner, execution_id)

    async def settle(self, execution_id: uuid.UUID) -> Execution:
        """Bring the record of an execution in line with Temporal, and have it go on if it could be paid.

        Raises:
            NotFound: There is none of this id.
            EngineUnavailable: Temporal is away.
        """
        async with self.for_owner(execution_id) as owner:
            await self._records.settle(owner, execution_id)
            await self._funding.resume(owner)
            return await self._waiting.until_ended(owner, execution_id, RECORD_TIMEOUT_SECONDS)

    async def look(self) -> Overview:
        """Return how it stands with everything."""
        async with self._sessions() as session:
            statuses = await oversight.count_statuses(session)
            failures = await oversight.count_failures(session)
            stuck = await oversight.find_stuck(session)
            differences = await oversight.count_differences(session)
        describe(ledger_differences=differences)
        return Overview(statuses, failures, stuck, differences, await self._backlog())

    async def _backlog(self) -> dict[str, int] | None:
        try:
            client = await self._engine.client()
            with engine_errors():
                counts = await asyncio.gather(*(_count_backlog(client, queue) for queue in self._queues))
        except (EngineUnavailable, RPCError):
            return None
        return dict(zip(self._queues, counts, strict=True))


async def _count_backlog(client: Client, queue: str) -> int:
    total = 0
    for kind in _KINDS:
        request = DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=kind,
            report_stats=True,
        )
        described = await client.workflow_service.describe_task_queue(request, timeout=RPC_TIMEOUT)
        total += described.stats.approximate_backlog_count
    return total
