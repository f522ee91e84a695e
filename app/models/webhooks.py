"""Inbound webhooks: kept by their owners, found by whoever sends. Their secrets come and go sealed."""

from __future__ import annotations

import uuid

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.encryption.credentials import Sealed
from app.errors import Conflict, NotFound
from app.models.credentials import SealedSecret
from app.models.newest import list_newest
from app.models.page import Page
from app.models.tables.webhooks import Webhook

MOST_WEBHOOKS = 200
"""How many a user may have."""


async def insert_webhook(session: AsyncSession, webhook: Webhook) -> None:
    """Keep a webhook. The caller holds the locks of its graph and its preset.

    Raises:
        Conflict: The owner has too many.
    """
    # Held until the transaction ends, so that two calls at once cannot both take the last place.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"webhooks {webhook.user_id}"))))
    query = select(func.count()).select_from(Webhook).where(col(Webhook.user_id) == webhook.user_id)
    count = (await session.execute(query)).scalar_one()
    if count >= MOST_WEBHOOKS:
        raise Conflict(f"You have {count} webhooks, and can have no more; delete some first")
    session.add(webhook)
    await session.flush()


async def require_webhook(
    session: AsyncSession, owner: str, webhook_id: uuid.UUID, *, is_locked: bool = False
) -> Webhook:
    """Return an owner's webhook.

    Args:
        session: Where to read.
        owner: Whose.
        webhook_id: Which.
        is_locked: Whether to lock the row until the transaction ends.

    Raises:
        NotFound: The owner has none of this id.
    """
    query = select(Webhook).where(col(Webhook.id) == webhook_id, col(Webhook.user_id) == owner)
    webhook = (await session.execute(query.with_for_update() if is_locked else query)).scalar_one_or_none()
    if webhook is None:
        raise NotFound
    return webhook


async def find_webhook_of_anybody(session: AsyncSession, webhook_id: uuid.UUID) -> Webhook | None:
    """Return a webhook, whosever it is: whoever sends to it has no owner to name. None when there is none."""
    query = select(Webhook).where(col(Webhook.id) == webhook_id)
    return (await session.execute(query)).scalar_one_or_none()


async def list_webhooks(
    session: AsyncSession, owner: str, *, graph_id: uuid.UUID | None, cursor: str | None, limit: int
) -> Page[Webhook]:
    """Return an owner's webhooks, newest first; of one graph or of all."""
    query = select(Webhook).where(col(Webhook.user_id) == owner)
    if graph_id is not None:
        query = query.where(col(Webhook.graph_id) == graph_id)
    return await list_newest(session, query, Webhook, cursor=cursor, limit=limit)


async def delete_webhook(session: AsyncSession, owner: str, webhook_id: uuid.UUID) -> None:
    """Delete an owner's webhook, with what has come in through it.

    Raises:
        NotFound: The owner has none of this id.
    """
    gone = await session.execute(
        delete(Webhook)
        .where(col(Webhook.id) == webhook_id, col(Webhook.user_id) == owner)
        .returning(col(Webhook.id))
        .execution_options(synchronize_session=False)
    )
    if gone.first() is None:
        raise NotFound


async def delete_webhooks_of(session: AsyncSession, owner: str, graph_id: uuid.UUID) -> None:
    """Delete all webhooks of a graph. The caller holds its lock."""
    await session.execute(
        delete(Webhook)
        .where(col(Webhook.graph_id) == graph_id, col(Webhook.user_id) == owner)
        .execution_options(synchronize_session=False)
    )


async def list_outdated(
    session: AsyncSession, newest_key_id: str, *, after: uuid.UUID | None, limit: int
) -> list[SealedSecret]:
    """Return secrets of all owners that are sealed under another key than the newest, in the order of their ids."""
    query = select(Webhook).where(col(Webhook.key_id) != newest_key_id)
    if after is not None:
        query = query.where(col(Webhook.id) > after)
    rows = (await session.execute(query.order_by(col(Webhook.id)).limit(limit))).scalars()
    return [SealedSecret(row.id, row.user_id, Sealed(row.key_id, row.secret)) for row in rows]


async def replace_sealed(session: AsyncSession, old: SealedSecret, sealed: Sealed) -> None:
    """Keep a secret under another key, unless it has become another secret meanwhile."""
    await session.execute(
        update(Webhook)
        .where(
            col(Webhook.id) == old.id,
            col(Webhook.user_id) == old.owner,
            col(Webhook.secret) == old.sealed.content,
        )
        .values(secret=sealed.content, key_id=sealed.key_id)
        .execution_options(synchronize_session=False)
    )
