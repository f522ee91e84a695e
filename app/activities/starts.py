"""Reads back from Temporal what an execution was started with, for one whose record was never written."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from app.activities.contracts.execution import WORKFLOW_NAME, ExecutionStart
from app.errors import NotFound

RPC_TIMEOUT = timedelta(seconds=5)


async def describe_execution(client: Client, execution_id: str) -> WorkflowExecutionDescription:
    """Return what Temporal knows of an execution.

    Raises:
        NotFound: Temporal does not know it.
        RPCError: Temporal is away.
    """
    handle = client.get_workflow_handle(execution_id)
    try:
        description = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT}:
            raise NotFound from error
        raise
    if description.workflow_type != WORKFLOW_NAME:
        raise NotFound
    return description


async def read_start(client: Client, execution_id: str, *, run_id: str | None = None) -> ExecutionStart:
    """Return the input of an execution's workflow.

    Raises:
        NotFound: Temporal does not know it.
        RPCError: Temporal is away.
    """
    handle = client.get_workflow_handle(execution_id, run_id=run_id)
    async for event in handle.fetch_history_events(page_size=1, rpc_timeout=RPC_TIMEOUT):
        payloads = event.workflow_execution_started_event_attributes.input.payloads
        start: ExecutionStart = (await client.data_converter.decode(payloads, [ExecutionStart]))[0]
        return start
    raise NotFound
