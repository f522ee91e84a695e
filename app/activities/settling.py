"""Brings the record of an execution in line with Temporal, when it was closed there behind the workflow's back.

Whoever waits for the execution, or was started by it, is told as well.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import structlog
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowHistoryEventFilterType
from temporalio.service import RPCError, RPCStatusCode

from app.activities.contracts.settling import SETTLE_ACTIVITY, SettleRequest
from app.activities.couriers import Couriers
from app.activities.parents import release_parent
from app.activities.queue import Queue
from app.activities.recorder import Recorder
from app.graph.status import Status
from app.models import execution_writes, sweeps
from app.models.changes import Changes
from app.models.execution_writes import Closed, Closing
from app.telemetry.series import EXECUTION_SECONDS, EXECUTIONS
from app.telemetry.tallies import Tallies

STOP_REASON = "stop:"
"""How the reason begins when a stop had to terminate."""
LOST = "LOST"
RPC_TIMEOUT = timedelta(seconds=5)

log = structlog.get_logger(__name__)

Verdict = tuple[Status, dict[str, Any] | None]
"""How an execution has ended, and why it failed if it did."""


class Settling:
    """Writes truthful ends."""

    def __init__(
        self,
        client: Client,
        pool: asyncpg.Pool[Any],
        recorder: Recorder,
        queue: Queue,
        couriers: Couriers,
        tallies: Tallies,
    ) -> None:
        """Take the judge, the record, who waits for the end or is to be told of it, and where ends are counted."""
        self._client = client
        self._pool = pool
        self._recorder = recorder
        self._queue = queue
        self._couriers = couriers
        self._tallies = tallies

    @activity.defn(name=SETTLE_ACTIVITY)
    async def settle_execution(self, request: SettleRequest) -> None:
        """Close the record of an execution that Temporal has closed or does not know. An open one is left alone."""
        await self.settle(request.execution_id, owner=request.user_id)

    async def settle(self, execution_id: str, *, owner: str, may_be_lost: bool = True) -> Verdict | None:
        """Close the record of an execution that Temporal has closed.

        A repeat also repeats what follows from the end, in case that was interrupted.

        Args:
            execution_id: Which.
            owner: Whose.
            may_be_lost: Whether one that Temporal does not know has failed; else it is left alone.

        Returns:
            How it has ended, or None when it is left alone.

        Raises:
            RPCError: Temporal is away.
        """
        verdict = await judge(self._client.get_workflow_handle(execution_id))
        if verdict is None or (is_lost(verdict) and not may_be_lost):
            return None
        await self._close(execution_id, owner, verdict)
        await self._pass_on(execution_id)
        await self._queue.call_next(owner)
        return verdict

    async def _close(self, execution_id: str, owner: str, verdict: Verdict) -> None:
        status, error = verdict
        closing = Closing(status, error, {}, {})
        async with self._pool.acquire() as connection, connection.transaction():
            if not await execution_writes.lock_open_execution(connection, execution_id, owner=owner):
                return
            closed = await execution_writes.close_execution(
                connection, execution_id, closing, Changes(), owner=owner
            )
        self.tell(execution_id, closed, owner=owner)
        log.info("execution_settled", execution_id=execution_id, status=status)

    def tell(self, execution_id: str, closed: Closed, *, owner: str) -> None:
        """Count that an execution has ended, announce it, and have those told of it who want to be."""
        self._recorder.tell(execution_id, closed.status, owner=owner)
        count_end(self._tallies, closed)
        self._couriers.send(closed.deliveries)

    async def _pass_on(self, execution_id: str) -> None:
        """Cancel what is nested in an execution that has ended, and tell the execution that it is nested in."""
        async with self._pool.acquire() as connection:
            nested = await sweeps.list_open_nested(connection, execution_id)
            parent = await sweeps.find_parent(connection, execution_id)
        for nested_id in nested:
            await cancel_execution(self._client, nested_id)
        if parent is not None:
            await release_parent(self._client, *parent)


def count_end(tallies: Tallies, closed: Closed) -> None:
    """Count that an execution has ended."""
    tallies.count(EXECUTIONS, closed.status, closed.trigger)
    tallies.observe(EXECUTION_SECONDS, closed.status, seconds=closed.seconds)


async def cancel_execution(client: Client, execution_id: str) -> None:
    """Ask an execution to stop; one that has ended, or is being stopped, is left as it is.

    Raises:
        RPCError: Temporal is away.
    """
    try:
        await client.get_workflow_handle(execution_id).cancel(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


async def judge(handle: WorkflowHandle[Any, Any]) -> Verdict | None:
    """Return how an execution has ended according to Temporal, or None while it is open there.

    Raises:
        RPCError: Temporal is away.
        ValueError: Temporal says something that this client does not know.
    """
    try:
        description = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return _failed(LOST, "Temporal does not know this execution any more, so it cannot go on")
        raise
    match description.status:
        case WorkflowExecutionStatus.RUNNING | WorkflowExecutionStatus.CONTINUED_AS_NEW | None:
            return None
        case WorkflowExecutionStatus.CANCELED:
            return Status.CANCELLED, None
        case WorkflowExecutionStatus.COMPLETED:
            return Status.COMPLETED, None
        case WorkflowExecutionStatus.TIMED_OUT:
            return _failed("TIMED_OUT", "The execution took longer than it may")
        case WorkflowExecutionStatus.TERMINATED:
            return await _judge_termination(handle)
        case _:
            return _failed("FAILED", "The execution failed")


async def _judge_termination(handle: WorkflowHandle[Any, Any]) -> Verdict:
    reason = ""
    async for event in handle.fetch_history_events(
        event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT
    ):
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
            reason = event.workflow_execution_terminated_event_attributes.reason
    if reason.startswith(STOP_REASON):
        return Status.CANCELLED, None
    return _failed(
        "TERMINATED", f"Terminated from outside: {reason}" if reason else "Terminated from outside"
    )


def is_lost(verdict: Verdict) -> bool:
    """Answer whether Temporal does not know the execution."""
    _, error = verdict
    return error is not None and error["code"] == LOST


def _failed(code: str, message: str) -> Verdict:
    return Status.FAILED, {"node_id": None, "code": code, "message": message}
