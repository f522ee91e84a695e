"""How activities are started: time-outs, retries, names. Only what the plan and the workflow's input say decides it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, TypedDict

from temporalio import workflow
from temporalio.common import (
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.engine import EngineActivities, StoreRequest
    from app.activities.contracts.execution import ExecutionRef, ExecutionStart
    from app.activities.contracts.node_calls import PACKED, NodeCall, NodeResult
    from app.graph.envelope import size_of
    from app.graph.pairing import Inputs
    from app.graph.plan import PlanNode
    from app.pools import queue_of


ID_LIMIT = 900
"""Temporal takes ids of up to 1,000 characters."""
SUMMARY_LIMIT = 120
CALL_OVERHEAD_BYTES = 500
HEAVY_BYTES = 512 * 1024
"""Inputs that weigh more do not travel in one payload; they are stored, and the call refers to them."""
RECORDING_SECONDS = 3600.0
"""How long an attempt may take besides its block: it waits out an outage of the database to write down what it did.
The wrapper ends the block itself at its time-out, and a worker that is gone is noticed by its heartbeat."""

SPARE_ATTEMPTS = 50
"""Tries beyond a block's own attempts: what a worker that is stopped hands back is no attempt. The wrapper counts, and
gives up after the last; one that was lost with its worker is found out by the try after it."""


class HelperOptions(TypedDict):
    """Options of the engine's own local activities."""

    start_to_close_timeout: timedelta
    retry_policy: RetryPolicy


HELPER = HelperOptions(
    start_to_close_timeout=timedelta(seconds=60),
    # Without a last attempt on purpose: the execution outlives an outage of the database, however long.
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=5)
    ),
)


SEEDING = HelperOptions(start_to_close_timeout=timedelta(minutes=15), retry_policy=HELPER["retry_policy"])
"""A rerun may reuse a hundred thousand node executions."""


def start_call(node: PlanNode, call: NodeCall, start: ExecutionStart) -> workflow.ActivityHandle[NodeResult]:
    """Start the activity of one remote node execution."""
    tries = node.call
    if tries is None:
        raise RuntimeError(f"{node.block} is not a remote block")
    return workflow.start_activity(
        node.block,
        call,
        activity_id=f"{node.label[:ID_LIMIT]}#{call.n}{f'.{call.turn.number}' if call.turn else ''}",
        summary=node.title[:SUMMARY_LIMIT],
        task_queue=queue_of(workflow.info().task_queue, node.pool),
        result_type=NodeResult,
        start_to_close_timeout=timedelta(seconds=tries.timeout_seconds + RECORDING_SECONDS),
        heartbeat_timeout=timedelta(seconds=start.limits.heartbeat_seconds),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(seconds=tries.initial_seconds),
            backoff_coefficient=tries.backoff,
            maximum_interval=timedelta(seconds=tries.maximum_seconds),
            maximum_attempts=tries.max_attempts + SPARE_ATTEMPTS,
        ),
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


async def pack_inputs(execution: ExecutionRef, call: NodeCall) -> NodeCall:
    """Have the inputs of a call stored; return a call that refers to them."""
    stored = await workflow.execute_local_activity_method(
        EngineActivities.store,
        StoreRequest(execution, call.inputs),
        summary="store large inputs",
        **HELPER,
    )
    return replace(call, inputs=[[PACKED, stored.envelope]])


class ExecutionOptions(TypedDict):
    """What the workflow of an execution is started with, whoever starts it."""

    id_reuse_policy: WorkflowIDReusePolicy
    memo: dict[str, Any]
    search_attributes: TypedSearchAttributes
    static_summary: str


def execution_options(start: ExecutionStart) -> ExecutionOptions:
    """Return what can be said of an execution in Temporal: an id is used once, and the Web UI shows what it is."""
    words = {
        "GraphId": start.graph_id,
        "UserId": start.user_id,
        "Trigger": start.trigger,
        "GraphStatus": "QUEUED",
    }
    if start.parent_id:
        words["ParentExecutionId"] = start.parent_id
    pairs = [SearchAttributePair(SearchAttributeKey.for_keyword(name), word) for name, word in words.items()]
    version = SearchAttributePair(SearchAttributeKey.for_int("GraphVersion"), start.graph_version)
    return ExecutionOptions(
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        memo={
            "user_id": start.user_id,
            "graph_id": start.graph_id,
            "graph_version": start.graph_version,
            "fingerprint": start.fingerprint,
        },
        search_attributes=TypedSearchAttributes([*pairs, version]),
        static_summary=f"{start.graph_name} v{start.graph_version} ({start.trigger})"[:SUMMARY_LIMIT],
    )


def weight_of(inputs: Inputs) -> int:
    """Return the bytes that a call with these inputs takes at most, roughly."""
    return CALL_OVERHEAD_BYTES + sum(map(size_of, inputs.values()))
