"""API keys: found by their prefix when they are used, listed and changed by their owners. A revoked one is gone."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import Conflict, NotFound
from app.models.newest import list_newest
from app.models.page import Page
from app.models.tables.api_keys import ApiKey
from app.models.tables.users import User

MOST_KEYS = 200
"""How many a user may have that are not revoked."""
USE_RESOLUTION = timedelta(minutes=1)
"""`last_used_at` is written at most this often."""


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """A key with its user, as they are at this moment."""

    id: uuid.UUID
    user_id: str
    key_hash: bytes
    scopes: Sequence[str]
    addresses: Sequence[str]
    email: str
    role: str
    is_suspended: bool
    """Whether the user is."""
    is_valid: bool
    """Whether the key is neither revoked, nor suspended, nor expired."""
    is_use_noted: bool
    """Whether it was written down a moment ago that it is used."""


async def find_holder(session: AsyncSession, prefix: str) -> KeyHolder | None:
    """Return the key of a prefix, whoever's it is, and whatever its state."""
    return await _find_holder(session, col(ApiKey.prefix) == prefix)


async def find_holder_of(session: AsyncSession, key_id: uuid.UUID) -> KeyHolder | None:
    """Return the key of an id, whoever's it is, and whatever its state."""
    return await _find_holder(session, col(ApiKey.id) == key_id)


async def _find_holder(session: AsyncSession, is_it: ColumnElement[bool]) -> KeyHolder | None:
    is_valid = and_(
        col(ApiKey.revoked_at).is_(None),
        col(ApiKey.suspended_at).is_(None),
        or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > func.now()),
    )
    columns = (
        col(ApiKey.id),
        col(ApiKey.user_id),
        col(ApiKey.key_hash),
        col(ApiKey.scopes),
        col(ApiKey.addresses),
        col(User.email),
        col(User.role),
        col(User.suspended_at).is_not(None),
        is_valid,
        _is_use_noted(),
    )
    # One row in any case, so that what is nobody's key takes as long to find out as a key with a wrong secret.
    always = select(literal(1).label("always")).subquery()
    keys = always.outerjoin(ApiKey, is_it).outerjoin(User, col(User.id) == col(ApiKey.user_id))
    found = (await session.execute(select(*columns).select_from(keys))).one()
    return None if found.id is None or found.role is None else KeyHolder(*found)


async def note_use(session: AsyncSession, key_id: uuid.UUID) -> None:
    """Write down that a key is used, unless that was done a moment ago."""
    await session.execute(
        update(ApiKey)
        .where(col(ApiKey.id) == key_id, _is_use_noted().is_(False))
        .values(last_used_at=func.now())
        .execution_options(synchronize_session=False)
    )


async def lock_keys(session: AsyncSession, owner: str) -> None:
    """Let nobody else change keys of an owner until the transaction ends: what one may give depends on others."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"api keys {owner}"))))


async def insert_key(session: AsyncSession, key: ApiKey) -> None:
    """Keep a key; the keys of its owner are locked.

    Raises:
        Conflict: The owner has too many.
    """
    owned = select(func.count()).select_from(ApiKey).where(*_is_of(key.user_id))
    count = (await session.execute(owned)).scalar_one()
    if count >= MOST_KEYS:
        raise Conflict(f"You have {count} API keys, and can have no more; revoke some first")
    session.add(key)


async def require_key(session: AsyncSession, owner: str, key_id: uuid.UUID) -> ApiKey:
    """Return an owner's key.

    Raises:
        NotFound: The owner has none of this id.
    """
    query = select(ApiKey).where(col(ApiKey.id) == key_id, *_is_of(owner))
    found = (await session.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def list_keys(session: AsyncSession, owner: str, *, cursor: str | None, limit: int) -> Page[ApiKey]:
    """Return an owner's keys, newest first."""
    query = select(ApiKey).where(*_is_of(owner))
    return await list_newest(session, query, ApiKey, cursor=cursor, limit=limit)


def _is_of(owner: str) -> tuple[ColumnElement[bool], ...]:
    return col(ApiKey.user_id) == owner, col(ApiKey.revoked_at).is_(None)


def _is_use_noted() -> ColumnElement[bool]:
    return func.coalesce(col(ApiKey.last_used_at) > func.now() - USE_RESOLUTION, False)
