"""Presets: inputs and credentials of graphs under names."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import NotFound
from app.models.tables.presets import Preset


async def require_preset(session: AsyncSession, owner: str, preset_id: uuid.UUID) -> Preset:
    """Return an owner's preset.

    Raises:
        NotFound: The owner has none of this id.
    """
    query = select(Preset).where(col(Preset.id) == preset_id, col(Preset.user_id) == owner)
    preset = (await session.execute(query)).scalar_one_or_none()
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
