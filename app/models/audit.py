"""The audit log: entries are added and read, and a trigger refuses everything else."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.models.page import Page, make_page, read_cursor
from app.models.tables.audit import AuditEntry

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What is to stand in the audit log. The columns of the table say what each field is."""

    user_id: str
    actor_id: str
    action: str
    api_key_id: uuid.UUID | None = None
    object_id: str = ""
    outcome: str = ""
    address: str = ""
    request_id: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries a list is to hold; what is None leaves them all in."""

    user_id: str | None = None
    actor_id: str | None = None
    action: str | None = None
    object_id: str | None = None
    outcome: str | None = None
    """Empty for what was done."""
    since: datetime | None = None
    until: datetime | None = None


async def insert_entry(session: AsyncSession, entry: NewEntry) -> None:
    """Add an entry."""
    await session.execute(insert(AuditEntry).values(**asdict(entry)))


async def list_entries(
    session: AsyncSession, wanted: AuditFilter, *, cursor: str | None, limit: int
) -> Page[AuditEntry]:
    """Return entries, newest first. For anybody but an admin the filter has to name the user."""
    query = select(AuditEntry)
    for name in ("user_id", "actor_id", "action", "object_id", "outcome"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(getattr(AuditEntry, name) == value)
    if wanted.since is not None:
        query = query.where(col(AuditEntry.at) >= wanted.since)
    if wanted.until is not None:
        query = query.where(col(AuditEntry.at) < wanted.until)
    if cursor:
        query = query.where(col(AuditEntry.id) < read_cursor(cursor, _entry_key))
    query = query.order_by(col(AuditEntry.id).desc()).limit(limit + 1)
    rows = (await session.execute(query)).scalars().all()
    return make_page(rows, limit, lambda row: (row.id,))


def _entry_key(number: int) -> int:
    return max(0, min(int(number), _MOST))
