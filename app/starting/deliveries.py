"""Starts the workflow of a delivery: for whoever has written it, and for the reconciler if that went wrong."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from app.activities.contracts.deliveries import DELIVERY_WORKFLOW, DeliveryRequest
from app.fairness import make_priority

RPC_TIMEOUT = timedelta(seconds=5)


def delivery_workflow_id(delivery_id: str) -> str:
    """Return the id of the workflow of a delivery."""
    return f"notification:{delivery_id}"


async def start_delivery(client: Client, delivery_id: str, *, owner: str, task_queue: str) -> None:
    """Have a delivery begin, unless it is under way.

    Raises:
        RPCError: Temporal is away.
    """
    await client.start_workflow(
        DELIVERY_WORKFLOW,
        DeliveryRequest(delivery_id, owner),
        id=delivery_workflow_id(delivery_id),
        task_queue=task_queue,
        # The row says whether it is to be delivered: one that was terminated begins anew, as one that failed may.
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        priority=make_priority(owner),
        static_summary="deliver a notification",
        rpc_timeout=RPC_TIMEOUT,
    )
