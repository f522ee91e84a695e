"""The ledger outside the hot path: what is granted, bought, corrected and given back. What calls cost is in `spending`.

Every entry has a key, so that a repeat finds what was entered before. Balance and ledger change together, under the
lock of the user's row, which is the last lock that anybody takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import InsufficientCredits, NotFound
from app.models.entry_kinds import EntryKind
from app.models.tables.credits import CreditEntry
from app.models.tables.users import User


class Entered(NamedTuple):
    """What stands in the ledger under a key."""

    amount: int
    """Credits that the balance gained; negative when it lost."""
    balance: int
    """Credits after it."""
    is_new: bool
    """Whether it was entered now; otherwise it stood there already, whatever was asked for this time."""
    details: Mapping[str, Any]


async def enter(
    session: AsyncSession,
    user_id: str,
    *,
    key: str,
    kind: EntryKind,
    amount: int,
    details: Mapping[str, Any] | None = None,
    goes_as_far_as_it_can: bool = False,
) -> Entered:
    """Change a user's balance within a transaction, once for each key.

    Args:
        session: In a transaction. The user's row is locked to its end; no other row is to be locked after it.
        user_id: Whose balance.
        key: What it is for.
        kind: Why.
        amount: Credits that the balance is to gain; negative to lose.
        details: What else is to be known of it.
        goes_as_far_as_it_can: Take what there is when the balance does not cover the loss, and note the rest as
            `uncovered` in the details, instead of refusing.

    Raises:
        NotFound: There is no such user.
        InsufficientCredits: The balance does not cover the loss.
    """
    balance = (
        await session.execute(select(col(User.credits)).where(col(User.id) == user_id).with_for_update())
    ).scalar_one_or_none()
    if balance is None:
        raise NotFound
    # Looked up under the lock: nobody else can be about to enter it.
    earlier = await find_entry(session, user_id, key)
    if earlier is not None:
        return earlier
    noted = dict(details or {})
    if balance + amount < 0:
        if not goes_as_far_as_it_can:
            raise InsufficientCredits(details={"required_credits": -amount, "available_credits": balance})
        noted["uncovered"] = -(balance + amount)
        amount = -balance
    balance += amount
    await session.execute(update(User).where(col(User.id) == user_id).values(credits=balance))
    await session.execute(
        insert(CreditEntry).values(
            user_id=user_id, key=key, kind=kind, amount=amount, balance=balance, details=noted
        )
    )
    return Entered(amount, balance, is_new=True, details=noted)


async def find_entry(session: AsyncSession, user_id: str, key: str) -> Entered | None:
    """Return what stands in a user's ledger under a key."""
    found = await session.execute(
        select(col(CreditEntry.amount), col(CreditEntry.balance), col(CreditEntry.details)).where(
            col(CreditEntry.user_id) == user_id, col(CreditEntry.key) == key
        )
    )
    row = found.one_or_none()
    return None if row is None else Entered(row.amount, row.balance, is_new=False, details=row.details)
