"""Credentials as the API reads and writes them. Their secrets come and go sealed."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.encryption.credentials import Sealed
from app.errors import Conflict, NotFound
from app.models.newest import list_newest
from app.models.page import Page
from app.models.tables.credentials import StoredCredentials, UsedLogin

MOST_CREDENTIALS = 500
"""How many a user may have."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret with what it is bound to."""

    id: uuid.UUID
    owner: str
    sealed: Sealed


async def insert_credentials(session: AsyncSession, credentials: StoredCredentials) -> None:
    """Keep credentials.

    Raises:
        Conflict: The owner has too many.
    """
    owner = col(StoredCredentials.user_id) == credentials.user_id
    # Held until the transaction ends, so that two calls at once cannot both take the last place.
    await session.execute(
        select(func.pg_advisory_xact_lock(func.hashtext(f"credentials {credentials.user_id}")))
    )
    count = (
        await session.execute(select(func.count()).select_from(StoredCredentials).where(owner))
    ).scalar_one()
    if count >= MOST_CREDENTIALS:
        raise Conflict(f"You have {count} credentials, and can have no more; delete some first")
    session.add(credentials)


async def require_credentials(
    session: AsyncSession, owner: str, credentials_id: uuid.UUID, *, is_locked: bool = False
) -> StoredCredentials:
    """Return an owner's credentials.

    Args:
        session: Where to read.
        owner: Whose.
        credentials_id: Which.
        is_locked: Whether to lock the row until the transaction ends.

    Raises:
        NotFound: The owner has none of this id.
    """
    query = select(StoredCredentials).where(
        col(StoredCredentials.id) == credentials_id, col(StoredCredentials.user_id) == owner
    )
    found = (await session.execute(query.with_for_update() if is_locked else query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def list_credentials(
    session: AsyncSession,
    owner: str,
    *,
    provider: str | None = None,
    cursor: str | None = None,
    limit: int,
) -> Page[StoredCredentials]:
    """Return an owner's credentials, newest first."""
    query = select(StoredCredentials).where(col(StoredCredentials.user_id) == owner)
    if provider is not None:
        query = query.where(col(StoredCredentials.provider) == provider)
    return await list_newest(session, query, StoredCredentials, cursor=cursor, limit=limit)


async def find_credentials(
    session: AsyncSession, owner: str, ids: Collection[uuid.UUID]
) -> Sequence[StoredCredentials]:
    """Return those of the ids that are credentials of an owner."""
    if not ids:
        return []
    query = select(StoredCredentials).where(
        col(StoredCredentials.id).in_(ids), col(StoredCredentials.user_id) == owner
    )
    return (await session.execute(query)).scalars().all()


async def delete_credentials(session: AsyncSession, owner: str, credentials_id: uuid.UUID) -> None:
    """Delete an owner's credentials, secret and all.

    Raises:
        NotFound: The owner has none of this id.
    """
    statement = (
        delete(StoredCredentials)
        .where(col(StoredCredentials.id) == credentials_id, col(StoredCredentials.user_id) == owner)
        .returning(col(StoredCredentials.id))
        .execution_options(synchronize_session=False)
    )
    if (await session.execute(statement)).first() is None:
        raise NotFound


async def list_outdated(
    session: AsyncSession, newest_key_id: str, *, after: uuid.UUID | None, limit: int
) -> list[SealedSecret]:
    """Return secrets of all owners that are sealed under another key than the newest, in the order of their ids."""
    query = select(StoredCredentials).where(col(StoredCredentials.key_id) != newest_key_id)
    if after is not None:
        query = query.where(col(StoredCredentials.id) > after)
    rows = (await session.execute(query.order_by(col(StoredCredentials.id)).limit(limit))).scalars()
    return [SealedSecret(row.id, row.user_id, Sealed(row.key_id, row.secret)) for row in rows]


async def replace_sealed(session: AsyncSession, old: SealedSecret, sealed: Sealed) -> None:
    """Keep a secret under another key, unless it has become another secret meanwhile."""
    await session.execute(
        update(StoredCredentials)
        .where(
            col(StoredCredentials.id) == old.id,
            col(StoredCredentials.user_id) == old.owner,
            col(StoredCredentials.secret) == old.sealed.content,
        )
        .values(secret=sealed.content, key_id=sealed.key_id)
        .execution_options(synchronize_session=False)
    )


async def use_login(session: AsyncSession, login_id: uuid.UUID, *, expires_at: datetime) -> bool:
    """Note that a login has come back; answer whether it is the first time. Forget those that are too old by now."""
    await session.execute(
        delete(UsedLogin)
        .where(col(UsedLogin.expires_at) < func.now())
        .execution_options(synchronize_session=False)
    )
    given = insert(UsedLogin).values(id=login_id, expires_at=expires_at).on_conflict_do_nothing()
    return (await session.execute(given.returning(col(UsedLogin.id)))).first() is not None
