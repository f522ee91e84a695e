"""What an operator watches of everybody's executions and credits, as numbers.

For sessions that see everything. What is open is few, however much has ended: an index holds it apart. Balances are
added up over all users, one row each, which is asked for less often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_OPEN = text("""
SELECT status, count(*) AS executions, count(*) FILTER (WHERE awaits_room) AS awaiting,
    extract(epoch FROM now() - min(created_at) FILTER (WHERE awaits_room))::float8 AS awaiting_seconds,
    extract(epoch FROM now() - min(created_at) FILTER (WHERE NOT awaits_room AND parent_node IS NULL))::float8
        AS oldest_seconds
FROM executions WHERE ended_at IS NULL GROUP BY status
""")
_CREDITS = text("""
SELECT coalesce(sum(credits), 0)::bigint AS balance, coalesce(sum(reserved), 0)::bigint AS reserved,
    coalesce(sum(spent), 0)::bigint AS spent
FROM users
""")

_DELIVERIES = text("""
SELECT count(*), coalesce(extract(epoch FROM now() - min(next_at))::float8, 0) FROM deliveries WHERE status = 'pending'
""")


@dataclass(frozen=True, slots=True)
class OpenExecutions:
    """Those of one status that have not ended."""

    status: str
    executions: int
    awaiting: int
    """Of these: so many that wait because enough others of their user run."""
    awaiting_seconds: float | None
    """How long the oldest of those has been waiting; None when there is none."""
    oldest_seconds: float | None
    """How long ago the oldest of the others was created; nested ones wait for their parent."""


@dataclass(frozen=True, slots=True)
class OpenDeliveries:
    """Of notifications, those that have not ended."""

    count: int
    overdue_seconds: float
    """How long ago the oldest should have been tried; below 0 when none is due."""


@dataclass(frozen=True, slots=True)
class CreditSums:
    """Of all users together."""

    balance: int
    reserved: int
    spent: int
    """Charged and reserved, ever."""


async def list_open(session: AsyncSession) -> Sequence[OpenExecutions]:
    """Return how many executions are open, by status, and for how long the oldest have been."""
    return [OpenExecutions(*row) for row in await session.execute(_OPEN)]


async def count_deliveries(session: AsyncSession) -> OpenDeliveries:
    """Return how many deliveries are open, and for how long one has been due."""
    return OpenDeliveries(*(await session.execute(_DELIVERIES)).one())


async def add_up_credits(session: AsyncSession) -> CreditSums:
    """Return the sums of all balances."""
    return CreditSums(*(await session.execute(_CREDITS)).one())
