"""The record of what models have answered, read where workers write it, and what of it stays behind a deletion."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from app.database import plain_url
from tests.stack import Stack

_ANSWERS = """
SELECT node_id, n, part, extract(epoch FROM recorded_at)::float8 AS at FROM node_executions r JOIN (
    SELECT execution_id, node, n, name AS part, recorded_at FROM node_steps
    UNION ALL
    SELECT execution_id, node, n, CASE turn WHEN 1 THEN '' ELSE turn::text END, recorded_at FROM conversation_turns
) AS answers USING (execution_id, node, n) WHERE execution_id = $1
"""
_LEFT = """
SELECT (SELECT count(*) FROM node_steps WHERE execution_id = ANY($1))
     + (SELECT count(*) FROM conversation_turns WHERE execution_id = ANY($1))
"""
_DATES = (
    "ALTER TABLE node_steps ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()",
    "ALTER TABLE conversation_turns ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()",
)


async def date_answers(stack: Stack) -> None:
    """From now on, note when an answer is recorded."""
    async with _connected(stack) as connection:
        for statement in _DATES:
            await connection.execute(statement)


async def list_answers(stack: Stack, execution_id: str) -> Mapping[str, float]:
    """Return when each answer was recorded, in seconds since the epoch, by the key of its question."""
    async with _connected(stack) as connection:
        rows = await connection.fetch(_ANSWERS, execution_id)
    return {
        ":".join([execution_id, row["node_id"], str(row["n"]), *([row["part"]] if row["part"] else [])]): row[
            "at"
        ]
        for row in rows
    }


async def count_answers(stack: Stack, execution_ids: Sequence[str]) -> int:
    """Return how many answers are on record for executions that may be deleted."""
    async with _connected(stack) as connection:
        count: int = await connection.fetchval(_LEFT, execution_ids)
    return count


@asynccontextmanager
async def _connected(stack: Stack) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(plain_url(stack.database_url))
    try:
        yield connection
    finally:
        await connection.close()
