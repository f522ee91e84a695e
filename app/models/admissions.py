"""How many executions of a user run at once. The others stay QUEUED, and are begun in the order of their creation.

Counted are executions that no other one nests and that are RUNNING. Far below the limit one look is enough; near it
those who begin take their turn under a lock of the user. The lock is taken before any other, in transactions that do
nothing else.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import asyncpg

NEAR = 200
"""So near the limit, places are given out one by one: so many executions of a user do not begin at one moment."""
CALLED_AT_ONCE = 20
"""How many are called when a place has become free; each of them calls others when it ends."""

_RUNNING = """
SELECT count(*) FROM (
    SELECT FROM executions WHERE user_id = $1 AND status = 'RUNNING' AND parent_node IS NULL LIMIT $2
) AS running
"""
_LOOK_AT_ALL = f"""
SELECT ({_RUNNING}) AS running,
    EXISTS (SELECT FROM executions WHERE user_id = $1 AND awaits_room AND ended_at IS NULL) AS has_queue
"""  # noqa: S608 - put together of constants, like those below
_LOOK = f"""
SELECT status, look.* FROM executions, ({_LOOK_AT_ALL}) AS look WHERE id = $3 AND user_id = $1
"""  # noqa: S608 - as above
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7))"
# Of the clock, not of the transaction, which has begun before the lock was there: those who begin later say so.
_TAKE = f"""
WITH place AS (
    SELECT ({_RUNNING}) + (
        SELECT count(*) FROM executions earlier
        WHERE earlier.user_id = $1 AND earlier.awaits_room AND earlier.ended_at IS NULL
            AND (earlier.created_at, earlier.id) < (mine.created_at, mine.id)
    ) < $2 AS is_free
    FROM executions mine WHERE mine.id = $3
)
UPDATE executions SET
    status = CASE WHEN is_free THEN 'RUNNING' ELSE status END,
    started_at = CASE WHEN is_free THEN clock_timestamp() ELSE started_at END,
    awaits_room = NOT is_free
FROM place WHERE id = $3 AND user_id = $1 AND status = 'QUEUED'
RETURNING is_free
"""  # noqa: S608 - as above
_NEXT = f"""
SELECT id FROM executions WHERE user_id = $1 AND awaits_room AND ended_at IS NULL
ORDER BY created_at, id LIMIT greatest(0, least($3, $2 - ({_RUNNING})))
"""  # noqa: S608 - as above
_WITH_ROOM = """
SELECT id FROM (
    SELECT e.id, row_number() OVER (PARTITION BY e.user_id ORDER BY e.created_at, e.id) + (
        SELECT count(*) FROM executions r
        WHERE r.user_id = e.user_id AND r.status = 'RUNNING' AND r.parent_node IS NULL
    ) AS place
    FROM executions e WHERE e.awaits_room AND e.ended_at IS NULL
        AND e.user_id IN (SELECT user_id FROM executions WHERE id = ANY($2::uuid[]) AND awaits_room)
) AS queue
WHERE place <= $1 AND id = ANY($2::uuid[])
"""


async def take_place(
    connection: asyncpg.Connection[Any], execution_id: str, *, owner: str, limit: int
) -> bool:
    """Take a place among those of an owner that run, or one in the queue.

    Args:
        connection: Not in a transaction.
        execution_id: Of an execution that is recorded and that no other one nests.
        owner: Whose it is.
        limit: How many may run.

    Returns:
        Whether it may go on: also when it has begun before, or is not the owner's.
    """
    look = await connection.fetchrow(_LOOK, owner, limit, uuid.UUID(execution_id))
    if look is None or look["status"] != "QUEUED":
        return True
    if not look["has_queue"] and look["running"] < limit - NEAR:
        return True
    async with connection.transaction():
        await connection.execute(_LOCK, owner)
        # A statement of its own: what it sees is what stands there once the lock is held.
        is_free = await connection.fetchval(_TAKE, owner, limit, uuid.UUID(execution_id))
    return is_free is not False


async def list_next(connection: asyncpg.Connection[Any], *, owner: str, limit: int) -> Sequence[str]:
    """Return the ids of those that are next in an owner's queue and for which there is room now.

    To be asked after an execution of the owner runs no longer, and that has been committed.
    """
    look = await connection.fetchrow(_LOOK_AT_ALL, owner, limit)
    if look is None or (not look["has_queue"] and look["running"] < limit - NEAR):
        return ()
    # Whoever is just being sent to the queue has counted the one that ended; its turn ends before ours.
    await connection.execute(_LOCK, owner)
    rows = await connection.fetch(_NEXT, owner, limit, CALLED_AT_ONCE)
    return [str(row["id"]) for row in rows]


async def find_with_room(
    connection: asyncpg.Connection[Any], execution_ids: Sequence[str], *, limit: int
) -> list[str]:
    """Return those of some executions, whoever's they are, that wait although there is room."""
    rows = await connection.fetch(_WITH_ROOM, limit, execution_ids)
    return [str(row["id"]) for row in rows]
