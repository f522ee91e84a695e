"""What administrators see of everybody's executions: lists across users, what is stuck, what has failed.

For sessions that see everything. What belongs to one user is read as that user sees it, elsewhere.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import NotFound
from app.graph.status import Status
from app.models.page import Page, dated_key, make_page, read_cursor
from app.models.tables.executions import Execution

SHOWN = 20
"""How many of what is stuck are named."""
MOST_CODES = 50
_STUCK = {
    # Those that await room wait for others of their user's, not for a worker.
    "queued": "status = 'QUEUED' AND NOT awaits_room AND created_at < now() - interval '5 minutes'",
    "running": "status = 'RUNNING' AND started_at < now() - interval '24 hours'",
    "silent": """status = 'RUNNING' AND started_at < now() - interval '1 hour' AND NOT EXISTS (
        SELECT FROM execution_events v WHERE v.execution_id = executions.id AND v.seq = executions.event_seq
        AND v.at >= now() - interval '1 hour')""",
    "reserving": """reserved > 0 AND NOT EXISTS (
        SELECT FROM node_executions n WHERE n.execution_id = executions.id AND n.ended_at IS NULL)
        AND NOT EXISTS (SELECT FROM credit_entries c WHERE c.execution_id = executions.id
        AND c.at > now() - interval '5 minutes')""",
}
"""Why an execution that is open may need somebody to look at it."""
# Each entry says the balance after it, so that of each user the last one is enough; that they follow from each other is
# looked at for the latest of all. A sum over the whole ledger would take longer every day.
_DIFFERENCES = text("""
WITH latest AS (
    SELECT user_id, amount, balance, lag(balance) OVER (PARTITION BY user_id ORDER BY id) AS before
    FROM credit_entries WHERE id > (SELECT max(id) FROM credit_entries) - 100000
)
SELECT count(*) FROM users u LEFT JOIN LATERAL (
    SELECT balance FROM credit_entries e WHERE e.user_id = u.id ORDER BY e.id DESC LIMIT 1
) last ON true
WHERE u.credits <> coalesce(last.balance, 0)
    OR u.id IN (SELECT user_id FROM latest WHERE before + amount <> balance)
""")
# Executions last thirty days at most, unless somebody has asked for more: older ones need not be looked through.
_OF_LAST_DAY = text("ended_at > now() - interval '1 day' AND created_at > now() - interval '31 days'")


@dataclass(frozen=True, slots=True)
class OversightFilter:
    """Which executions a list is to hold; what is None leaves them all in."""

    user_id: str | None = None
    status: Status | None = None
    graph_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class StuckExecution:
    """One that somebody should look at."""

    id: uuid.UUID
    user_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Stuck:
    """How many executions need somebody to look at them for a reason, and the oldest of them."""

    count: int
    oldest: Sequence[StuckExecution]


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """An execution without its values."""

    id: uuid.UUID
    user_id: str
    graph_id: uuid.UUID
    graph_version: int
    status: str
    trigger: str
    parent_id: uuid.UUID | None
    error: dict[str, object] | None
    cost: int
    reserved: int
    budget: int | None
    paused_for: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


async def require_owner(session: AsyncSession, execution_id: uuid.UUID) -> str:
    """Return whose execution it is.

    Raises:
        NotFound: There is none of this id.
    """
    query = select(col(Execution.user_id)).where(
        col(Execution.id) == execution_id, col(Execution.deleted_at).is_(None)
    )
    owner = (await session.execute(query)).scalar_one_or_none()
    if owner is None:
        raise NotFound
    return owner


async def list_of_all(
    session: AsyncSession, wanted: OversightFilter, *, cursor: str | None, limit: int
) -> Page[ExecutionRow]:
    """Return executions of all users, nested ones too, newest first."""
    conditions: list[ColumnElement[bool]] = [col(Execution.deleted_at).is_(None)]
    for column, value in (
        (col(Execution.user_id), wanted.user_id),
        (col(Execution.status), wanted.status),
        (col(Execution.graph_id), wanted.graph_id),
    ):
        if value is not None:
            conditions.append(column == value)
    if cursor:
        key = tuple_(col(Execution.created_at), col(Execution.id))
        conditions.append(key < tuple_(*read_cursor(cursor, dated_key)))
    columns = [getattr(Execution, column.name) for column in fields(ExecutionRow)]
    query = (
        select(*columns)
        .where(*conditions)
        .order_by(col(Execution.created_at).desc(), col(Execution.id).desc())
        .limit(limit + 1)
    )
    rows = [ExecutionRow(*row) for row in await session.execute(query)]
    return make_page(rows, limit, lambda row: (row.created_at.isoformat(), row.id))


async def count_by_status(session: AsyncSession, user_id: str) -> dict[str, int]:
    """Return how many executions a user has, by status."""
    query = (
        select(col(Execution.status), func.count())
        .where(col(Execution.user_id) == user_id, col(Execution.deleted_at).is_(None))
        .group_by(col(Execution.status))
    )
    return {status: count for status, count in await session.execute(query)}  # noqa: C416


async def find_stuck(session: AsyncSession) -> dict[str, Stuck]:
    """Return what may need somebody to look at it, by the reason why."""
    found = {}
    for reason, condition in _STUCK.items():
        query = (
            select(col(Execution.id), col(Execution.user_id), col(Execution.created_at), func.count().over())
            .where(col(Execution.ended_at).is_(None), text(condition))
            .order_by(col(Execution.created_at))
            .limit(SHOWN)
        )
        rows = (await session.execute(query)).all()
        found[reason] = Stuck(rows[0][3] if rows else 0, [StuckExecution(*row[:3]) for row in rows])
    return found


async def count_failures(session: AsyncSession) -> dict[str, int]:
    """Return how many executions have failed in the last day, by the code of their error."""
    code = func.coalesce(col(Execution.error)["code"].as_string(), "")
    failed = col(Execution.status) == Status.FAILED
    query = select(code, func.count()).where(failed, _OF_LAST_DAY).group_by(code)
    rows = await session.execute(query.order_by(func.count().desc()).limit(MOST_CODES))
    return {found: count for found, count in rows}  # noqa: C416 - rows are no pairs to the type checker


async def count_statuses(session: AsyncSession) -> dict[str, int]:
    """Return how many executions are open, or have ended in the last day, by status."""
    status, counts = col(Execution.status), {}
    for condition in (col(Execution.ended_at).is_(None), _OF_LAST_DAY):
        rows = await session.execute(select(status, func.count()).where(condition).group_by(status))
        counts.update({found: count for found, count in rows})  # noqa: C416
    return counts


async def count_differences(session: AsyncSession) -> int:
    """Return of how many users the ledger does not add up to the balance."""
    return int((await session.execute(_DIFFERENCES)).scalar_one())
