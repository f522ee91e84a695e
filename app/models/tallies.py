"""What workers have counted: every worker adds what is new, the API reads the sums. It is nobody's in particular."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.models.tables.tallies import TallyRow

# In the order of the key, so that two workers do not wait for each other.
_ADD = """
INSERT INTO tallies (name, labels, bucket, value)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[]) AS new (name, labels, bucket, value)
ORDER BY name, labels, bucket
ON CONFLICT (name, labels, bucket) DO UPDATE SET value = tallies.value + excluded.value
"""


@dataclass(frozen=True, slots=True)
class Tally:
    """A count, or what it has grown by."""

    name: str
    labels: str
    """JSON of the labels' values, in their order."""
    bucket: str
    value: float


async def add_tallies(pool: asyncpg.Pool[Any], new: Sequence[Tally]) -> None:
    """Add to counts what is new."""
    columns = ([getattr(tally, name) for tally in new] for name in ("name", "labels", "bucket", "value"))
    await pool.execute(_ADD, *columns)


async def list_tallies(session: AsyncSession) -> Sequence[Tally]:
    """Return all counts."""
    columns = (col(TallyRow.name), col(TallyRow.labels), col(TallyRow.bucket), col(TallyRow.value))
    return [Tally(*row) for row in await session.execute(select(*columns))]
