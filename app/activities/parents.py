"""Tells a parent execution that one nested in it has ended.

The parent waits for that, so whoever closes a nested execution's record calls this afterwards: its own `finish`, or the
settling of what Temporal has closed. Saying it twice does no harm; what was lost on the way the reconciler says again.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from app.activities.contracts.messages import RELEASE_SIGNAL, Release

RPC_TIMEOUT = timedelta(seconds=5)


async def release_parent(client: Client, parent_id: str | None, parent_node: tuple[int, int] | None) -> None:
    """Tell the parent of a nested execution that it need not wait any longer.

    Args:
        client: Of the Temporal that both run in.
        parent_id: The parent's execution id.
        parent_node: (node, n) of the node execution that waits; None when the execution is not nested, and then nobody
            is told.

    Raises:
        RPCError: Temporal is away; to be tried again.
    """
    if parent_id is None or parent_node is None:
        return
    node, n = parent_node
    try:
        await client.get_workflow_handle(parent_id).signal(
            RELEASE_SIGNAL, Release(node, n), rpc_timeout=RPC_TIMEOUT
        )
    except RPCError as error:
        # A parent that has ended waits for nobody.
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
