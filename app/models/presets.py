"""Presets: inputs and credentials of graphs under names."""

from __future__ import annotations

import uuid

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import Conflict, NotFound
from app.models import values
from app.models.newest import list_newest
from app.models.page import Page
from app.models.tables.presets import Preset
from app.models.tables.schedules import Schedule

MOST_PRESETS = 1_000
"""How many a user may have."""


async def insert_preset(session: AsyncSession, preset: Preset) -> None:
    """Keep a preset. The caller holds the lock of its graph.

    Raises:
        Conflict: The owner has too many.
    """
    # Held until the transaction ends, so that two calls at once cannot both take the last place.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"presets {preset.user_id}"))))
    query = select(func.count()).select_from(Preset).where(col(Preset.user_id) == preset.user_id)
    count = (await session.execute(query)).scalar_one()
    if count >= MOST_PRESETS:
        raise Conflict(f"You have {count} presets, and can have no more; delete some first")
    session.add(preset)
    await values.add_uses(session, preset.id, preset.user_id, [preset.inputs])


async def require_preset(
    session: AsyncSession, owner: str, preset_id: uuid.UUID, *, is_locked: bool = False
) -> Preset:
    """Return an owner's preset.

    Args:
        session: Where to read.
        owner: Whose.
        preset_id: Which.
        is_locked: Whether to lock the row until the transaction ends.

    Raises:
        NotFound: The owner has none of this id.
    """
    query = select(Preset).where(col(Preset.id) == preset_id, col(Preset.user_id) == owner)
    preset = (await session.execute(query.with_for_update() if is_locked else query)).scalar_one_or_none()
    if preset is None:
        raise NotFound("There is no preset of that id")
    return preset


async def find_preset_of(
    session: AsyncSession, owner: str, preset_id: uuid.UUID | None, graph_id: uuid.UUID
) -> Preset | None:
    """Return an owner's preset of a graph; None when none is named.

    Raises:
        NotFound: The owner has none of this id, or it is of another graph.
    """
    if preset_id is None:
        return None
    preset = await require_preset(session, owner, preset_id)
    if preset.graph_id != graph_id:
        raise NotFound("There is no preset of that id")
    return preset


async def list_presets(
    session: AsyncSession, owner: str, *, graph_id: uuid.UUID | None, cursor: str | None, limit: int
) -> Page[Preset]:
    """Return an owner's presets, newest first; of one graph or of all. A page of large ones is shorter."""
    query = select(Preset).where(col(Preset.user_id) == owner)
    if graph_id is not None:
        query = query.where(col(Preset.graph_id) == graph_id)
    return await list_newest(
        session,
        query,
        Preset,
        cursor=cursor,
        limit=limit,
        size=lambda row: values.count_referenced_bytes([row.inputs]),
    )


async def replace_inputs(session: AsyncSession, preset: Preset, inputs: list[object]) -> None:
    """Give a preset other inputs, an envelope like those before. The caller holds its lock."""
    await values.delete_uses(session, preset.user_id, preset.id)
    await values.add_uses(session, preset.id, preset.user_id, [inputs])
    preset.inputs = inputs


async def delete_preset(session: AsyncSession, owner: str, preset_id: uuid.UUID) -> None:
    """Delete an owner's preset.

    Raises:
        NotFound: The owner has none of this id.
        Conflict: Something starts executions with it.
    """
    await require_preset(session, owner, preset_id, is_locked=True)
    of_schedules = select(col(Schedule.id)).where(
        col(Schedule.preset_id) == preset_id, col(Schedule.user_id) == owner
    )
    if (await session.execute(of_schedules.limit(1))).first() is not None:
        raise Conflict("A schedule starts executions with the preset")
    await values.delete_uses(session, owner, preset_id)
    try:
        await _delete(session, owner, preset_id)
    except IntegrityError as error:
        raise Conflict("A webhook or a publication starts executions with the preset") from error


async def delete_presets_of(session: AsyncSession, owner: str, graph_id: uuid.UUID) -> None:
    """Delete all presets of a graph. The caller holds its lock, and has deleted what uses them."""
    query = select(col(Preset.id)).where(col(Preset.user_id) == owner, col(Preset.graph_id) == graph_id)
    for preset_id in (await session.execute(query.order_by(col(Preset.id)))).scalars().all():
        await values.delete_uses(session, owner, preset_id)
        await _delete(session, owner, preset_id)


async def _delete(session: AsyncSession, owner: str, preset_id: uuid.UUID) -> None:
    await session.execute(
        delete(Preset)
        .where(col(Preset.id) == preset_id, col(Preset.user_id) == owner)
        .execution_options(synchronize_session=False)
    )
