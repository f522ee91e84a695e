"""What has come in through webhooks: each delivery once, by the name that its sender has for it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.models.page import Page, make_page, read_cursor
from app.models.tables.webhooks import WebhookDelivery

KEPT = timedelta(days=30)
"""How long a delivery is listed. The execution that it has started is found by its name for ever."""
MOST_CHARACTERS = 500
"""Of the message of a refusal."""


async def note_delivery(
    session: AsyncSession,
    owner: str,
    webhook_id: uuid.UUID,
    delivery_id: str,
    *,
    event: str,
    outcome: str = "",
) -> None:
    """Write down that a delivery has come, or has come again. Forget those that are too old by now."""
    await session.execute(
        delete(WebhookDelivery)
        .where(
            col(WebhookDelivery.webhook_id) == webhook_id,
            col(WebhookDelivery.user_id) == owner,
            col(WebhookDelivery.received_at) < func.now() - KEPT,
        )
        .execution_options(synchronize_session=False)
    )
    row = {"webhook_id": webhook_id, "delivery_id": delivery_id, "user_id": owner, "event": event}
    await session.execute(
        insert(WebhookDelivery)
        .values(**row, times=1, outcome=outcome)
        .on_conflict_do_update(
            index_elements=[col(WebhookDelivery.webhook_id), col(WebhookDelivery.delivery_id)],
            set_={"times": col(WebhookDelivery.times) + 1, "last_at": func.now()},
        )
    )


async def write_outcome(
    session: AsyncSession,
    owner: str,
    webhook_id: uuid.UUID,
    delivery_id: str,
    *,
    outcome: str,
    message: str = "",
    execution_id: uuid.UUID | None = None,
) -> None:
    """Write down what came of a delivery. That it has started something is not taken back."""
    await session.execute(
        update(WebhookDelivery)
        .where(
            col(WebhookDelivery.webhook_id) == webhook_id,
            col(WebhookDelivery.user_id) == owner,
            col(WebhookDelivery.delivery_id) == delivery_id,
            col(WebhookDelivery.execution_id).is_(None),
        )
        .values(outcome=outcome, message=message[:MOST_CHARACTERS], execution_id=execution_id)
        .execution_options(synchronize_session=False)
    )


async def list_deliveries(
    session: AsyncSession, owner: str, webhook_id: uuid.UUID, *, cursor: str | None, limit: int
) -> Page[WebhookDelivery]:
    """Return what has come in through an owner's webhook, newest first."""
    query = select(WebhookDelivery).where(
        col(WebhookDelivery.webhook_id) == webhook_id, col(WebhookDelivery.user_id) == owner
    )
    key = tuple_(col(WebhookDelivery.received_at), col(WebhookDelivery.delivery_id))
    if cursor:
        query = query.where(key < tuple_(*read_cursor(cursor, _key)))
    query = query.order_by(col(WebhookDelivery.received_at).desc(), col(WebhookDelivery.delivery_id).desc())
    rows = (await session.execute(query.limit(limit + 1))).scalars().all()
    return make_page(rows, limit, lambda row: (row.received_at.isoformat(), row.delivery_id))


def _key(received_at: str, delivery_id: str) -> tuple[datetime, str]:
    # A cursor that nobody here has made may hold anything, also what no column takes.
    if not (delivery_id.isascii() and delivery_id.isprintable()):
        raise ValueError
    return datetime.fromisoformat(received_at).astimezone(UTC), delivery_id
