"""The writes of a live execution: node rows, events and values, in one transaction under the execution's lock.

On the hot path, so plain asyncpg. Every write may be repeated: rows that have ended stay, an event is written once per
key, values are named by their content.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import asyncpg

from app.graph.status import Status
from app.models.announcements import announcement
from app.models.changes import Changes, ValueCollected
from app.models.conversations import insert_turns
from app.models.event_types import OF_NODES
from app.models.review_writes import insert_reviews
from app.models.spending import release_open, settle


class FoundNode(NamedTuple):
    """What a row of `node_executions` says."""

    status: Status
    outputs: list[Any]
    error: dict[str, Any] | None
    usage: dict[str, Any] | None
    cost: int


_CHANGES = """
WITH held AS MATERIALIZED (
    SELECT event_seq AS last FROM executions
    WHERE id = $1 AND user_id = $2 AND status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')
    FOR UPDATE
), fresh AS (
    SELECT held.last + row_number() OVER (ORDER BY given.position) AS seq, given.key, given.type, given.data
    FROM held, unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS given(key, type, data, position)
    WHERE NOT EXISTS (
        SELECT FROM execution_events old WHERE old.execution_id = $1 AND old.key = given.key
    )
), written AS (
    INSERT INTO execution_events (execution_id, seq, key, type, data)
    SELECT $1, seq, key, type, data::json FROM fresh
), nodes AS (
    INSERT INTO node_executions AS old (
        execution_id, id, node, node_id, block_id, n, status, inputs, outputs, error, attempt, cost,
        started_at, ended_at, called_by, usage, seq
    )
    SELECT $1, id, node, node_id, block_id, n, status, inputs::json, outputs::json, error::json, attempt, cost,
        started_at, ended_at, called_by, usage::json, held.last + position
    FROM held, unnest(
        $6::uuid[], $7::int[], $8::text[], $9::text[], $10::int[], $11::text[], $12::text[], $13::text[],
        $14::text[], $15::int[], $16::int[], $17::timestamptz[], $18::timestamptz[], $19::uuid[], $20::text[]
    ) WITH ORDINALITY AS given(
        id, node, node_id, block_id, n, status, inputs, outputs, error, attempt, cost, started_at, ended_at,
        called_by, usage, position
    )
    ON CONFLICT (id) DO UPDATE SET
        status = excluded.status, outputs = excluded.outputs, error = excluded.error,
        inputs = CASE WHEN excluded.inputs::text = '{}' THEN old.inputs ELSE excluded.inputs END,
        attempt = greatest(old.attempt, excluded.attempt), cost = greatest(old.cost, excluded.cost),
        started_at = coalesce(old.started_at, excluded.started_at), ended_at = excluded.ended_at,
        seq = excluded.seq, usage = coalesce(excluded.usage, old.usage)
    WHERE old.status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED', 'SKIPPED')
)"""

_VALUES = """, free AS MATERIALIZED (
    SELECT name FROM loose_objects WHERE name = ANY($26::text[]) AND NOT is_doomed FOR UPDATE
), stored AS (
    INSERT INTO stored_values (user_id, sha256, size, body, object)
    SELECT $2, given.* FROM held, unnest($23::text[], $24::bigint[], $25::bytea[], $26::text[])
        AS given(sha256, size, body, object)
    WHERE given.body IS NOT NULL OR given.object IN (SELECT name FROM free)
    ON CONFLICT DO NOTHING
    RETURNING object
), taken AS (
    DELETE FROM loose_objects WHERE name IN (SELECT object FROM stored)
), used AS (
    INSERT INTO value_uses (execution_id, user_id, sha256)
    SELECT $1, $2, sha256 FROM held, unnest($27::text[]) AS given(sha256)
    ON CONFLICT DO NOTHING
)"""

_EXECUTION = """
UPDATE executions SET
    event_seq = held.last + (SELECT count(*) FROM fresh), status = coalesce($21, executions.status),
    started_at = CASE WHEN $21 = 'RUNNING' THEN coalesce(started_at, now()) ELSE started_at END,
    paused_for = CASE WHEN $21 IS NULL THEN paused_for ELSE $22 END
