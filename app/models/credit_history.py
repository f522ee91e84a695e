"""The ledger as its owner reads it: entry by entry, or with all that one execution was charged in one place."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.models.page import Page, make_page, read_cursor
from app.models.tables.credits import CreditEntry

_MOST = 2**63 - 1


class HistoryKind(StrEnum):
    """What a balance changed for."""

    EXECUTION = "EXECUTION"
    """Node executions of an execution and of all that is nested in it."""
    BLOCK = "BLOCK"
    """A block that was called on its own."""
    GRANT = "GRANT"
    TOP_UP = "TOP_UP"
    REFUND = "REFUND"
    ADJUST = "ADJUST"


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """What a balance changed for, with all its entries."""

    id: int
    """Of the first entry."""
    kind: HistoryKind
    at: datetime
    """When it began."""
    amount: int
    """Credits that the balance has gained by it so far; negative when it lost."""
    reserved: int = 0
    """Credits of it that are only reserved."""
    execution_id: uuid.UUID | None = None
    graph_id: uuid.UUID | None = None
    graph_version: int | None = None
    graph_name: str | None = None
    status: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    calls: int = 0
    """How many node executions were charged."""
    details: Mapping[str, Any] | None = None


# An execution stands where its first entry does: nothing that comes later moves it to another page.
_FIRST = """
SELECT e.id, e.at, e.amount, e.root_id, e.key, e.details,
    CASE WHEN e.root_id IS NOT NULL THEN 'EXECUTION' WHEN e.kind = 'RESERVE' THEN 'BLOCK' ELSE e.kind END AS kind
FROM credit_entries e
WHERE e.user_id = :owner AND e.id < :before
    AND (CAST(:execution_id AS uuid) IS NULL OR e.root_id = coalesce(
        (SELECT coalesce(x.root_id, x.id) FROM executions x WHERE x.id = :execution_id AND x.user_id = :owner),
        :execution_id
    ))
    AND (CAST(:kind AS text) IS NULL OR :kind =
        CASE WHEN e.root_id IS NOT NULL THEN 'EXECUTION' WHEN e.kind = 'RESERVE' THEN 'BLOCK' ELSE e.kind END)
    AND CASE WHEN e.root_id IS NULL THEN e.key NOT LIKE 'close:%' ELSE NOT EXISTS (
        SELECT FROM credit_entries earlier WHERE earlier.root_id = e.root_id AND earlier.id < e.id
    ) END
ORDER BY e.id DESC LIMIT :most
"""
_OF_EXECUTIONS = """
SELECT sums.*, e.graph_id, e.graph_version, v.name AS graph_name, e.status, e.started_at, e.ended_at
FROM (
    SELECT root_id, sum(amount)::bigint AS amount,
        coalesce(sum((details ->> 'charged')::bigint) FILTER (WHERE kind = 'SETTLE'), 0)::bigint AS charged,
        count(DISTINCT node_execution_id) FILTER (WHERE kind = 'SETTLE') AS calls
    FROM credit_entries WHERE user_id = :owner AND root_id = ANY(:roots) GROUP BY root_id
) sums
LEFT JOIN executions e ON e.id = sums.root_id AND e.user_id = :owner
LEFT JOIN graph_versions v ON v.graph_id = e.graph_id AND v.version = e.graph_version
"""
_CLOSED = "SELECT key, amount FROM credit_entries WHERE user_id = :owner AND key = ANY(:keys)"


async def list_history(
    session: AsyncSession,
    owner: str,
    *,
    kind: HistoryKind | None = None,
    execution_id: uuid.UUID | None = None,
    cursor: str | None = None,
    limit: int,
) -> Page[HistoryItem]:
    """Return what an owner's balance has changed for, newest first.

    Args:
        session: To read with.
        owner: Whose balance.
        kind: Only changes of this kind.
        execution_id: Only what this execution, or the one that it is nested in, was charged.
        cursor: Where the page begins.
        limit: The most that it holds.
    """
    before = read_cursor(cursor, _entry_key) if cursor else _MOST
    wanted = {"owner": owner, "before": before, "kind": kind, "execution_id": execution_id, "most": limit + 1}
    rows = (await session.execute(text(_FIRST), wanted)).all()
    page = make_page(rows, limit, lambda row: (row.id,))
    executions = await _sum_executions(session, owner, page.items)
    closed = await _find_closed(session, owner, page.items)
    return Page([_item_of(row, executions, closed) for row in page.items], page.next_cursor)


async def list_entries(
    session: AsyncSession,
    owner: str,
    *,
    execution_id: uuid.UUID | None = None,
    cursor: str | None = None,
    limit: int,
) -> Page[CreditEntry]:
    """Return the entries of an owner's ledger, newest first; of one execution alone if that is asked for."""
    query = select(CreditEntry).where(col(CreditEntry.user_id) == owner)
    if execution_id is not None:
        query = query.where(col(CreditEntry.execution_id) == execution_id)
    if cursor:
        query = query.where(col(CreditEntry.id) < read_cursor(cursor, _entry_key))
    rows = (
        (await session.execute(query.order_by(col(CreditEntry.id).desc()).limit(limit + 1))).scalars().all()
    )
    return make_page(rows, limit, lambda row: (row.id,))


def _entry_key(number: int) -> int:
    return max(0, min(int(number), _MOST))


async def _sum_executions(session: AsyncSession, owner: str, rows: Sequence[Any]) -> dict[uuid.UUID, Any]:
    roots = [row.root_id for row in rows if row.root_id]
    if not roots:
        return {}
    found = await session.execute(text(_OF_EXECUTIONS), {"owner": owner, "roots": roots})
    return {row.root_id: row for row in found}


async def _find_closed(session: AsyncSession, owner: str, rows: Sequence[Any]) -> dict[str, int]:
    """Return what the ends of calls outside executions gave back or took, by the keys of their reservations."""
    keys = [_closing(row.key) for row in rows if row.kind == HistoryKind.BLOCK]
    if not keys:
        return {}
    found = await session.execute(text(_CLOSED), {"owner": owner, "keys": keys})
    return {row.key: row.amount for row in found}


def _closing(key: str) -> str:
    return key.replace("reserve:", "close:", 1)


def _item_of(row: Any, executions: Mapping[uuid.UUID, Any], closed: Mapping[str, int]) -> HistoryItem:
    kind = HistoryKind(row.kind)
    if kind is HistoryKind.EXECUTION:
        sums = executions[row.root_id]
        return HistoryItem(
            row.id,
            kind,
            row.at,
            sums.amount,
            reserved=-sums.amount - sums.charged,
            execution_id=row.root_id,
            graph_id=sums.graph_id,
            graph_version=sums.graph_version,
            graph_name=sums.graph_name,
            status=sums.status,
            started_at=sums.started_at,
            ended_at=sums.ended_at,
            calls=sums.calls,
        )
    if kind is HistoryKind.BLOCK:
        end = closed.get(_closing(row.key))
        return HistoryItem(
            row.id, kind, row.at, row.amount + (end or 0), reserved=-row.amount if end is None else 0
        )
    return HistoryItem(row.id, kind, row.at, row.amount, details=row.details)
