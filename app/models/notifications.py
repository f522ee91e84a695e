"""Notifications and their deliveries as the API reads and writes them. What is secret comes and goes sealed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.encryption.credentials import Sealed
from app.errors import Conflict, NotFound
from app.models.credentials import SealedSecret
from app.models.newest import list_newest
from app.models.notification_events import DeliveryStatus
from app.models.page import Page
from app.models.tables.notifications import Delivery, Notification

MOST_NOTIFICATIONS = 100
"""How many a user may have."""
MOST_REOPENED = 10_000
"""How many deliveries one call begins anew."""
LOG_BYTES = 1_000
"""About what an attempt in the log of a delivery takes."""


async def insert_notification(session: AsyncSession, notification: Notification) -> None:
    """Keep a notification.

    Raises:
        Conflict: The owner has too many.
    """
    owner = notification.user_id
    # Held until the transaction ends, so that two calls at once cannot both take the last place.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"notifications {owner}"))))
    query = select(func.count()).select_from(Notification).where(col(Notification.user_id) == owner)
    count = (await session.execute(query)).scalar_one()
    if count >= MOST_NOTIFICATIONS:
        raise Conflict(f"You have {count} notifications, and can have no more; delete some first")
    session.add(notification)


async def require_notification(
    session: AsyncSession, owner: str, notification_id: uuid.UUID, *, is_locked: bool = False
) -> Notification:
    """Return an owner's notification.

    Args:
        session: Where to read.
        owner: Whose.
        notification_id: Which.
        is_locked: Whether to lock the row until the transaction ends.

    Raises:
        NotFound: The owner has none of this id.
    """
    query = select(Notification).where(
        col(Notification.id) == notification_id, col(Notification.user_id) == owner
    )
    # No key changes, so executions that end meanwhile write their deliveries down without waiting.
    locking = query.with_for_update(key_share=True)
    found = (await session.execute(locking if is_locked else query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def list_notifications(
    session: AsyncSession, owner: str, *, cursor: str | None, limit: int
) -> Page[Notification]:
    """Return an owner's notifications, newest first."""
    query = select(Notification).where(col(Notification.user_id) == owner)
    return await list_newest(session, query, Notification, cursor=cursor, limit=limit)


async def delete_notification(session: AsyncSession, owner: str, notification_id: uuid.UUID) -> None:
    """Delete a notification with its deliveries.

    Raises:
        NotFound: The owner has none of this id.
    """
    statement = (
        delete(Notification)
        .where(col(Notification.id) == notification_id, col(Notification.user_id) == owner)
        .returning(col(Notification.id))
        .execution_options(synchronize_session=False)
    )
    if (await session.execute(statement)).first() is None:
        raise NotFound


async def delete_notifications_of(session: AsyncSession, owner: str, graph_id: uuid.UUID) -> None:
    """Delete the notifications that are for one graph alone, with their deliveries."""
    await session.execute(
        delete(Notification)
        .where(col(Notification.graph_id) == graph_id, col(Notification.user_id) == owner)
        .execution_options(synchronize_session=False)
    )


# -- deliveries


async def list_deliveries(
    session: AsyncSession,
    owner: str,
    notification_id: uuid.UUID,
    *,
    status: DeliveryStatus | None,
    cursor: str | None,
    limit: int,
) -> Page[Delivery]:
    """Return the deliveries of an owner's notification, newest first."""
    query = select(Delivery).where(
        col(Delivery.notification_id) == notification_id, col(Delivery.user_id) == owner
    )
    if status is not None:
        query = query.where(col(Delivery.status) == status)
    return await list_newest(
        session, query, Delivery, cursor=cursor, limit=limit, size=lambda row: LOG_BYTES * len(row.log)
    )


async def reopen_delivery(session: AsyncSession, owner: str, delivery_id: uuid.UUID) -> Delivery:
    """Have a delivery that has ended begin anew.

    Raises:
        NotFound: The owner has none of this id.
        Conflict: It has not ended.
    """
    query = select(Delivery).where(col(Delivery.id) == delivery_id, col(Delivery.user_id) == owner)
    delivery = (await session.execute(query.with_for_update())).scalar_one_or_none()
    if delivery is None:
        raise NotFound
    if delivery.status == DeliveryStatus.PENDING:
        raise Conflict("The delivery is under way")
    delivery.status, delivery.ended_at = DeliveryStatus.PENDING, None
    delivery.next_at = datetime.now(UTC)
    return delivery


async def reopen_failed(session: AsyncSession, owner: str, notification_id: uuid.UUID) -> Sequence[uuid.UUID]:
    """Have the deliveries of an owner's notification begin anew that were given up, the oldest first; return which."""
    failed = (
        select(col(Delivery.id))
        .where(
            col(Delivery.notification_id) == notification_id,
            col(Delivery.user_id) == owner,
            col(Delivery.status) == DeliveryStatus.FAILED,
        )
        .order_by(col(Delivery.created_at), col(Delivery.id))
        .limit(MOST_REOPENED)
        .with_for_update(key_share=True, skip_locked=True)
    )
    statement = (
        update(Delivery)
        .where(col(Delivery.id).in_(failed), col(Delivery.user_id) == owner)
        .values(status=DeliveryStatus.PENDING, ended_at=None, next_at=func.now())
        .returning(col(Delivery.id))
        .execution_options(synchronize_session=False)
    )
    return (await session.execute(statement)).scalars().all()


# -- under another key


async def list_outdated(
    session: AsyncSession, newest_key_id: str, *, after: uuid.UUID | None, limit: int
) -> list[SealedSecret]:
    """Return secrets of all owners that are sealed under another key than the newest, in the order of their ids."""
    query = select(Notification).where(
        col(Notification.key_id) != newest_key_id, col(Notification.secret).is_not(None)
    )
    if after is not None:
        query = query.where(col(Notification.id) > after)
    rows = (await session.execute(query.order_by(col(Notification.id)).limit(limit))).scalars()
    return [SealedSecret(row.id, row.user_id, Sealed(row.key_id, row.secret or b"")) for row in rows]


async def replace_sealed(session: AsyncSession, old: SealedSecret, sealed: Sealed) -> None:
    """Keep a secret under another key, unless it has become another secret meanwhile."""
    await session.execute(
        update(Notification)
        .where(
            col(Notification.id) == old.id,
            col(Notification.user_id) == old.owner,
            col(Notification.secret) == old.sealed.content,
        )
        .values(secret=sealed.content, key_id=sealed.key_id)
        .execution_options(synchronize_session=False)
    )
