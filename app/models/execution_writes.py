"""The writes that open and close an execution's record. Repeatable, like all writes of activities; plain asyncpg."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from app.errors import NotFound
from app.graph.envelope import Envelope
from app.graph.status import TERMINAL, Status
from app.models.admissions import take_place
from app.models.changes import Changes, EventRecord, NewExecution
from app.models.deliveries import DeliveryKey
from app.models.event_types import OF_EXECUTION, EventType
from app.models.recording import record
from app.models.review_writes import withdraw_reviews
from app.models.spending import release_open
from app.models.value_uses import add_uses, hashes_of

_INSERT = """
INSERT INTO executions (
    id, user_id, graph_id, graph_version, plan_hash, status, trigger, parent_id, inputs, outputs, fingerprint,
    budget, cost, retries, event_seq, created_at, parent_node, parent_n, credentials, root_id, on_insufficient_credits,
    trigger_id, preset_id
) VALUES (
    $1, $2, $3, $4, $5, 'QUEUED', $6, $7, $8::text::json, '{}', $9, $10, 0, 0, 0, $11, $12, $13, $14::text::json,
    $15, $16, $17, $18
)
ON CONFLICT (id) DO NOTHING
"""

_OWNS = """
SELECT EXISTS (
    SELECT FROM graphs g JOIN graph_versions v ON v.graph_id = g.id
    JOIN executions e ON e.id = $5 AND e.user_id = g.user_id
    WHERE g.id = $1 AND g.user_id = $2 AND v.version = $3 AND v.plan_hash = $4
)
"""

_LOCK = "SELECT status FROM executions WHERE id = $1 AND user_id = $2 FOR UPDATE"

_CLOSE = """
UPDATE executions SET
    status = $2, error = $3::text::json, outputs = $4::text::json, report = $5::text::json, ended_at = now(),
    started_at = coalesce(started_at, now()), paused_for = '', cost = totals.cost, retries = totals.retries,
    node_executions = totals.node_executions, completed = totals.completed, failed = totals.failed,
    input_tokens = totals.input_tokens, output_tokens = totals.output_tokens
FROM (
    SELECT coalesce(sum(n.cost), 0) AS cost,
        coalesce(sum(n.attempt - 1) FILTER (WHERE NOT n.is_reused), 0) AS retries,
        count(*) AS node_executions, count(*) FILTER (WHERE n.status = 'COMPLETED') AS completed,
        count(*) FILTER (WHERE n.status = 'FAILED') AS failed,
        coalesce(sum((n.usage ->> 'input_tokens')::bigint), 0) AS input_tokens,
        coalesce(sum((n.usage ->> 'output_tokens')::bigint), 0) AS output_tokens
    FROM node_executions n WHERE n.execution_id = $1
) AS totals
WHERE executions.id = $1 AND executions.user_id = $6
RETURNING reserved, trigger, ARRAY(
        SELECT told.id::text FROM deliveries told
        WHERE told.execution_id = executions.id AND told.status = 'pending' AND told.attempts = 0
    ) AS deliveries, extract(epoch FROM ended_at - started_at)::float8 AS seconds
