"""Stops, pauses and resumes executions. The workflow does it; here it is asked, and its record awaited."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from typing import Any

import structlog
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from app.activities.contracts.messages import PAUSE_UPDATE, RESUME_UPDATE
from app.activities.settling import STOP_REASON
from app.api.engine import RPC_TIMEOUT, Engine, engine_errors
from app.api.idempotency import note_done
from app.api.services.records import ExecutionRecords, is_ended
from app.api.services.waiting import Waiting
from app.database import Sessions
from app.errors import Conflict, NotFound
from app.graph.status import Status
from app.models import executions
from app.models.tables.executions import Execution

log = structlog.get_logger(__name__)

UPDATE_TIMEOUT_SECONDS = 10.0
RECORD_TIMEOUT_SECONDS = 2.0
"""How long an answer waits for the record of what was done."""


class Control:
    """Asks workflows to do what their owners want."""

    def __init__(
        self,
        sessions: Sessions,
        engine: Engine,
        records: ExecutionRecords,
        waiting: Waiting,
        *,
        stop_deadline_seconds: float,
    ) -> None:
        """Take what control needs.

        Args:
            sessions: Where executions are recorded.
            engine: Where they run.
            records: What is true of them.
            waiting: Waits for them.
            stop_deadline_seconds: How long a stop waits before it terminates.
        """
        self._sessions = sessions
        self._engine = engine
        self._records = records
        self._waiting = waiting
        self._stop_deadline_seconds = stop_deadline_seconds

    async def stop(
        self, owner: str, execution_id: uuid.UUID, *, graph_id: uuid.UUID | None = None
    ) -> Execution:
        """Stop an execution; one that has ended is left as it is.

        Raises:
            NotFound: The owner has no such execution, or not of this graph.
            EngineUnavailable: It could not be stopped now.
        """
        execution = await self._records.require(owner, execution_id)
        if graph_id is not None and execution.graph_id != graph_id:
            raise NotFound
        if is_ended(execution):
            return execution
        handle = await self._handle(execution_id)
        with engine_errors():
            await _unless_closed(handle.cancel(rpc_timeout=RPC_TIMEOUT))
        execution = await self._waiting.until_ended(owner, execution_id, self._stop_deadline_seconds)
        if is_ended(execution):
            return execution
        log.warning("stop_terminated", execution_id=str(execution_id))
        with engine_errors():
            reason = f"{STOP_REASON} not ended in {self._stop_deadline_seconds:g} s"
            await _unless_closed(handle.terminate(reason=reason, rpc_timeout=RPC_TIMEOUT))
        execution = await self._records.require(owner, execution_id)
        if is_ended(execution):
            return execution
        # Temporal does not know it, so nothing of it can go on.
        await self._records.settle(owner, execution_id)
        return await self._waiting.until_ended(owner, execution_id, RECORD_TIMEOUT_SECONDS)

    async def pause(self, owner: str, execution_id: uuid.UUID) -> Execution:
        """Have an execution start nothing new.

        Raises:
            NotFound: The owner has no such execution.
            Conflict: It has ended.
            EngineUnavailable: It could not be asked now.
        """
        return await self._update(owner, execution_id, PAUSE_UPDATE, Status.PAUSED)

    async def resume(self, owner: str, execution_id: uuid.UUID) -> Execution:
        """Have a paused execution go on.

        Raises:
            NotFound: The owner has no such execution.
            Conflict: It has ended.
            EngineUnavailable: It could not be asked now.
        """
        return await self._update(owner, execution_id, RESUME_UPDATE, Status.RUNNING)

    async def delete(self, owner: str, execution_id: uuid.UUID) -> None:
        """Delete the record of an execution that has ended.

        Raises:
            NotFound: The owner has no such execution.
            Conflict: It has not ended.
        """
        execution = await self._records.read(owner, execution_id)
        if not is_ended(execution):
            execution = await self._records.require(owner, execution_id)
            hint = "is being settled" if is_ended(execution) else "has not ended"
            raise Conflict(f"The execution {hint}")
        async with self._sessions.begin() as session:
            await executions.delete_execution(session, owner, execution_id)
            await note_done(session)

    async def _update(self, owner: str, execution_id: uuid.UUID, update: str, wanted: Status) -> Execution:
        execution = await self._records.require(owner, execution_id)
        if is_ended(execution):
            raise Conflict("The execution has ended")
        handle = await self._handle(execution_id)
        with engine_errors():
            async with asyncio.timeout(UPDATE_TIMEOUT_SECONDS):
                await _execute_update(handle, update)
        execution = await self._waiting.until(
            owner, execution_id, lambda row: row.status == wanted, RECORD_TIMEOUT_SECONDS
        )
        if not is_ended(execution):
            execution.status = wanted
        return execution

    async def _handle(self, execution_id: uuid.UUID) -> WorkflowHandle[Any, Any]:
        client = await self._engine.client()
        return client.get_workflow_handle(str(execution_id))


async def _unless_closed(call: Awaitable[None]) -> None:
    """Await a call to a workflow that may have ended by itself meanwhile."""
    try:
        await call
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


async def _execute_update(handle: WorkflowHandle[Any, Any], update: str) -> None:
    try:
        await handle.execute_update(update)
    except WorkflowUpdateFailedError as error:
        raise Conflict("The execution has ended") from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise Conflict("The execution has ended") from error
        raise
