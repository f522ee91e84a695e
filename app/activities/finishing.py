"""How an execution's record is closed: outputs gathered, what was left over named, all in one transaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import asyncpg

from app.activities.contracts.engine import FinishRequest
from app.activities.contracts.execution import ErrorRecord
from app.activities.plans import LoadedPlan
from app.activities.values import Shelf
from app.activities.waves import write_loss
from app.graph.envelope import Envelope, make_inline
from app.graph.signature import Kind
from app.graph.status import Status
from app.graph.tools import is_tool_pin
from app.models import execution_writes
from app.models.changes import Changes, NewExecution, ValueCollected
from app.models.execution_writes import Closed, Closing

NAMED_AT_MOST = 100
"""How many nodes the report names of each kind; it counts the rest."""


async def finish_execution(
    connection: asyncpg.Connection[Any],
    request: FinishRequest,
    new: NewExecution,
    plan: LoadedPlan | None,
    *,
    shelf: Shelf,
) -> Closed | None:
    """Close an execution's record, unless it is closed; return how, if it was this.

    Args:
        connection: Not in a transaction.
        request: How it ended.
        new: How it was started: it may have ended before it was ever recorded.
        plan: Its plan, or None when that does not exist.
        shelf: The owner's values.
    """
    async with connection.transaction():
        return await _close(connection, request, new, plan, shelf)


async def _close(
    connection: asyncpg.Connection[Any],
    request: FinishRequest,
    new: NewExecution,
    plan: LoadedPlan | None,
    shelf: Shelf,
) -> Closed | None:
    is_open = await execution_writes.lock_open_execution(connection, new.id, owner=new.user_id)
    if is_open is None:
        await _insert(connection, new)
        is_open = await execution_writes.lock_open_execution(connection, new.id, owner=new.user_id)
    if not is_open:
        return None
    changes = Changes()
    outputs: dict[str, list[Envelope]] = {}
    report: dict[str, Any] = {}
    if plan is not None:
        for loss in request.losses:
            write_loss(changes, loss, plan, new.id, shelf)
        wanted = plan.result_nodes()
        # What a leaf gave as a tool, it gave to whoever called it.
        has_outputs = any(plan.nodes[node].is_output for node in wanted)
        results = await execution_writes.list_results(connection, new.id, wanted, includes_called=has_outputs)
        outputs = gather_outputs(plan, results)
        report = _report(request, plan, fired={node for node, _, _ in results})
    closing = Closing(Status(request.status), _error_of(request.error, plan), outputs, report)
    return await execution_writes.close_execution(connection, new.id, closing, changes, owner=new.user_id)


async def _insert(connection: asyncpg.Connection[Any], new: NewExecution) -> None:
    try:
        async with connection.transaction():
            await execution_writes.insert_execution(connection, new)
    except ValueCollected:
        # It begins so late that its inputs are gone; that it ended is written down all the same.
        await execution_writes.insert_execution(connection, replace(new, inputs=make_inline({})))


def gather_outputs(
    plan: LoadedPlan, results: list[tuple[int, dict[str, Envelope], list[tuple[str, Envelope]]]]
) -> dict[str, list[Envelope]]:
    """Return the run outputs: what reached the output nodes by name, or what the leaves emitted by pin."""
    pins = Counter(
        pin for node in {node for node, _, _ in results} for pin in plan.nodes[node].block.signature.outputs
    )
    outputs: dict[str, list[Envelope]] = {}
    for number, inputs, emitted in results:
        node = plan.nodes[number]
        if node.is_output:
            outputs.setdefault(node.output_name, []).append(inputs.get("value", make_inline(None)))
            continue
        for pin, envelope in emitted:
            is_for_tool = node.block.signature.calls_tools and is_tool_pin(pin)
            if pin != "error" and not is_for_tool:
                name = pin if pins[pin] <= 1 else f"{node.id}.{pin}"
                outputs.setdefault(name, []).append(envelope)
    return outputs


def _report(request: FinishRequest, plan: LoadedPlan, *, fired: set[int]) -> dict[str, Any]:
    skipped = [node for node in request.unreached if plan.nodes[node].block.kind is not Kind.NOTE]
    silent = [node for node in range(len(plan.nodes)) if plan.nodes[node].is_output and node not in fired]
    return {
        "starved": {plan.nodes[node].id: count for node, count in request.starved[:NAMED_AT_MOST]},
        "starved_count": sum(count for _, count in request.starved),
        "skipped": [plan.nodes[node].id for node in skipped[:NAMED_AT_MOST]],
        "skipped_count": len(skipped),
        "silent_outputs": [plan.nodes[node].id for node in silent[:NAMED_AT_MOST]],
    }


def _error_of(error: ErrorRecord | None, plan: LoadedPlan | None) -> dict[str, Any] | None:
    if error is None:
        return None
    node_id = plan.nodes[error.node].id if plan is not None and error.node is not None else None
    return {"node_id": node_id, "code": error.code, "message": error.message}
