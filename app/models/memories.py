"""What executions leave for later ones: values by graph and key. The last one that is written stays."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.database import write_json
from app.errors import NotFound, PerdureError
from app.models.page import Page, make_page, read_cursor
from app.models.tables.memories import Memory

NO_GRAPH = uuid.UUID(int=0)
"""Stands for what all graphs of an owner share."""
MAX_KEY_LENGTH = 500
MAX_VALUE_BYTES = 1024 * 1024
"""Of the JSON text."""
MAX_TOTAL_BYTES = 100 * 1024 * 1024
"""Of all values of an owner together."""
MAX_MEMORIES = 10_000


class MemoryFull(PerdureError):
    """There is no room for another memory."""


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """What a list shows of one."""

    graph_id: uuid.UUID | None
    key: str
    size: int
    updated_at: datetime


_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('memories of ' || $1::text, 0))"
_USAGE = """
SELECT count(*) AS memories, coalesce(sum(size), 0)::bigint AS bytes FROM memories
WHERE user_id = $1 AND NOT (graph_id = $2 AND key = $3)
"""
_PUT = """
INSERT INTO memories (user_id, graph_id, key, value, size)
SELECT $1, $2::uuid, $3, $4::text::json, $5
WHERE $2::uuid = '00000000-0000-0000-0000-000000000000' OR NOT EXISTS (
    SELECT FROM graphs WHERE id = $2::uuid AND deleted_at IS NOT NULL
)
ON CONFLICT (user_id, graph_id, key)
DO UPDATE SET value = excluded.value, size = excluded.size, updated_at = now()
"""


async def find_memory(
    connection: asyncpg.Connection[Any], owner: str, graph_id: uuid.UUID, key: str
) -> list[Any]:
    """Return the value under a key in a list, or an empty list."""
    query = "SELECT value FROM memories WHERE user_id = $1 AND graph_id = $2 AND key = $3"
    rows = await connection.fetch(query, owner, graph_id, key)
    return [row["value"] for row in rows]


async def put_memory(
    connection: asyncpg.Connection[Any], owner: str, graph_id: uuid.UUID, key: str, value: Any
) -> None:
    """Keep a value under a key. What a deleted graph's execution leaves is not kept.

    Raises:
        MemoryFull: The value is too large, or the owner has too many.
    """
    text = write_json(value)
    if len(text) > MAX_VALUE_BYTES:
        raise MemoryFull(f"A value that is remembered may have {MAX_VALUE_BYTES:,} bytes at most")
    async with connection.transaction():
        await connection.execute(_LOCK, owner)
        usage = await connection.fetchrow(_USAGE, owner, graph_id, key)
        assert usage is not None
        if usage["memories"] >= MAX_MEMORIES or usage["bytes"] + len(text) > MAX_TOTAL_BYTES:
            raise MemoryFull("What your executions remember takes too much room: delete some of it")
        await connection.execute(_PUT, owner, graph_id, key, text, len(text))


async def list_memories(
    session: AsyncSession,
    owner: str,
    *,
    graph_id: uuid.UUID | None = None,
    cursor: str | None = None,
    limit: int,
) -> Page[MemoryEntry]:
    """Return what an owner's executions remember, by key: of one graph, or what all graphs share."""
    conditions = [col(Memory.user_id) == owner, col(Memory.graph_id) == (graph_id or NO_GRAPH)]
    if cursor:
        conditions.append(col(Memory.key) > read_cursor(cursor, str))
    query = (
        select(col(Memory.key), col(Memory.size), col(Memory.updated_at))
        .where(*conditions)
        .order_by(col(Memory.key))
        .limit(limit + 1)
    )
    rows: Sequence[MemoryEntry] = [MemoryEntry(graph_id, *row) for row in await session.execute(query)]
    return make_page(rows, limit, lambda row: [row.key])


async def require_memory(session: AsyncSession, owner: str, graph_id: uuid.UUID | None, key: str) -> Memory:
    """Return what an owner's executions remember under a key.

    Raises:
        NotFound: There is nothing.
    """
    query = select(Memory).where(
        col(Memory.user_id) == owner, col(Memory.graph_id) == (graph_id or NO_GRAPH), col(Memory.key) == key
    )
    found = (await session.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def delete_memories(
    session: AsyncSession, owner: str, graph_id: uuid.UUID | None, *, key: str | None = None
) -> int:
    """Delete what is remembered under a key, or all of a graph; return how much that was."""
    conditions = [col(Memory.user_id) == owner, col(Memory.graph_id) == (graph_id or NO_GRAPH)]
    if key is not None:
        conditions.append(col(Memory.key) == key)
    gone = await session.execute(
        delete(Memory)
        .where(*conditions)
        .returning(col(Memory.key))
        .execution_options(synchronize_session=False)
    )
    return len(gone.all())
