"""What a rerun reads of the execution it begins from, and what it takes over of its record; plain asyncpg."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from app.errors import NotFound
from app.graph.envelope import Envelope
from app.graph.status import Status

_LIST = """
SELECT n.id FROM node_executions n JOIN executions e ON e.id = n.execution_id
WHERE n.execution_id = $1 AND e.user_id = $2 AND n.called_by IS NULL ORDER BY n.seq, n.id
"""

_LIST_CALLED = """
SELECT n.id, n.node_id, n.n, n.called_by FROM node_executions n JOIN executions e ON e.id = n.execution_id
WHERE n.execution_id = $1 AND e.user_id = $2 AND n.called_by IS NOT NULL ORDER BY n.seq, n.id
"""

# Found by their ids first, so that the planner never thinks of going through the whole execution for each batch.
_LOAD = """
WITH found AS MATERIALIZED (SELECT * FROM node_executions WHERE id = ANY($1::uuid[]))
SELECT n.id, n.node_id, n.n, n.status, n.inputs, n.outputs
FROM found n JOIN executions e ON e.id = n.execution_id
WHERE n.execution_id = $2 AND e.user_id = $3 ORDER BY n.seq, n.id
"""

_COPY = """
WITH held AS MATERIALIZED (
    SELECT id FROM executions
    WHERE id = $1 AND user_id = $2 AND status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')
    FOR UPDATE
), original AS (
    SELECT id, event_seq FROM executions WHERE id = $3 AND user_id = $2
), found AS MATERIALIZED (
    SELECT * FROM node_executions WHERE id = ANY($4::uuid[])
), copied AS (
    INSERT INTO node_executions (
        execution_id, id, node, node_id, block_id, n, status, inputs, outputs, error, attempt, cost,
        started_at, ended_at, seq, is_reused, called_by
    )
    SELECT held.id, given.id, given.node, old.node_id, old.block_id, old.n, old.status, old.inputs, old.outputs,
        old.error, old.attempt, 0, old.started_at, old.ended_at, old.seq - original.event_seq - 1, TRUE, given.called_by
    FROM held, original,
        unnest($4::uuid[], $5::uuid[], $6::int[], $7::uuid[]) AS given(old_id, id, node, called_by)
    JOIN found old ON old.id = given.old_id
    WHERE old.execution_id = $3
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM held
"""


@dataclass(frozen=True, slots=True)
class Original:
    """The execution that is run again."""

    plan_hash: str
    inputs: Envelope


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """A node execution of it."""

    id: uuid.UUID
    node_id: str
    n: int
    status: Status
    inputs: dict[str, Envelope]
    outputs: list[list[Any]]


@dataclass(frozen=True, slots=True)
class CalledRow:
    """A node execution of it that another one had called as a tool."""

    id: uuid.UUID
    node_id: str
    n: int
    called_by: uuid.UUID


@dataclass(frozen=True, slots=True)
class ReusedRow:
    """A node execution that is taken over."""

    old_id: uuid.UUID
    id: uuid.UUID
    node: int
    """The node's number in the plan of the rerun."""
    called_by: uuid.UUID | None = None
    """Who had called it, by the id in the rerun."""


async def find_original(
    connection: asyncpg.Pool[Any] | asyncpg.Connection[Any], execution_id: str, *, owner: str
) -> Original | None:
    """Return an owner's execution, or None when it has been deleted."""
    row = await connection.fetchrow(
        "SELECT plan_hash, inputs FROM executions WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL",
        execution_id,
        owner,
    )
    return Original(row["plan_hash"], row["inputs"]) if row else None


async def require_compiled(
    connection: asyncpg.Pool[Any] | asyncpg.Connection[Any], plan_hash: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a compiled version: its plan, and its configuration.

    Raises:
        NotFound: There is none of that hash.
    """
    row = await connection.fetchrow("SELECT plan, configuration FROM plans WHERE hash = $1", plan_hash)
    if row is None:
        raise NotFound(f"There is no plan {plan_hash}")
    return row["plan"], row["configuration"]


async def list_row_ids(
    connection: asyncpg.Pool[Any] | asyncpg.Connection[Any], execution_id: str, *, owner: str
) -> list[uuid.UUID]:
    """Return the ids of the node executions that links had begun, in the order in which they ended."""
    return [row["id"] for row in await connection.fetch(_LIST, execution_id, owner)]


async def list_called(
    connection: asyncpg.Pool[Any] | asyncpg.Connection[Any], execution_id: str, *, owner: str
) -> list[CalledRow]:
    """Return the node executions that others had called, in the order in which they ended."""
    return [CalledRow(*row) for row in await connection.fetch(_LIST_CALLED, execution_id, owner)]


async def load_rows(
    connection: asyncpg.Pool[Any] | asyncpg.Connection[Any],
    execution_id: str,
    ids: Sequence[uuid.UUID],
    *,
    owner: str,
) -> list[RecordedRow]:
    """Return some node executions in the order in which they ended."""
    return [
        RecordedRow(row["id"], row["node_id"], row["n"], Status(row["status"]), row["inputs"], row["outputs"])
        for row in await connection.fetch(_LOAD, ids, execution_id, owner)
    ]


async def copy_rows(
    connection: asyncpg.Connection[Any],
    original_id: str,
    execution_id: str,
    rows: Sequence[ReusedRow],
    *,
    owner: str,
) -> bool:
    """Take node executions over into the record of a rerun, before everything of its own. A repeat changes nothing.

    Returns:
        Whether the rerun was still open. Nothing is written about one that has ended.
    """
    arguments = [[getattr(row, column) for row in rows] for column in ("old_id", "id", "node", "called_by")]
    return bool(await connection.fetchval(_COPY, execution_id, owner, original_id, *arguments))
