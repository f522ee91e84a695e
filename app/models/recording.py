"""The writes of a live execution: node rows, events and values, in one transaction under the execution's lock.

On the hot path, so plain asyncpg. Every write may be repeated: rows that have ended stay, an event is written once per
key, values are named by their content.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from app.errors import NotFound
from app.graph.status import TERMINAL, Status

CHANNEL = "perdure_events"
"""Where the id of an execution is announced when its log grows."""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A row of `node_executions` as it now stands. JSON columns hold JSON text."""

    id: uuid.UUID
    node: int
    node_id: str
    block_id: str
    n: int
    status: Status
    inputs: str
    outputs: str = "[]"
    error: str | None = None
    attempt: int = 1
    cost: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event to be appended."""

    key: str
    type: str
    data: str
    """JSON text."""


@dataclass(frozen=True, slots=True)
class ValueRecord:
    """A value to be stored."""

    sha256: str
    size: int
    body: bytes


@dataclass(slots=True)
class Changes:
    """What one transaction writes."""

    nodes: dict[uuid.UUID, NodeRecord] = field(default_factory=dict)
    """By id: a row is written once per transaction."""
    events: list[EventRecord] = field(default_factory=list)
    values: list[ValueRecord] = field(default_factory=list)
    status: Status | None = None
    """The execution's new status, if it changes and is not its last."""

    def add_node(self, node: NodeRecord) -> None:
        """Write this row; what was said of it before is superseded."""
        self.nodes[node.id] = node


_LOCK = "SELECT status, event_seq FROM executions WHERE id = $1 AND user_id = $2 FOR UPDATE"

_WRITE = """
WITH fresh AS (
    SELECT $2::bigint + row_number() OVER (ORDER BY given.position) AS seq, given.key, given.type, given.data
    FROM unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS given(key, type, data, position)
    WHERE NOT EXISTS (
        SELECT FROM execution_events old WHERE old.execution_id = $1 AND old.key = given.key
    )
), written AS (
    INSERT INTO execution_events (execution_id, seq, key, type, data)
    SELECT $1, seq, key, type, data::json FROM fresh
), nodes AS (
    INSERT INTO node_executions AS old (
        execution_id, id, node, node_id, block_id, n, status, inputs, outputs, error, attempt, cost,
        started_at, ended_at, seq
    )
    SELECT $1, id, node, node_id, block_id, n, status, inputs::json, outputs::json, error::json, attempt, cost,
        started_at, ended_at, $2 + position
    FROM unnest(
        $6::uuid[], $7::int[], $8::text[], $9::text[], $10::int[], $11::text[], $12::text[], $13::text[],
        $14::text[], $15::int[], $16::int[], $17::timestamptz[], $18::timestamptz[]
    ) WITH ORDINALITY AS given(
        id, node, node_id, block_id, n, status, inputs, outputs, error, attempt, cost, started_at, ended_at,
        position
    )
    ON CONFLICT (id) DO UPDATE SET
        status = excluded.status, outputs = excluded.outputs, error = excluded.error,
        inputs = CASE WHEN excluded.inputs::text = '{}' THEN old.inputs ELSE excluded.inputs END,
        attempt = greatest(old.attempt, excluded.attempt), cost = excluded.cost,
        started_at = coalesce(old.started_at, excluded.started_at), ended_at = excluded.ended_at,
        seq = excluded.seq
    WHERE old.status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED', 'SKIPPED')
)
UPDATE executions SET
    event_seq = $2 + (SELECT count(*) FROM fresh), status = coalesce($19, status),
    started_at = CASE WHEN $19 = 'RUNNING' THEN coalesce(started_at, now()) ELSE started_at END
WHERE id = $1
RETURNING pg_notify($20, id::text)
"""

_STORE = """
INSERT INTO stored_values (user_id, sha256, size, body)
SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bytea[])
ON CONFLICT DO NOTHING
"""

_NODE_COLUMNS = (
    "id", "node", "node_id", "block_id", "n", "status", "inputs", "outputs", "error", "attempt", "cost",
    "started_at", "ended_at",
)  # fmt: skip


async def record(
    connection: asyncpg.Connection[Any], execution_id: str, changes: Changes, *, owner: str
) -> bool:
    """Write changes of an open execution, in a transaction of their own.

    Returns:
        Whether it was still open. Nothing is written about an execution that has ended.

    Raises:
        NotFound: The owner has no such execution.
    """
    async with connection.transaction():
        locked = await connection.fetchrow(_LOCK, execution_id, owner)
        if locked is None:
            raise NotFound
        if locked["status"] in TERMINAL:
            return False
        await write_changes(connection, execution_id, changes, owner=owner, event_seq=locked["event_seq"])
    return True


async def write_changes(
    connection: asyncpg.Connection[Any], execution_id: str, changes: Changes, *, owner: str, event_seq: int
) -> None:
    """Write changes within a transaction that holds the execution's lock, and announce them.

    Args:
        connection: In that transaction.
        execution_id: Whose changes.
        changes: What to write.
        owner: Whom the values belong to.
        event_seq: The number of the last event, as read under the lock.
    """
    if changes.values:
        await connection.execute(
            _STORE,
            owner,
            [value.sha256 for value in changes.values],
            [value.size for value in changes.values],
            [value.body for value in changes.values],
        )
    nodes = [[getattr(node, column) for node in changes.nodes.values()] for column in _NODE_COLUMNS]
    events = changes.events
    await connection.execute(
        _WRITE,
        execution_id,
        event_seq,
        [event.key for event in events],
        [event.type for event in events],
        [event.data for event in events],
        *nodes,
        changes.status,
        CHANNEL,
    )


async def find_node_record(
    connection: asyncpg.Connection[Any], execution_id: str, node: int, *, n: int, owner: str
) -> tuple[Status, list[Any], dict[str, Any] | None, int] | None:
    """Return (status, outputs, error, attempt) of a node execution, or None when nothing is recorded of it."""
    row = await connection.fetchrow(
        """
        SELECT n.status, n.outputs, n.error, n.attempt FROM node_executions n
        JOIN executions e ON e.id = n.execution_id
        WHERE n.execution_id = $1 AND n.node = $2 AND n.n = $3 AND e.user_id = $4
        """,
        execution_id,
        node,
        n,
        owner,
    )
    return (Status(row["status"]), row["outputs"], row["error"], row["attempt"]) if row else None


async def load_values(
    connection: asyncpg.Connection[Any], owner: str, hashes: Sequence[str]
) -> dict[str, bytes]:
    """Return the stored bodies of those of the values that the owner has."""
    rows = await connection.fetch(
        "SELECT sha256, body FROM stored_values WHERE user_id = $1 AND sha256 = ANY($2::text[])",
        owner,
        hashes,
    )
    return {row["sha256"]: row["body"] for row in rows}
