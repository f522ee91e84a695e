"""Node executions as they are read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.graph.envelope import Envelope, is_reference
from app.graph.status import Status
from app.models.page import Page, make_page, no_size, number_key, read_cursor
from app.models.tables.executions import Execution, NodeExecution


async def list_node_executions(
    session: AsyncSession,
    owner: str,
    execution_id: uuid.UUID,
    *,
    node_id: str | None = None,
    status: Status | None = None,
    cursor: str | None = None,
    limit: int,
    opens_values: bool = True,
) -> Page[NodeExecution]:
    """Return node executions in the order in which something last happened to them; fewer when values are opened."""
    query = (
        select(NodeExecution)
        .join(Execution, col(Execution.id) == col(NodeExecution.execution_id))
        .where(col(Execution.id) == execution_id, col(Execution.user_id) == owner)
        .order_by(col(NodeExecution.seq), col(NodeExecution.id))
        .limit(limit + 1)
    )
    if node_id is not None:
        query = query.where(col(NodeExecution.node_id) == node_id)
    if status is not None:
        query = query.where(col(NodeExecution.status) == status)
    if cursor:
        key = tuple_(col(NodeExecution.seq), col(NodeExecution.id))
        query = query.where(key > tuple_(*read_cursor(cursor, _numbered_key)))
    rows = (await session.execute(query)).scalars().all()
    size = _size if opens_values else no_size
    return make_page(rows, limit, lambda row: (row.seq, row.id), size=size)


def _numbered_key(seq: int, row_id: str) -> tuple[int, uuid.UUID]:
    return number_key(seq), uuid.UUID(row_id)


def envelopes_of(row: NodeExecution) -> Iterator[Envelope]:
    """Return the envelopes around a node execution's inputs and outputs."""
    yield from row.inputs.values()
    for _, envelope in row.outputs:
        yield envelope


def _size(row: NodeExecution) -> int:
    return sum(envelope[1] for envelope in envelopes_of(row) if is_reference(envelope))
