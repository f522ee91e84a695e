"""The garbage collection of stored values: what nobody uses is deleted, together with its object.

Safe beside everything that stores and uses values, and beside another collector: a value is locked before its uses are
counted, and neither comes nor goes one while it is. Whoever wanted to use a value that was deleted meanwhile is refused
by the foreign key and stores it anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

from app.objects import ObjectStore

GRACE = timedelta(days=1)
"""How long a value without a use is kept: longer than an accepted start may go without a record of it."""
LIMIT = 500

_LOCK_IDLE = """
SELECT user_id, sha256 FROM stored_values WHERE idle_since <= now() - $1::interval
ORDER BY idle_since LIMIT $2 FOR UPDATE SKIP LOCKED
"""

# A statement of its own: what one sees of the uses is as old as the statement, and older than its locks.
_COLLECT_VALUES = """
WITH idle AS MATERIALIZED (
    SELECT given.user_id, given.sha256, EXISTS (
        SELECT FROM value_uses u WHERE u.user_id = given.user_id AND u.sha256 = given.sha256
    ) AS is_used
    FROM unnest($1::text[], $2::text[]) AS given(user_id, sha256)
), kept AS (
    UPDATE stored_values v SET idle_since = NULL FROM idle
    WHERE v.user_id = idle.user_id AND v.sha256 = idle.sha256 AND idle.is_used
), gone AS (
    DELETE FROM stored_values v USING idle
    WHERE v.user_id = idle.user_id AND v.sha256 = idle.sha256 AND NOT idle.is_used
    RETURNING v.object, v.size
), loose AS (
    INSERT INTO loose_objects (name, since) SELECT object, '-infinity' FROM gone WHERE object IS NOT NULL
)
SELECT count(*) AS values, coalesce(sum(size), 0)::bigint AS bytes FROM gone
"""

_DOOM = """
UPDATE loose_objects SET is_doomed = true WHERE name IN (
    SELECT name FROM loose_objects WHERE since <= now() - $1::interval
    ORDER BY since LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING name
"""


@dataclass(frozen=True, slots=True)
class Collected:
    """What one call has deleted."""

    values: int
    bytes: int
    """Of the JSON texts of these values."""
    objects: int
    is_all: bool
    """Whether nothing was left to do: if not, call again."""


async def collect_values(
    pool: asyncpg.Pool[Any],
    objects: ObjectStore | None,
    *,
    grace: timedelta = GRACE,
    limit: int = LIMIT,
) -> Collected:
    """Delete values that nobody uses, and objects that belong to no value.

    Args:
        pool: The database.
        objects: The object store, if there is one. Without it, objects are left to a process that has it.
        grace: How long a value must have been without a use.
        limit: The most values, and the most objects, that are looked at.

    Raises:
        ObjectsAway: The object store cannot be reached; the next call goes on.
    """
    async with pool.acquire() as connection, connection.transaction():
        idle = await connection.fetch(_LOCK_IDLE, grace, limit)
        owners, hashes = [row["user_id"] for row in idle], [row["sha256"] for row in idle]
        gone = await connection.fetchrow(_COLLECT_VALUES, owners, hashes)
    assert gone is not None
    deleted = await _collect_objects(pool, objects, grace, limit) if objects else 0
    is_all = len(idle) < limit and deleted < limit
    return Collected(gone["values"], gone["bytes"], deleted, is_all)


async def _collect_objects(
    pool: asyncpg.Pool[Any], objects: ObjectStore, grace: timedelta, limit: int
) -> int:
    # Doomed and committed first: from then on no value takes the object, however late it comes.
    names = [row["name"] for row in await pool.fetch(_DOOM, grace, limit)]
    if names:
        await objects.delete(names)
        await pool.execute("DELETE FROM loose_objects WHERE name = ANY($1::text[])", names)
    return len(names)
