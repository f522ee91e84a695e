"""The garbage collection of files: what has expired, and what executions have made that ended long ago."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg

LIMIT = 500

# Taken with SKIP LOCKED: of two collectors each deletes others.
_COLLECT = """
WITH old AS MATERIALIZED (
    SELECT f.id FROM files f
    WHERE f.expires_at <= now() OR (
        f.execution_id IS NOT NULL AND f.created_at <= now() - $1::interval
        AND EXISTS (SELECT FROM executions e WHERE e.id = f.execution_id AND e.ended_at <= now() - $1::interval)
    )
    LIMIT $2 FOR UPDATE SKIP LOCKED
), loose AS (
    INSERT INTO loose_objects (name, since)
    SELECT object, '-infinity' FROM file_parts WHERE file_id IN (SELECT id FROM old) AND object IS NOT NULL
)
DELETE FROM files WHERE id IN (SELECT id FROM old)
"""


async def collect_files(pool: asyncpg.Pool[Any], *, kept: timedelta, limit: int = LIMIT) -> int:
    """Delete files that have had their time, and return how many. Their objects are collected with the values'.

    Args:
        pool: The database.
        kept: How long after its end the files of an execution are kept.
        limit: The most that are deleted.
    """
    done = await pool.execute(_COLLECT, kept, limit)
    return int(done.rpartition(" ")[2])
