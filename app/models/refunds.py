"""What executions were charged and what of that was given back, with all that is nested in them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import NotFound
from app.models.tables.executions import Execution, NodeExecution
from app.models.tables.users import User

# Each level of nesting comes after the one above it.
_TREE = text("""
WITH RECURSIVE tree AS (
    SELECT id, NULL::uuid AS parent_id FROM executions WHERE id = :root AND user_id = :owner
    UNION ALL
    SELECT nested.id, nested.parent_id FROM executions nested JOIN tree ON nested.parent_id = tree.id
    WHERE nested.parent_node IS NOT NULL AND nested.user_id = :owner
), refunds AS (
    SELECT details ->> 'execution_id' AS execution_id, sum(amount) AS amount FROM credit_entries
    WHERE user_id = :owner AND kind = 'REFUND' GROUP BY 1
)
SELECT tree.id, tree.parent_id, coalesce(refunds.amount, 0)::bigint AS refunded, (
    SELECT coalesce(sum((details ->> 'charged')::bigint), 0) FROM credit_entries c
    WHERE c.execution_id = tree.id AND c.user_id = :owner AND c.kind = 'SETTLE'
)::bigint AS charged
FROM tree LEFT JOIN refunds ON refunds.execution_id = tree.id::text
""")
_NODE = text("""
SELECT (
    SELECT coalesce(sum((details ->> 'charged')::bigint), 0) FROM credit_entries
    WHERE execution_id = :execution AND user_id = :owner AND node_execution_id = :node AND kind = 'SETTLE'
) - (
    SELECT coalesce(sum(amount), 0) FROM credit_entries
    WHERE user_id = :owner AND kind = 'REFUND' AND details ->> 'node_execution_id' = CAST(:node AS text)
)
""")


@dataclass(frozen=True, slots=True)
class Refundable:
    """What a refund can be for."""

    execution_id: uuid.UUID
    root_id: uuid.UUID
    """Of the outermost execution."""
    node_execution_id: uuid.UUID | None = None


async def require_refundable(
    session: AsyncSession,
    owner: str,
    *,
    execution_id: uuid.UUID | None = None,
    node_execution_id: uuid.UUID | None = None,
) -> Refundable:
    """Find what of an owner's is named, deleted or not, by one of the two ids.

    Raises:
        NotFound: The owner has no such thing.
    """
    query = select(col(Execution.id), col(Execution.root_id)).where(col(Execution.user_id) == owner)
    if node_execution_id is None:
        query = query.where(col(Execution.id) == execution_id)
    else:
        query = query.join(NodeExecution, col(NodeExecution.execution_id) == col(Execution.id))
        query = query.where(col(NodeExecution.id) == node_execution_id)
    found = (await session.execute(query)).first()
    if found is None:
        raise NotFound
    return Refundable(found[0], found[1] or found[0], node_execution_id)


async def lock_balance(session: AsyncSession, user_id: str) -> None:
    """Let nobody else charge or refund a user until the transaction ends.

    Raises:
        NotFound: There is no such user.
    """
    query = select(col(User.id)).where(col(User.id) == user_id).with_for_update()
    if (await session.execute(query)).first() is None:
        raise NotFound


async def count_refundable(session: AsyncSession, owner: str, wanted: Refundable) -> int:
    """Return the credits that can still be given back; the owner's balance is locked.

    Of nothing is more given back than it was charged: not of a node execution, not of an execution with all that is
    nested in it, and not of one that it is nested in.
    """
    rows = (await session.execute(_TREE, {"root": wanted.root_id, "owner": owner})).all()
    left = _least(rows, wanted.execution_id)
    if wanted.node_execution_id is None:
        return left
    node = {"execution": wanted.execution_id, "node": str(wanted.node_execution_id), "owner": owner}
    return min(left, int((await session.execute(_NODE, node)).scalar_one()))


def _least(rows: Sequence[Row[tuple[uuid.UUID, uuid.UUID | None, int, int]]], target: uuid.UUID) -> int:
    """Return the least that is left of an execution and of all that it is nested in."""
    parents = {row.id: row.parent_id for row in rows}
    left = {row.id: row.charged - row.refunded for row in rows}
    for row in reversed(rows):
        if row.parent_id is not None:
            left[row.parent_id] += left[row.id]
    least, place = left.get(target, 0), parents.get(target)
    while place is not None:
        least, place = min(least, left[place]), parents[place]
    return max(0, int(least))
