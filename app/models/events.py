"""The event logs of executions as they are read."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.models.tables.executions import Execution, ExecutionEvent


async def list_events(
    session: AsyncSession, owner: str, execution_id: uuid.UUID, *, after: int, limit: int
) -> Sequence[ExecutionEvent]:
    """Return the events with numbers above `after`, in their order."""
    query = (
        select(ExecutionEvent)
        .join(Execution, col(Execution.id) == col(ExecutionEvent.execution_id))
        .where(
            col(Execution.id) == execution_id,
            col(Execution.user_id) == owner,
            col(ExecutionEvent.seq) > after,
        )
        .order_by(col(ExecutionEvent.seq))
        .limit(limit)
    )
    return (await session.execute(query)).scalars().all()
