"""Tells executions that stopped for want of credits that there are some."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from app.activities.contracts.messages import FUND_SIGNAL

RPC_TIMEOUT = timedelta(seconds=5)


async def fund_execution(client: Client, execution_id: str) -> None:
    """Have an execution go on that the engine has paused; one that a person has paused, or that has ended, does not.

    Raises:
        RPCError: Temporal is away.
    """
    try:
        await client.get_workflow_handle(execution_id).signal(FUND_SIGNAL, rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
