"""How often nodes were executed, how long it took and what it cost: of the last completed executions of a version."""

from __future__ import annotations

import uuid

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.graph.estimation import History, Recorded
from app.graph.status import Status
from app.models.tables.executions import Execution, NodeExecution

MOST_EXECUTIONS = 20
MOST_NODE_EXECUTIONS = 20_000
"""Of all executions that are looked at together; the last one is looked at however many it has."""


async def find_history(session: AsyncSession, owner: str, graph_id: uuid.UUID, *, version: int) -> History:
    """Return what the last completed executions of a version say. Reruns are passed over: they do only a part."""
    rows = (await session.execute(_last(owner, graph_id, version))).all()
    ids: list[uuid.UUID] = []
    seconds: list[float] = []
    room = MOST_NODE_EXECUTIONS
    for execution_id, count, took in rows:
        room -= count
        if ids and room < 0:
            break
        ids.append(execution_id)
        seconds.append(float(took))
    if not ids:
        return History()
    found = await session.execute(_by_node(owner, ids))
    nodes = {
        node_id: Recorded(count / len(ids), None if took is None else float(took), float(cost))
        for node_id, count, took, cost in found
    }
    return History(len(ids), sorted(seconds)[len(seconds) // 2], nodes)


def _last(owner: str, graph_id: uuid.UUID, version: int) -> Select[uuid.UUID, int, float]:
    took = func.extract("epoch", col(Execution.ended_at) - col(Execution.started_at))
    return (
        select(col(Execution.id), col(Execution.node_executions), took)
        .where(
            col(Execution.user_id) == owner,
            col(Execution.graph_id) == graph_id,
            col(Execution.graph_version) == version,
            col(Execution.status) == Status.COMPLETED,
            col(Execution.started_at).is_not(None),
            col(Execution.trigger) != "rerun",
            col(Execution.deleted_at).is_(None),
        )
        .order_by(col(Execution.created_at).desc())
        .limit(MOST_EXECUTIONS)
    )


def _by_node(owner: str, ids: list[uuid.UUID]) -> Select[str, int, float | None, float]:
    took = func.extract("epoch", col(NodeExecution.ended_at) - col(NodeExecution.started_at))
    return (
        select(
            col(NodeExecution.node_id),
            func.count(),
            func.percentile_cont(0.5).within_group(took),
            func.avg(col(NodeExecution.cost)),
        )
        .join(Execution, col(Execution.id) == col(NodeExecution.execution_id))
        .where(col(Execution.user_id) == owner, col(NodeExecution.execution_id).in_(ids))
        .group_by(col(NodeExecution.node_id))
    )
