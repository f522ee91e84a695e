"""What the reconciler asks of the record. It works for all owners, so unlike everywhere else none is named here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

_QUIET = """
SELECT e.id::text, e.user_id, parent.ended_at IS NOT NULL AS is_orphan,
    e.started_at IS NULL AND parent.id IS NOT NULL AND parent.ended_at IS NULL AS is_to_be_started,
    extract(epoch FROM now() - coalesce(last.at, e.created_at))::float AS quiet_seconds
FROM executions e
LEFT JOIN execution_events last ON last.execution_id = e.id AND last.seq = e.event_seq
LEFT JOIN executions parent ON parent.id = e.parent_id AND e.parent_node IS NOT NULL
WHERE e.ended_at IS NULL AND ($1::uuid IS NULL OR e.id > $1)
    AND coalesce(last.at, e.created_at) < now() - make_interval(secs => $2)
ORDER BY e.id LIMIT $3
"""

_UNRELEASED = """
SELECT nested.parent_id::text, nested.parent_node, nested.parent_n
FROM executions nested
JOIN node_executions waiting ON waiting.execution_id = nested.parent_id
    AND waiting.node = nested.parent_node AND waiting.n = nested.parent_n
WHERE nested.parent_id = ANY($1::uuid[]) AND nested.parent_node IS NOT NULL
    AND nested.ended_at < now() - make_interval(secs => $2)
    AND waiting.status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED', 'SKIPPED')
"""


@dataclass(frozen=True, slots=True)
class QuietExecution:
    """An open execution to which nothing has happened lately."""

    id: str
    user_id: str
    is_orphan: bool
    """It is nested, and its parent has ended."""
    is_to_be_started: bool
    """It is nested and has not begun; its parent is open and may still have to start it."""
    quiet_seconds: float
    """Since its last event."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """A node execution that waits for a nested execution which has ended."""

    execution_id: str
    node: int
    n: int


async def delete_old_keys(pool: asyncpg.Pool[Any], *, kept: timedelta) -> None:
    """Forget which calls were made under idempotency keys longer ago than they are kept."""
    await pool.execute("DELETE FROM idempotency_keys WHERE claimed_at < now() - $1::interval", kept)


async def list_quiet_executions(
    connection: asyncpg.Connection[Any], *, after: str | None, quiet_seconds: float, limit: int
) -> list[QuietExecution]:
    """Return open executions in the order of their ids, beginning after one of them."""
    rows = await connection.fetch(_QUIET, after, quiet_seconds, limit)
    return [QuietExecution(*row) for row in rows]


async def list_waiters(
    connection: asyncpg.Connection[Any], parent_ids: Sequence[str], *, quiet_seconds: float
) -> list[Waiter]:
    """Return those node executions of some parents that wait for what has long ended."""
    return [Waiter(*row) for row in await connection.fetch(_UNRELEASED, parent_ids, quiet_seconds)]


async def list_open_nested(connection: asyncpg.Connection[Any], parent_id: str) -> list[str]:
    """Return the ids of the open executions nested in an execution."""
    rows = await connection.fetch(
        "SELECT id::text FROM executions WHERE parent_id = $1 AND parent_node IS NOT NULL AND ended_at IS NULL",
        parent_id,
    )
    return [row["id"] for row in rows]


async def find_parent(
    connection: asyncpg.Connection[Any], execution_id: str
) -> tuple[str, tuple[int, int]] | None:
    """Return (parent id, (node, n)) of a nested execution, or None for one that is not nested."""
    row = await connection.fetchrow(
        "SELECT parent_id::text, parent_node, parent_n FROM executions WHERE id = $1 AND parent_node IS NOT NULL",
        execution_id,
    )
    return (row["parent_id"], (row["parent_node"], row["parent_n"])) if row else None


async def find_unrecorded(connection: asyncpg.Connection[Any], execution_ids: Sequence[str]) -> list[str]:
    """Return those of the ids that no record has."""
    rows = await connection.fetch(
        """
        SELECT given.id::text FROM unnest($1::uuid[]) AS given(id)
        WHERE NOT EXISTS (SELECT FROM executions e WHERE e.id = given.id)
        """,
        execution_ids,
    )
    return [row["id"] for row in rows]