"""

# What is nested in it has mostly ended by now, and what that has cost it has cost its parent too.
_CANCEL_OPEN_NODES = """
UPDATE node_executions waiting SET status = 'CANCELLED', ended_at = now(), cost = greatest(cost, (
    SELECT nested.cost FROM executions nested
    WHERE nested.parent_id = $1 AND nested.parent_node = waiting.node AND nested.parent_n = waiting.n
        AND nested.ended_at IS NOT NULL
))
WHERE execution_id = $1 AND status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED', 'SKIPPED')
RETURNING id, node, node_id, n, attempt
"""


@dataclass(frozen=True, slots=True)
class Closing:
    """How an execution ended."""

    status: Status
    error: Mapping[str, Any] | None
    outputs: Mapping[str, Sequence[Envelope]]
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Closed:
    """An execution that has ended, as it is counted."""

    status: Status
    trigger: str
    seconds: float
    """From its begin to its end."""
    deliveries: Sequence[DeliveryKey] = ()
    """What somebody is to be told of it."""


async def insert_execution(connection: asyncpg.Connection[Any], new: NewExecution) -> None:
    """Write a started execution down as QUEUED, unless it is there already.

    Raises:
        ValueCollected: Its inputs are no longer stored.
    """
    # Before the row, so that no row stands there whose inputs can be collected.
    await add_uses(connection, new.id, new.user_id, hashes_of([new.inputs]))
    await connection.execute(
        _INSERT,
        new.id,
        new.user_id,
        new.graph_id,
        new.graph_version,
        new.plan_hash,
        new.trigger,
        new.parent_id,
        json.dumps(new.inputs),
        new.fingerprint,
        new.budget,
        new.created_at,
        *(new.parent_node or (None, None)),
        json.dumps(dict(new.credentials)),
        new.root_id,
        new.on_insufficient_credits,
        new.trigger_id,
        new.preset_id,
    )


async def begin_execution(
    connection: asyncpg.Connection[Any], new: NewExecution, *, is_first_run: bool, most_running: int = 0
) -> bool | None:
    """Record that an execution has begun, if it may.

    Args:
        connection: Not in a transaction.
        new: How it was started.
        is_first_run: Whether its first run begins. A later one goes on, paused or waiting as the one before left it.
        most_running: How many executions of a user run at once, nested ones not counted; 0 for any number.

    Returns:
        Whether the record and the graph version that it runs are its user's; None when it has been sent to the queue.

    Raises:
        ValueCollected: Its inputs are no longer stored.
    """
    await insert_execution(connection, new)
    if most_running and new.parent_node is None:
        may_begin = await take_place(connection, new.id, owner=new.user_id, limit=most_running)
        if not may_begin:
            return None
    event = EventRecord("begin", EventType.EXECUTION_STARTED, json.dumps({"status": Status.RUNNING}))
    status = Status.RUNNING if is_first_run else None
    await record(connection, new.id, Changes(events=[event], status=status), owner=new.user_id)
    is_owned = await connection.fetchval(
        _OWNS, new.graph_id, new.user_id, new.graph_version, new.plan_hash, new.id
    )
    return bool(is_owned)


async def record_with_nested(
    connection: asyncpg.Connection[Any], execution_id: str, changes: Changes, *, owner: str
) -> bool:
    """Write changes of an open execution, and in the same transaction the executions that are to be nested in it.

    Returns:
        Whether it was still open. If not, nothing is written.

    Raises:
        ValueCollected: A value is not stored any more. Nothing was written.
    """
    if not changes.nested:
        return await record(connection, execution_id, changes, owner=owner)
    async with connection.transaction():
        is_open = await record(connection, execution_id, changes, owner=owner)
        for new in changes.nested if is_open else ():
            await insert_execution(connection, new)
    return is_open


async def require_inputs(connection: asyncpg.Connection[Any], execution_id: str, *, owner: str) -> Envelope:
    """Return the envelope around an execution's inputs.

    Raises:
        NotFound: The owner has no such execution.
    """
    row = await connection.fetchrow(
        "SELECT inputs FROM executions WHERE id = $1 AND user_id = $2", execution_id, owner
    )
    if row is None:
        raise NotFound
    envelope: Envelope = row["inputs"]
    return envelope


async def lock_open_execution(
    connection: asyncpg.Connection[Any], execution_id: str, *, owner: str
) -> bool | None:
    """Lock an execution within a transaction; answer whether it is open, or None when the owner has no such."""
    row = await connection.fetchrow(_LOCK, execution_id, owner)
    return None if row is None else row["status"] not in TERMINAL


async def close_execution(
    connection: asyncpg.Connection[Any],
    execution_id: str,
    closing: Closing,
    changes: Changes,
    *,
    owner: str,
) -> Closed:
    """Write an execution's end within a transaction that holds its lock. Open node executions become CANCELLED.

    Whoever commits has it announced.
    """
    cancelled = (
        [] if closing.status is Status.COMPLETED else await connection.fetch(_CANCEL_OPEN_NODES, execution_id)
    )
    for row in cancelled:
        data = {
            "node_id": row["node_id"],
            "node_execution_id": str(row["id"]),
            "n": row["n"],
            "attempt": row["attempt"],
            "status": Status.CANCELLED,
        }
        key = f"{row['node']}#{row['n']}:{Status.CANCELLED}"
        changes.events.append(EventRecord(key, EventType.NODE_CANCELLED, json.dumps(data)))
    if cancelled:
        await withdraw_reviews(connection, execution_id)
    ending = {"status": closing.status, "error": closing.error, **closing.report}
    changes.events.append(EventRecord("end", OF_EXECUTION[closing.status], json.dumps(ending)))
    await record(connection, execution_id, changes, owner=owner)
    row = await connection.fetchrow(
        _CLOSE,
        execution_id,
        closing.status,
        json.dumps(closing.error) if closing.error else None,
        json.dumps(closing.outputs),
        json.dumps(closing.report),
        owner,
    )
    assert row is not None
    if row["reserved"]:
        await release_open(connection, execution_id, owner=owner)
    told = [DeliveryKey(delivery_id, owner) for delivery_id in row["deliveries"]]
    return Closed(closing.status, row["trigger"], row["seconds"], told)


async def list_results(
    connection: asyncpg.Connection[Any],
    execution_id: str,
    nodes: Sequence[int],
    *,
    includes_called: bool = True,
) -> list[tuple[int, dict[str, Envelope], list[tuple[str, Envelope]]]]:
    """Return (node, inputs, outputs) of the ended executions of some nodes, in the order in which they ended.

    Args:
        connection: The database.
        execution_id: Of the execution.
        nodes: Which nodes.
        includes_called: Whether those count that another node execution has called as tools.
    """
    rows = await connection.fetch(
        """
        SELECT node, inputs, outputs FROM node_executions
        WHERE execution_id = $1 AND node = ANY($2::int[]) AND status IN ('COMPLETED', 'FAILED')
            AND ($3 OR called_by IS NULL)
        ORDER BY seq
        """,
        execution_id,
        nodes,
        includes_called,
    )
    return [(row["node"], row["inputs"], row["outputs"]) for row in rows]
