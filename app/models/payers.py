"""How users pay, and for whom credits are to be bought by themselves."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.models.tables.payments import Payer

# Who has fewer credits than they want, and for which execution: that of their last entry, or one that waits for
# credits. The ledger itself is what is looked at, so nothing is forgotten when a process dies.
_WANTING = """
SELECT payers.user_id, payers.customer_ref, payers.credits, wanting.execution_id
FROM payers JOIN users ON users.id = payers.user_id
CROSS JOIN LATERAL (
    SELECT coalesce(executions.root_id, found.execution_id) AS execution_id FROM (
        (SELECT execution_id, 1 AS rank FROM credit_entries entries
         WHERE entries.user_id = payers.user_id AND entries.execution_id IS NOT NULL
             AND entries.at >= payers.changed_at
         ORDER BY entries.id DESC LIMIT 1)
        UNION ALL
        SELECT id, 2 FROM executions waiting
        WHERE waiting.user_id = payers.user_id AND waiting.status = 'PAUSED'
            AND waiting.paused_for = 'INSUFFICIENT_CREDITS'
    ) found LEFT JOIN executions ON executions.id = found.execution_id
    WHERE NOT EXISTS (
        SELECT FROM payments WHERE payments.user_id = payers.user_id
            AND payments.execution_id = coalesce(executions.root_id, found.execution_id)
    )
    ORDER BY rank LIMIT 1
) wanting
WHERE payers.credits > 0 AND payers.customer_ref <> '' AND users.credits < payers.threshold
    AND users.suspended_at IS NULL AND (CAST(:owner AS text) IS NULL OR payers.user_id = :owner)
    AND NOT EXISTS (
        SELECT FROM payments WHERE payments.user_id = payers.user_id AND payments.is_automatic
            AND (payments.status = 'pending'
                OR payments.status = 'failed' AND payments.created_at > now() - CAST(:rest AS interval))
    )
    AND :tries > (
        SELECT count(*) FROM payments WHERE payments.user_id = payers.user_id AND payments.is_automatic
            AND payments.status = 'failed' AND payments.created_at > payers.changed_at
            AND NOT EXISTS (
                SELECT FROM payments later WHERE later.user_id = payers.user_id
                    AND later.paid_at > payments.created_at
            )
    )
LIMIT :most
"""


class Wanting(NamedTuple):
    """A user for whom credits are to be bought."""

    user_id: str
    customer_ref: str
    credits: int
    execution_id: uuid.UUID
    """The outermost execution that they are bought for, once."""


async def find_payer(session: AsyncSession, owner: str, *, is_locked: bool = False) -> Payer | None:
    """Return how a user pays, if that is known."""
    query = select(Payer).where(col(Payer.user_id) == owner)
    return (await session.execute(query.with_for_update() if is_locked else query)).scalar_one_or_none()


async def put_customer(session: AsyncSession, owner: str, customer_ref: str) -> None:
    """Note what the provider calls a user who keeps a way to pay there."""
    given = insert(Payer).values(user_id=owner, customer_ref=customer_ref)
    await session.execute(
        given.on_conflict_do_update(
            index_elements=[col(Payer.user_id)],
            set_={"customer_ref": customer_ref},
            where=col(Payer.customer_ref) != customer_ref,
        )
    )


async def put_auto_top_up(session: AsyncSession, owner: str, *, threshold: int, amount: int) -> None:
    """Note when credits are to be bought for a user, and how many; 0 for none."""
    wish = {"threshold": threshold, "credits": amount, "changed_at": func.now()}
    await session.execute(
        insert(Payer)
        .values(user_id=owner, customer_ref="", **wish)
        .on_conflict_do_update(index_elements=[col(Payer.user_id)], set_=wish)
    )


async def list_wanting(
    session: AsyncSession, *, owner: str | None = None, rest: timedelta, tries: int, most: int = 50
) -> Sequence[Wanting]:
    """Return for whom credits are to be bought now.

    Args:
        session: To read with.
        owner: Only this user.
        rest: For how long nobody is charged whose charge has failed.
        tries: After how many failures nobody is charged before they have paid something or set their wish anew.
        most: The most that are returned.
    """
    found = await session.execute(
        text(_WANTING), {"owner": owner, "rest": rest, "tries": tries, "most": most}
    )
    return [Wanting(*row) for row in found]