FROM held
WHERE id = $1
RETURNING executions.id
"""

# The outermost one is looked for with what the first lock has shown, so it is locked after it.
_LOCK_TREE = """
WITH own AS MATERIALIZED (SELECT root_id FROM executions WHERE id = $1 AND user_id = $2 FOR UPDATE)
SELECT FROM executions root, own WHERE root.id = own.root_id AND root.user_id = $2 FOR UPDATE OF root
"""

_WRITE = _CHANGES + _EXECUTION
_WRITE_WITH_VALUES = _CHANGES + _VALUES + _EXECUTION
"""Most records refer to no stored value, and then nothing looks for any."""

_NODE_COLUMNS = (
    "id", "node", "node_id", "block_id", "n", "status", "inputs", "outputs", "error", "attempt", "cost",
    "started_at", "ended_at", "called_by", "usage",
)  # fmt: skip
_VALUE_COLUMNS = ("sha256", "size", "body", "object")


async def record(
    connection: asyncpg.Connection[Any], execution_id: str, changes: Changes, *, owner: str
) -> bool:
    """Write changes of an open execution: mostly one statement, so one round trip and one commit.

    The lock on the execution's row is taken first, so its event numbers follow without a hole. What the statement
    then reads may be older than the lock: two writers of one and the same event can clash, and the second tries again.

    Returns:
        Whether it was still open. Nothing is written about an execution that has ended, or that is not the owner's.

    Raises:
        ValueCollected: One of the values is not stored any more. Nothing was written.
    """
    if not (changes.reviews or changes.turns or changes.settlements or changes.unpaid):
        return await _write(connection, execution_id, changes, owner)
    try:
        return await _write_all(connection, execution_id, changes, owner)
    except asyncpg.UniqueViolationError:
        return await _write_all(connection, execution_id, changes, owner)


async def _write_all(
    connection: asyncpg.Connection[Any], execution_id: str, changes: Changes, owner: str
) -> bool:
    async with connection.transaction():
        if changes.values and (changes.settlements or changes.unpaid):
            # Whoever stores the same value may hold the outermost execution, and waits for us to commit.
            await connection.execute(_LOCK_TREE, execution_id, owner)
        is_open = await _write(connection, execution_id, changes, owner)
        if is_open:
            if changes.reviews:
                await insert_reviews(connection, execution_id, changes.reviews, owner=owner)
            await insert_turns(connection, execution_id, changes.turns)
            changes.runs_low = await settle(connection, execution_id, changes.settlements, owner=owner)
            if changes.unpaid:
                await release_open(connection, execution_id, owner=owner, node_executions=changes.unpaid)
    return is_open


async def _write(
    connection: asyncpg.Connection[Any], execution_id: str, changes: Changes, owner: str
) -> bool:
    statement = _WRITE_WITH_VALUES if changes.values or changes.uses else _WRITE
    arguments = _arguments(execution_id, changes, owner)
    try:
        try:
            written = await connection.fetchrow(statement, *arguments)
        except asyncpg.UniqueViolationError:
            if connection.is_in_transaction():
                raise
            written = await connection.fetchrow(statement, *arguments)
    except asyncpg.ForeignKeyViolationError as error:
        raise ValueCollected from error
    return written is not None


def _arguments(execution_id: str, changes: Changes, owner: str) -> list[Any]:
    events = changes.events
    return [
        execution_id,
        owner,
        [event.key for event in events],
        [event.type for event in events],
        [event.data for event in events],
        *([getattr(node, column) for node in changes.nodes.values()] for column in _NODE_COLUMNS),
        changes.status,
        changes.paused_for,
        *(_value_arguments(changes) if changes.values or changes.uses else ()),
    ]


def announcement_of(execution_id: str, changes: Changes, *, owner: str) -> str | None:
    """Return what is announced of changes; None when they show nowhere.

    Most are of node executions, which concern nobody but who follows them. To be asked when they have been written.
    """
    is_of_execution = (
        changes.status is not None
        or bool(changes.nested)
        # The event that tells of it is written with the settlement, and stands not among these.
        or changes.runs_low
        or any(not event.type.startswith(OF_NODES) for event in changes.events)
    )
    if is_of_execution:
        return announcement(execution_id, changes.status, owner)
    return execution_id if changes.events else None


def _value_arguments(changes: Changes) -> list[Any]:
    # In one order, so that two executions that store the same values never wait for each other in a ring.
    values = sorted(changes.values, key=lambda value: value.sha256)
    uses = sorted(changes.uses.union(value.sha256 for value in values))
    return [*([getattr(value, column) for value in values] for column in _VALUE_COLUMNS), uses]


async def find_node_record(
    connection: asyncpg.Connection[Any], execution_id: str, node: int, *, n: int, owner: str
) -> FoundNode | None:
    """Return what stands in the record of a node execution, or None when nothing is recorded of it."""
    row = await connection.fetchrow(
        """
        SELECT n.status, n.outputs, n.error, n.usage, n.cost FROM node_executions n
        JOIN executions e ON e.id = n.execution_id
        WHERE n.execution_id = $1 AND n.node = $2 AND n.n = $3 AND e.user_id = $4
        """,
        execution_id,
        node,
        n,
        owner,
    )
    return FoundNode(Status(row["status"]), *row[1:]) if row else None
