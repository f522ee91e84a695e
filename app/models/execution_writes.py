"""The writes that open and close an execution's record. Repeatable, like all writes of activities; plain asyncpg."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from app.errors import NotFound
from app.graph.envelope import Envelope
from app.graph.status import TERMINAL, Status
from app.models.event_types import OF_EXECUTION, EventType
from app.models.recording import Changes, EventRecord, write_changes

_INSERT = """
INSERT INTO executions (
    id, user_id, graph_id, graph_version, plan_hash, status, trigger, parent_id, inputs, outputs, fingerprint,
    budget, cost, retries, event_seq, created_at
) VALUES ($1, $2, $3, $4, $5, 'QUEUED', $6, $7, $8::text::json, '{}', $9, $10, 0, 0, 0, $11)
ON CONFLICT (id) DO NOTHING
"""

_LOCK = "SELECT status, event_seq FROM executions WHERE id = $1 AND user_id = $2 FOR UPDATE"

_LOCK_CHECKED = """
SELECT status, event_seq, EXISTS (
    SELECT FROM graphs g JOIN graph_versions v ON v.graph_id = g.id
    WHERE g.id = $3 AND g.user_id = $2 AND v.version = $4 AND v.plan_hash = $5
) AS is_owned
FROM executions WHERE id = $1 AND user_id = $2 FOR UPDATE
"""

_CLOSE = """
UPDATE executions SET
    status = $2, error = $3::text::json, outputs = $4::text::json, report = $5::text::json, ended_at = now(),
    started_at = coalesce(started_at, now()), cost = totals.cost, retries = totals.retries
FROM (
    SELECT coalesce(sum(n.cost), 0) AS cost, coalesce(sum(n.attempt - 1), 0) AS retries
    FROM node_executions n WHERE n.execution_id = $1
) AS totals
WHERE executions.id = $1
"""

_CANCEL_OPEN_NODES = """
UPDATE node_executions SET status = 'CANCELLED', ended_at = now()
WHERE execution_id = $1 AND status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED', 'SKIPPED')
RETURNING id, node, node_id, n, attempt
"""


@dataclass(frozen=True, slots=True)
class NewExecution:
    """An execution as it was started."""

    id: str
    user_id: str
    graph_id: str
    graph_version: int
    plan_hash: str
    trigger: str
    inputs: Envelope
    created_at: datetime
    parent_id: str | None = None
    fingerprint: str = ""
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """How an execution ended."""

    status: Status
    error: Mapping[str, Any] | None
    outputs: Mapping[str, Sequence[Envelope]]
    report: Mapping[str, Any]


async def insert_execution(connection: asyncpg.Connection[Any], new: NewExecution) -> None:
    """Write a started execution down as QUEUED, unless it is there already."""
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
    )


async def begin_execution(connection: asyncpg.Connection[Any], new: NewExecution) -> bool:
    """Record in a transaction of its own that an execution has begun.

    Returns:
        Whether its user owns the graph version that it runs.
    """
    async with connection.transaction():
        await insert_execution(connection, new)
        row = await connection.fetchrow(
            _LOCK_CHECKED, new.id, new.user_id, new.graph_id, new.graph_version, new.plan_hash
        )
        if row is None:
            return False
        if row["status"] == Status.QUEUED:
            event = EventRecord("begin", EventType.EXECUTION_STARTED, json.dumps({"status": Status.RUNNING}))
            changes = Changes(events=[event], status=Status.RUNNING)
            await write_changes(connection, new.id, changes, owner=new.user_id, event_seq=row["event_seq"])
        return bool(row["is_owned"])


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
) -> int | None:
    """Lock an execution within a transaction; return the number of its last event, or None when it has ended.

    Raises:
        NotFound: The owner has no such execution.
    """
    row = await connection.fetchrow(_LOCK, execution_id, owner)
    if row is None:
        raise NotFound
    return None if row["status"] in TERMINAL else int(row["event_seq"])


async def close_execution(
    connection: asyncpg.Connection[Any],
    execution_id: str,
    closing: Closing,
    changes: Changes,
    *,
    owner: str,
    event_seq: int,
) -> None:
    """Write an execution's end within a transaction that holds its lock. Open node executions become CANCELLED."""
    for row in await connection.fetch(_CANCEL_OPEN_NODES, execution_id):
        data = {
            "node_id": row["node_id"],
            "node_execution_id": str(row["id"]),
            "n": row["n"],
            "attempt": row["attempt"],
            "status": Status.CANCELLED,
        }
        key = f"{row['node']}#{row['n']}:{Status.CANCELLED}"
        changes.events.append(EventRecord(key, EventType.NODE_CANCELLED, json.dumps(data)))
    ending = {"status": closing.status, "error": closing.error, **closing.report}
    changes.events.append(EventRecord("end", OF_EXECUTION[closing.status], json.dumps(ending)))
    await connection.execute(
        _CLOSE,
        execution_id,
        closing.status,
        json.dumps(closing.error) if closing.error else None,
        json.dumps(closing.outputs),
        json.dumps(closing.report),
    )
    await write_changes(connection, execution_id, changes, owner=owner, event_seq=event_seq)


async def list_results(
    connection: asyncpg.Connection[Any], execution_id: str, nodes: Sequence[int]
) -> list[tuple[int, dict[str, Envelope], list[tuple[str, Envelope]]]]:
    """Return (node, inputs, outputs) of the ended executions of some nodes, in the order in which they ended."""
    rows = await connection.fetch(
        """
        SELECT node, inputs, outputs FROM node_executions
        WHERE execution_id = $1 AND node = ANY($2::int[]) AND status IN ('COMPLETED', 'FAILED')
        ORDER BY seq
        """,
        execution_id,
        nodes,
    )
    return [(row["node"], row["inputs"], row["outputs"]) for row in rows]
