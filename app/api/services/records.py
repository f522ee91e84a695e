"""What is true of an execution: the record, with Temporal as the judge of one that the record says is open."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import IntegrityError
from temporalio.client import Client
from temporalio.common import ActivityIDConflictPolicy
from temporalio.service import RPCError

from app.activities.contracts.execution import ExecutionStart
from app.activities.contracts.settling import SETTLE_ACTIVITY, SettleRequest
from app.activities.settling import is_lost, judge
from app.activities.starts import describe_execution, read_start
from app.api.engine import RPC_TIMEOUT, Engine, engine_errors
from app.database import Sessions
from app.errors import Conflict, EngineUnavailable, NotFound
from app.graph.envelope import make_inline
from app.graph.status import TERMINAL, Status
from app.models import executions
from app.models.tables.executions import Execution

log = structlog.get_logger(__name__)

JUDGE_TIMEOUT_SECONDS = 5.0
SETTLE_ATTEMPT = timedelta(seconds=30)
SETTLE_AT_ALL = timedelta(days=1)


def is_ended(execution: Execution) -> bool:
    """Answer whether an execution has reached its last status."""
    return execution.status in TERMINAL


def require_ended(execution: Execution) -> Execution:
    """Return an execution that has ended.

    Raises:
        Conflict: It has not.
    """
    if not is_ended(execution):
        raise Conflict(f"The execution is {execution.status}; it has not ended")
    return execution


class ExecutionRecords:
    """Finds the executions of an owner."""

    def __init__(self, sessions: Sessions, engine: Engine, *, task_queue: str) -> None:
        """Take the record and the judge.

        Args:
            sessions: Where executions are recorded.
            engine: Where they run.
            task_queue: Where a worker is found that settles.
        """
        self._sessions = sessions
        self._engine = engine
        self._task_queue = task_queue

    async def read(self, owner: str, execution_id: uuid.UUID) -> Execution:
        """Return an execution as it is recorded.

        Raises:
            NotFound: The owner has no such execution.
        """
        async with self._sessions() as session:
            return await executions.require_execution(session, owner, execution_id)

    async def require(self, owner: str, execution_id: uuid.UUID) -> Execution:
        """Return an execution as it is. What differs in the record is going to be settled.

        Raises:
            NotFound: The owner has no such execution.
            EngineUnavailable: No record of it is there, and Temporal cannot be asked.
        """
        async with self._sessions() as session:
            execution = await executions.get_execution_of_any_age(session, owner, execution_id)
        if execution is None:
            execution = await self._adopt(owner, execution_id)
        if execution.deleted_at is not None:
            raise NotFound
        if is_ended(execution):
            return execution
        try:
            client = await self._engine.client()
            with engine_errors():
                async with asyncio.timeout(JUDGE_TIMEOUT_SECONDS):
                    return await self._judge(client, execution)
        except (EngineUnavailable, RPCError, ValueError) as error:
            # Without a judge the record stands. ValueError: a status that this SDK does not know, so it is open.
            log.info("execution_not_judged", reason=type(error).__name__)
            return execution

    async def _judge(self, client: Client, execution: Execution) -> Execution:
        handle = client.get_workflow_handle(str(execution.id))
        verdict = await judge(handle)
        if verdict is None or is_lost(verdict):
            # That something is lost the reconciler says, which gives it more time.
            return execution
        # The record is written before the workflow closes, so by now it may say so itself.
        execution = await self.read(execution.user_id, execution.id)
        if is_ended(execution):
            return execution
        closed = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        await self._start_settling(client, execution.user_id, execution.id)
        execution.status, execution.error = verdict
        execution.ended_at = closed.close_time
        return execution

    async def settle(self, owner: str, execution_id: uuid.UUID) -> None:
        """Have a worker close the record of an execution that Temporal has closed or does not know.

        Raises:
            EngineUnavailable: Temporal is away.
        """
        client = await self._engine.client()
        with engine_errors():
            await self._start_settling(client, owner, execution_id)

    async def _start_settling(self, client: Client, owner: str, execution_id: uuid.UUID) -> None:
        await client.start_activity(
            SETTLE_ACTIVITY,
            SettleRequest(str(execution_id), owner),
            id=f"{execution_id}/settle",
            task_queue=self._task_queue,
            start_to_close_timeout=SETTLE_ATTEMPT,
            schedule_to_close_timeout=SETTLE_AT_ALL,
            id_conflict_policy=ActivityIDConflictPolicy.USE_EXISTING,
            summary="bring the record in line",
            rpc_timeout=RPC_TIMEOUT,
        )

    async def _adopt(self, owner: str, execution_id: uuid.UUID) -> Execution:
        """List an execution that was started just before the API died.

        Raises:
            NotFound: Temporal does not know it either, or it is somebody else's.
            EngineUnavailable: Temporal cannot be asked, so nobody knows. It makes no difference whose it is.
        """
        client = await self._engine.client()
        try:
            with engine_errors():
                async with asyncio.timeout(JUDGE_TIMEOUT_SECONDS):
                    start, run_id = await _read_start(client, execution_id, owner)
        except ValueError as error:
            raise NotFound from error
        except RPCError as error:
            raise EngineUnavailable from error
        await self._insert(_row_of(execution_id, start, run_id))
        return await self.read(owner, execution_id)

    async def _insert(self, row: Execution) -> None:
        try:
            async with self._sessions.begin() as session:
                await executions.insert_queued(session, row)
        except IntegrityError:
            # Its inputs have been collected; the first worker that sees it ends it for that.
            row.inputs = make_inline({})
            async with self._sessions.begin() as session:
                await executions.insert_queued(session, row)
        async with self._sessions() as session:
            await executions.announce_queued(session, row)


async def _read_start(client: Client, execution_id: uuid.UUID, owner: str) -> tuple[ExecutionStart, str]:
    """Return a workflow's input and the id of its run.

    Raises:
        NotFound: There is no such workflow of this owner.
    """
    description = await describe_execution(client, str(execution_id))
    if (await description.memo()).get("user_id") != owner:
        raise NotFound
    return await read_start(client, str(execution_id)), description.run_id


def _row_of(execution_id: uuid.UUID, start: ExecutionStart, run_id: str) -> Execution:
    return Execution(
        id=execution_id,
        user_id=start.user_id,
        graph_id=uuid.UUID(start.graph_id),
        graph_version=start.graph_version,
        plan_hash=start.plan_hash,
        status=Status.QUEUED,
        trigger=start.trigger,
        parent_id=uuid.UUID(start.parent_id) if start.parent_id else None,
        parent_node=start.parent_node[0] if start.parent_node else None,
        parent_n=start.parent_node[1] if start.parent_node else None,
        run_id=run_id,
        inputs=start.inputs,
        outputs={},
        fingerprint=start.fingerprint,
        budget=start.budget,
        root_id=uuid.UUID(start.root_id) if start.root_id else None,
        on_insufficient_credits=start.on_insufficient_credits,
        trigger_id=uuid.UUID(start.trigger_id) if start.trigger_id else None,
        preset_id=uuid.UUID(start.preset_id) if start.preset_id else None,
        credentials=start.credentials,
        created_at=datetime.fromisoformat(start.created_at),
    )
