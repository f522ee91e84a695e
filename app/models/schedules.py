"""Schedules: when graphs are executed by themselves. What Temporal is told of them is decided elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, text, true, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, load_only
from sqlmodel import col

from app.errors import NotFound
from app.models.newest import list_newest
from app.models.page import Page
from app.models.tables.executions import Execution
from app.models.tables.schedules import Schedule

_SHOWN = ("id", "trigger_id", "status", "error", "created_at", "ended_at")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('schedules of ' || :owner, 0))")


async def count_schedules(session: AsyncSession, owner: str) -> int:
    """Return how many schedules an owner has, of which no other transaction makes one more meanwhile."""
    await session.execute(_LOCK, {"owner": owner})
    query = select(func.count()).select_from(Schedule).where(col(Schedule.user_id) == owner)
    return (await session.execute(query)).scalar_one()


async def insert_schedule(session: AsyncSession, schedule: Schedule) -> None:
    """Write a new schedule."""
    session.add(schedule)
    await session.flush()


async def get_schedule(session: AsyncSession, owner: str, schedule_id: uuid.UUID) -> Schedule | None:
    """Return an owner's schedule, or None."""
    query = select(Schedule).where(col(Schedule.id) == schedule_id, col(Schedule.user_id) == owner)
    return (await session.execute(query)).scalar_one_or_none()


async def require_schedule(session: AsyncSession, owner: str, schedule_id: uuid.UUID) -> Schedule:
    """Return an owner's schedule.

    Raises:
        NotFound: The owner has none of this id.
    """
    schedule = await get_schedule(session, owner, schedule_id)
    if schedule is None:
        raise NotFound
    return schedule


async def lock_schedule(session: AsyncSession, owner: str, schedule_id: uuid.UUID) -> Schedule:
    """Return an owner's schedule, which nobody else changes until the transaction ends.

    Raises:
        NotFound: The owner has none of this id.
    """
    query = select(Schedule).where(col(Schedule.id) == schedule_id, col(Schedule.user_id) == owner)
    schedule = (await session.execute(query.with_for_update())).scalar_one_or_none()
    if schedule is None:
        raise NotFound
    return schedule


async def list_schedules(
    session: AsyncSession,
    owner: str,
    *,
    graph_id: uuid.UUID | None = None,
    cursor: str | None = None,
    limit: int,
) -> Page[Schedule]:
    """Return an owner's schedules, newest first: all of them, or those of a graph."""
    query = select(Schedule).where(col(Schedule.user_id) == owner)
    if graph_id is not None:
        query = query.where(col(Schedule.graph_id) == graph_id)
    return await list_newest(session, query, Schedule, cursor=cursor, limit=limit, size=_size)


async def delete_schedule(session: AsyncSession, owner: str, schedule_id: uuid.UUID) -> None:
    """Delete a schedule.

    Raises:
        NotFound: The owner has none of this id.
    """
    gone = await session.execute(
        delete(Schedule)
        .where(col(Schedule.id) == schedule_id, col(Schedule.user_id) == owner)
        .returning(col(Schedule.id))
        .execution_options(synchronize_session=False)
    )
    if not gone.all():
        raise NotFound


async def delete_schedules_of(session: AsyncSession, owner: str, graph_id: uuid.UUID) -> Sequence[uuid.UUID]:
    """Delete the schedules of a graph; return their ids."""
    gone = await session.execute(
        delete(Schedule)
        .where(col(Schedule.graph_id) == graph_id, col(Schedule.user_id) == owner)
        .returning(col(Schedule.id))
        .execution_options(synchronize_session=False)
    )
    return gone.scalars().all()


async def find_last_executions(
    session: AsyncSession, owner: str, schedule_ids: Collection[uuid.UUID], *, limit: int
) -> Mapping[uuid.UUID, Sequence[Execution]]:
    """Return by schedule the last executions that it has started, newest first: what a list shows of them."""
    last = (
        select(Execution)
        .where(
            col(Execution.trigger_id) == col(Schedule.id),
            col(Execution.user_id) == owner,
            col(Execution.deleted_at).is_(None),
        )
        .order_by(col(Execution.created_at).desc(), col(Execution.id))
        .limit(limit)
        .correlate(Schedule)
        .lateral()
    )
    execution = aliased(Execution, last)
    query = (
        select(execution)
        .join_from(Schedule, last, true())
        .where(col(Schedule.id).in_(schedule_ids), col(Schedule.user_id) == owner)
        .order_by(col(execution.created_at).desc(), col(execution.id))
        # Outputs may be large, and are not shown.
        .options(load_only(*(getattr(execution, name) for name in _SHOWN)))
    )
    found: dict[uuid.UUID, list[Execution]] = {}
    for row in (await session.execute(query)).scalars():
        assert row.trigger_id is not None
        found.setdefault(row.trigger_id, []).append(row)
    return found


async def list_quiet_schedules(
    session: AsyncSession, *, before: datetime, after: uuid.UUID | None, limit: int
) -> Sequence[Schedule]:
    """Return schedules of all owners that nobody has changed lately, by id.

    Args:
        session: One that sees all of them.
        before: When they were last changed at the latest.
        after: Id of the last one of the page before.
        limit: The most that are returned.
    """
    query = select(Schedule).where(col(Schedule.updated_at) < before)
    if after is not None:
        query = query.where(col(Schedule.id) > after)
    return (await session.execute(query.order_by(col(Schedule.id)).limit(limit))).scalars().all()


async def find_known(session: AsyncSession, schedule_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of some ids that there are schedules of, whosever they are."""
    query = select(col(Schedule.id)).where(col(Schedule.id).in_(schedule_ids))
    return set((await session.execute(query)).scalars())


async def note_pause(
    session: AsyncSession, owner: str, schedule_id: uuid.UUID, *, revision: int, is_paused: bool, note: str
) -> None:
    """Note that Temporal has paused a schedule by itself, or goes on with it, unless it was changed meanwhile."""
    await session.execute(
        update(Schedule)
        .where(
            col(Schedule.id) == schedule_id,
            col(Schedule.user_id) == owner,
            col(Schedule.revision) == revision,
        )
        .values(is_paused=is_paused, note=note)
        .execution_options(synchronize_session=False)
    )


async def note_remaining(
    session: AsyncSession, owner: str, schedule_id: uuid.UUID, *, revision: int, remaining: int
) -> None:
    """Note how many fires Temporal has left, unless a schedule was changed meanwhile.

    Temporal forgets a schedule that has none left. One that is made of the record again must not fire anew.
    """
    await session.execute(
        update(Schedule)
        .where(
            col(Schedule.id) == schedule_id,
            col(Schedule.user_id) == owner,
            col(Schedule.revision) == revision,
            col(Schedule.remaining_actions) > remaining,
        )
        .values(remaining_actions=remaining)
        .execution_options(synchronize_session=False)
    )


def _size(schedule: Schedule) -> int:
    return len(str(schedule.inputs))
