"""What the API reads of executions that are to be run again."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import NotFound
from app.graph.status import TERMINAL, Status
from app.models.page import Page, dated_key, make_page, read_cursor
from app.models.reused import CalledRow, RecordedRow
from app.models.tables.executions import Execution, NodeExecution
from app.models.tables.graphs import StoredPlan


@dataclass(frozen=True, slots=True)
class EndedFilter:
    """Which executions are to be run again: those that everything given names. Nested ones only by id."""

    ids: Sequence[uuid.UUID] | None = None
    graph_id: uuid.UUID | None = None
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class EndedExecution:
    """One of them."""

    id: uuid.UUID
    created_at: datetime
    ended_at: datetime


async def require_compiled(
    session: AsyncSession, plan_hash: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a compiled version: its plan, and its configuration.

    Raises:
        NotFound: There is none of that hash.
    """
    plan = await session.get(StoredPlan, plan_hash)
    if plan is None:
        raise NotFound(f"There is no plan {plan_hash}")
    return plan.plan, plan.configuration


async def list_row_ids(session: AsyncSession, owner: str, execution_id: uuid.UUID) -> list[uuid.UUID]:
    """Return the ids of an execution's node executions that links had begun, in the order in which they ended."""
    query = (
        select(col(NodeExecution.id))
        .join(Execution, col(Execution.id) == col(NodeExecution.execution_id))
        .where(
            col(NodeExecution.execution_id) == execution_id,
            col(Execution.user_id) == owner,
            col(NodeExecution.called_by).is_(None),
        )
        .order_by(col(NodeExecution.seq), col(NodeExecution.id))
    )
    return list((await session.execute(query)).scalars())


async def list_called(session: AsyncSession, owner: str, execution_id: uuid.UUID) -> list[CalledRow]:
    """Return an execution's node executions that others had called, in the order in which they ended."""
    query = (
        select(
            col(NodeExecution.id),
            col(NodeExecution.node_id),
            col(NodeExecution.n),
            col(NodeExecution.called_by),
        )
        .join(Execution, col(Execution.id) == col(NodeExecution.execution_id))
        .where(
            col(NodeExecution.execution_id) == execution_id,
            col(Execution.user_id) == owner,
            col(NodeExecution.called_by).is_not(None),
        )
        .order_by(col(NodeExecution.seq), col(NodeExecution.id))
    )
    return [
        CalledRow(row_id, node_id, n, called_by)
        for row_id, node_id, n, called_by in await session.execute(query)
        if called_by is not None
    ]


async def load_rows(
    session: AsyncSession, owner: str, execution_id: uuid.UUID, ids: Sequence[uuid.UUID]
) -> list[RecordedRow]:
    """Return some of them in the same order."""
    # Found by their ids first, so that the planner never thinks of going through the whole execution for each batch.
    found = (
        select(
            col(NodeExecution.id),
            col(NodeExecution.execution_id),
            col(NodeExecution.node_id),
            col(NodeExecution.n),
            col(NodeExecution.status),
            col(NodeExecution.inputs),
            col(NodeExecution.outputs),
            col(NodeExecution.seq),
        )
        .where(col(NodeExecution.id).in_(ids))
        .cte("found")
        .prefix_with("MATERIALIZED")
    )
    row = found.c
    query = (
        select(row.id, row.node_id, row.n, row.status, row.inputs, row.outputs)
        .join(Execution, col(Execution.id) == row.execution_id)
        .where(row.execution_id == execution_id, col(Execution.user_id) == owner)
        .order_by(row.seq, row.id)
    )
    return [
        RecordedRow(row_id, node_id, n, Status(status), inputs, outputs)
        for row_id, node_id, n, status, inputs, outputs in await session.execute(query)
    ]


async def list_ended(
    session: AsyncSession, owner: str, wanted: EndedFilter, *, cursor: str | None = None, limit: int
) -> Page[EndedExecution]:
    """Return an owner's executions that have ended, newest first."""
    conditions: list[ColumnElement[bool]] = [
        col(Execution.user_id) == owner,
        col(Execution.deleted_at).is_(None),
        col(Execution.ended_at).is_not(None),
        col(Execution.status).in_(TERMINAL if wanted.status is None else [wanted.status]),
    ]
    if wanted.ids is None:
        conditions.append(col(Execution.parent_node).is_(None))
    else:
        conditions.append(col(Execution.id).in_(wanted.ids))
    if wanted.graph_id is not None:
        conditions.append(col(Execution.graph_id) == wanted.graph_id)
    if cursor:
        key = tuple_(col(Execution.created_at), col(Execution.id))
        conditions.append(key < tuple_(*read_cursor(cursor, dated_key)))
    query = (
        select(col(Execution.id), col(Execution.created_at), col(Execution.ended_at))
        .where(*conditions)
        .order_by(col(Execution.created_at).desc(), col(Execution.id).desc())
        .limit(limit + 1)
    )
    rows = [
        EndedExecution(row_id, created_at, ended_at)
        for row_id, created_at, ended_at in await session.execute(query)
        if ended_at is not None
    ]
    return make_page(rows, limit, lambda row: (row.created_at.isoformat(), row.id))


async def find_earliest(
    session: AsyncSession, owner: str, execution_ids: Sequence[uuid.UUID]
) -> datetime | None:
    """Return when the first of an owner's executions was started, or None when there is none."""
    query = select(func.min(col(Execution.created_at))).where(
        col(Execution.id).in_(execution_ids), col(Execution.user_id) == owner
    )
    return (await session.execute(query)).scalar_one()
