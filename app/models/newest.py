"""Lists of rows with a moment and an id, newest first."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.models.page import Page, dated_key, make_page, no_size, read_cursor


class Dated(Protocol):
    """A row that such a list holds."""

    id: uuid.UUID
    created_at: datetime


DatedT = TypeVar("DatedT", bound=Dated)


async def list_newest(
    session: AsyncSession,
    query: Select[DatedT],
    table: type[DatedT],
    *,
    cursor: str | None,
    limit: int,
    size: Callable[[DatedT], int] = no_size,
) -> Page[DatedT]:
    """Return one page of what a query finds, newest first.

    Args:
        session: Where to read.
        query: Whose rows of the table, and which.
        table: Of the rows.
        cursor: Where the page begins; None for the first one.
        limit: The most rows that it holds.
        size: The bytes that a row brings along.

    Raises:
        InvalidRequest: The cursor is not one of such a list.
    """
    created_at, row_id = col(table.created_at), col(table.id)
    if cursor:
        query = query.where(tuple_(created_at, row_id) < tuple_(*read_cursor(cursor, dated_key)))
    query = query.order_by(created_at.desc(), row_id.desc()).limit(limit + 1)
    rows = (await session.execute(query)).scalars().all()
    return make_page(rows, limit, lambda row: (row.created_at.isoformat(), row.id), size=size)
