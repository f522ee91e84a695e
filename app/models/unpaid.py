"""Executions that the engine has paused because nobody could pay, and which of them could be paid for now."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# A budget of the execution itself is not asked: when that is used up, the execution has to go on to fail.
_PAYABLE = """
SELECT e.id FROM executions e JOIN users u ON u.id = e.user_id
WHERE e.ended_at IS NULL AND e.status = 'PAUSED' AND e.paused_for <> '' AND u.suspended_at IS NULL
    AND e.required <= least(
        u.credits, least(u.total_budget, u.total_limit) - u.spent,
        least(u.daily_budget, u.daily_limit)
            - CASE WHEN u.spent_on >= (now() AT TIME ZONE 'UTC')::date THEN u.spent_today ELSE 0 END
    )
"""


async def list_payable(session: AsyncSession, owner: str, *, limit: int) -> Sequence[uuid.UUID]:
    """Return the ids of an owner's executions whose next call could be paid, the oldest first."""
    statement = text(f"{_PAYABLE} AND e.user_id = :owner ORDER BY e.created_at LIMIT :limit")
    return (await session.execute(statement, {"owner": owner, "limit": limit})).scalars().all()


async def find_payable(connection: asyncpg.Connection[Any], execution_ids: Sequence[str]) -> list[str]:
    """Return those of some executions, whoever's they are, whose next call could be paid."""
    rows = await connection.fetch(f"{_PAYABLE} AND e.id = ANY($1::uuid[])", execution_ids)
    return [str(row["id"]) for row in rows]
