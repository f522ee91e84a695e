"""Payments: what users buy, and what has become of it. Which credits follow from that is decided in the services."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import NotFound
from app.models.page import Page, dated_key, make_page, read_cursor
from app.models.payment_status import PaymentStatus
from app.models.tables.payments import Payment

OPEN = (PaymentStatus.PENDING, PaymentStatus.REFUNDING)


async def insert_payment(session: AsyncSession, payment: Payment) -> None:
    """Write a payment down, before anybody is asked for money."""
    await session.execute(insert(Payment).values(**payment.model_dump()))


async def list_payments(
    session: AsyncSession, owner: str, *, cursor: str | None = None, limit: int
) -> Page[Payment]:
    """Return an owner's payments, newest first."""
    conditions = [col(Payment.user_id) == owner]
    if cursor:
        before = read_cursor(cursor, dated_key)
        conditions.append(tuple_(col(Payment.created_at), col(Payment.id)) < before)
    query = (
        select(Payment)
        .where(*conditions)
        .order_by(col(Payment.created_at).desc(), col(Payment.id).desc())
        .limit(limit + 1)
    )
    rows = (await session.execute(query)).scalars().all()
    return make_page(rows, limit, lambda row: [row.created_at.isoformat(), row.id])


async def require_payment(
    session: AsyncSession, owner: str, payment_id: uuid.UUID, *, is_locked: bool = False
) -> Payment:
    """Return an owner's payment.

    Args:
        session: In a transaction, if the payment is to be locked.
        owner: Whose it is.
        payment_id: Of the payment.
        is_locked: Whether nobody else may change it until the transaction ends. Locked before the user's row.

    Raises:
        NotFound: The owner has no such payment.
    """
    query = select(Payment).where(col(Payment.user_id) == owner, col(Payment.id) == payment_id)
    found = (await session.execute(query.with_for_update() if is_locked else query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def update_payment(session: AsyncSession, owner: str, payment_id: uuid.UUID, **changes: Any) -> None:
    """Change columns of an owner's payment."""
    await session.execute(
        update(Payment)
        .where(col(Payment.user_id) == owner, col(Payment.id) == payment_id)
        .values(**changes)
        .execution_options(synchronize_session=False)
    )


async def has_asked_lately(session: AsyncSession, owner: str, *, within: timedelta, but: uuid.UUID) -> bool:
    """Return whether an owner has asked for a refund lately, of another payment than this one."""
    query = select(col(Payment.id)).where(
        col(Payment.user_id) == owner,
        col(Payment.id) != but,
        col(Payment.refund_asked_at) > func.now() - within,
    )
    return (await session.execute(query.limit(1))).first() is not None


async def find_owner(session: AsyncSession, payment_id: uuid.UUID) -> str | None:
    """Return whose payment one is: the service that takes the money knows no owners."""
    query = select(col(Payment.user_id)).where(col(Payment.id) == payment_id)
    return (await session.execute(query)).scalar_one_or_none()


async def find_of_charge(session: AsyncSession, provider: str, charge_ref: str) -> uuid.UUID | None:
    """Return the payment that some money was paid for, if it is known here."""
    query = select(col(Payment.id)).where(
        col(Payment.provider) == provider, col(Payment.charge_ref) == charge_ref
    )
    return (await session.execute(query.limit(1))).scalar_one_or_none()


async def take_unchecked(
    session: AsyncSession, provider: str, *, quiet: timedelta, limit: int
) -> Sequence[Payment]:
    """Return open payments of all users that are to be asked about, and note that they are.

    Each is asked about ever less often: when it is twice as long since it was begun as at the last look.

    Args:
        session: In a transaction. What others ask about at the same time is passed over.
        provider: Who is asked.
        quiet: How long each is left alone in any case.
        limit: The most that are returned.
    """
    since = func.coalesce(col(Payment.refund_asked_at), col(Payment.created_at))
    last = func.greatest(since, col(Payment.checked_at))
    due = (
        select(col(Payment.id))
        .where(
            col(Payment.status).in_(OPEN),
            col(Payment.provider) == provider,
            last < func.now() - quiet,
            last - since <= func.now() - last,
        )
        .order_by(col(Payment.created_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = await session.execute(
        update(Payment)
        .where(col(Payment.id).in_(due.scalar_subquery()))
        .values(checked_at=func.now())
        .returning(Payment)
        .execution_options(synchronize_session=False)
    )
    return taken.scalars().all()
