"""Brings the record of an execution in line with Temporal, when it was closed there behind the workflow's back."""

from __future__ import annotations

from typing import Any

import asyncpg
import structlog
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowHistoryEventFilterType

from app.activities.contracts import SETTLE_ACTIVITY, SettleRequest
from app.graph.status import Status
from app.models import execution_writes
from app.models.execution_writes import Closing
from app.models.recording import Changes

STOP_REASON = "stop:"
"""How the reason begins when a stop had to terminate."""

log = structlog.get_logger(__name__)


class Settling:
    """Writes truthful ends."""

    def __init__(self, client: Client, pool: asyncpg.Pool[Any]) -> None:
        """Take the judge and the record."""
        self._client = client
        self._pool = pool

    @activity.defn(name=SETTLE_ACTIVITY)
    async def settle_execution(self, request: SettleRequest) -> None:
        """Close the record of an execution that Temporal has closed. An open one is left alone."""
        handle = self._client.get_workflow_handle(request.execution_id)
        verdict = await judge(handle)
        if verdict is None:
            return
        status, error = verdict
        async with self._pool.acquire() as connection, connection.transaction():
            is_open = await execution_writes.lock_open_execution(
                connection, request.execution_id, owner=request.user_id
            )
            if not is_open:
                return
            await execution_writes.close_execution(
                connection,
                request.execution_id,
                Closing(status, error, {}, {}),
                Changes(),
                owner=request.user_id,
            )
        log.info("execution_settled", execution_id=request.execution_id)


async def judge(handle: WorkflowHandle[Any, Any]) -> tuple[Status, dict[str, Any] | None] | None:
    """Return how Temporal closed an execution, or None while it is open there."""
    description = await handle.describe()
    match description.status:
        case WorkflowExecutionStatus.RUNNING | WorkflowExecutionStatus.CONTINUED_AS_NEW | None:
            return None
        case WorkflowExecutionStatus.CANCELED:
            return Status.CANCELLED, None
        case WorkflowExecutionStatus.COMPLETED:
            return Status.COMPLETED, None
        case WorkflowExecutionStatus.TIMED_OUT:
            return Status.FAILED, {"node_id": None, "code": "TIMED_OUT", "message": "The execution timed out"}
        case WorkflowExecutionStatus.TERMINATED:
            return await _judge_termination(handle)
        case _:
            return Status.FAILED, {"node_id": None, "code": "FAILED", "message": "The execution failed"}


async def _judge_termination(
    handle: WorkflowHandle[Any, Any],
) -> tuple[Status, dict[str, Any] | None]:
    reason = ""
    async for event in handle.fetch_history_events(
        event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT
    ):
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
            reason = event.workflow_execution_terminated_event_attributes.reason
    if reason.startswith(STOP_REASON):
        return Status.CANCELLED, None
    message = f"Terminated from outside: {reason}" if reason else "Terminated from outside"
    return Status.FAILED, {"node_id": None, "code": "TERMINATED", "message": message}
