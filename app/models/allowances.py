"""What may be spent now: the locks under which that is certain, and the limits that are looked at under them.

Locks are taken in one order: the execution, the outermost execution that it is nested in, its owner. Plain asyncpg.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import asyncpg

from app.errors import BudgetExceeded, InsufficientCredits, NotFound, PerdureError, SpendingLimitReached

# No key changes, so whoever only refers to the user need not wait. The day never goes back: a transaction that began
# before midnight may get the lock after one that began later.
_LOCK_USER = """
SELECT credits, reserved, preferences ->> 'low_balance' AS low_balance,
    least(daily_budget, daily_limit)
        - CASE WHEN spent_on >= (now() AT TIME ZONE 'UTC')::date THEN spent_today ELSE 0 END AS day_left,
    least(total_budget, total_limit) - spent AS total_left,
    greatest(spent_on, (now() AT TIME ZONE 'UTC')::date) AS day
FROM users WHERE id = {user} FOR NO KEY UPDATE
"""
_HOLD_USER = _LOCK_USER.format(user="$1")
# Each lock is taken for what the one before has given, so their order is certain, and what a lock was waited for is
# read as it is now. The ledger is read as it was when the statement began.
_HOLD = f"""
WITH execution AS MATERIALIZED (
    SELECT id, status, root_id FROM executions
    WHERE id = $1 AND user_id = $2 AND ($3::text IS NULL OR EXISTS (
        SELECT FROM credit_entries WHERE user_id = $2 AND key = 'reserve:' || $3
    )) FOR UPDATE
), outermost AS MATERIALIZED (
    SELECT id, user_id, budget - committed AS budget_left FROM executions
    WHERE id = (SELECT coalesce(root_id, id) FROM execution) AND user_id = $2 FOR UPDATE
), owner AS MATERIALIZED ({_LOCK_USER.format(user="(SELECT user_id FROM outermost)")})
SELECT execution.status, outermost.id::text AS root_id, outermost.budget_left, owner.*, (
    SELECT json_object_agg(key, json_build_object('amount', amount, 'details', details)) FROM credit_entries
    WHERE user_id = $2 AND key IN ('reserve:' || $3, 'close:' || $3)
) AS entered
FROM execution LEFT JOIN outermost ON true LEFT JOIN owner ON true
"""  # noqa: S608 - all of it is ours
_NOTE_REQUIRED = "UPDATE executions SET required = $2 WHERE id = $1"
_MOST = 2**63 - 1
LOW_BALANCE = 100
"""Credits below which a user is told that they run low, unless they say otherwise."""


Entries: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Amount and details of entries, by key."""


class Allowance(NamedTuple):
    """What the locks are held on, and what may be spent while they are."""

    owner: str
    day: date
    """In UTC."""
    day_left: int | None
    total_left: int | None
    credits: int
    reserved: int
    """Credits that are reserved for all calls of the owner's now."""
    low_balance: int
    """Credits below which the owner is told that they run low; 0 for never."""
    execution_id: str | None = None
    """None for a call outside executions, as `root_id`."""
    status: str = ""
    """Of the execution."""
    root_id: str | None = None
    budget_left: int | None = None
    entered: Entries = MappingProxyType({})
    """What is entered of the spend that was asked for."""

    @property
    def most(self) -> int:
        """Return how many credits may be spent now."""
        limits = [self.credits, self.budget_left, self.day_left, self.total_left]
        return max(0, min(limit for limit in limits if limit is not None))


async def hold(
    connection: asyncpg.Connection[Any], execution_id: str, owner: str, *, reserved_for: str | None = None
) -> Allowance | None:
    """Take all locks within a transaction.

    Args:
        connection: In a transaction.
        execution_id: Of the execution.
        owner: Whose it is.
        reserved_for: Name of a spend. Without a reservation for it nothing is locked. Whoever asks has the lock on
            the execution already, or may miss what is entered at this moment.

    Returns:
        What may be spent; None without the reservation.

    Raises:
        NotFound: The owner has no such execution, or the outermost execution is not the owner's.
        InsufficientCredits: The owner is not written down.
    """
    row = await connection.fetchrow(_HOLD, execution_id, owner, reserved_for)
    if row is None and reserved_for is not None:
        return None
    if row is None or row["root_id"] is None:
        raise NotFound
    return _allowance_of(row, owner)._replace(
        execution_id=execution_id,
        status=row["status"],
        root_id=row["root_id"],
        budget_left=row["budget_left"],
        entered=row["entered"] or {},
    )


async def hold_user(connection: asyncpg.Connection[Any], owner: str) -> Allowance:
    """Take the last of the locks alone, for a call outside executions.

    Raises:
        InsufficientCredits: The owner is not written down.
    """
    return _allowance_of(await connection.fetchrow(_HOLD_USER, owner), owner)


def _allowance_of(row: asyncpg.Record | None, owner: str) -> Allowance:
    if row is None or row["credits"] is None:
        raise InsufficientCredits(details={"available_credits": 0})
    low_balance = LOW_BALANCE if row["low_balance"] is None else int(row["low_balance"])
    return Allowance(
        owner, row["day"], row["day_left"], row["total_left"], row["credits"], row["reserved"], low_balance
    )


def find_refusal(held: Allowance, amount: int) -> PerdureError | None:
    """Return why this much may not be spent now, or None."""
    if held.budget_left is not None and amount > held.budget_left:
        return BudgetExceeded(details={"required_credits": amount, "budget_left": max(0, held.budget_left)})
    for scope, left in (("day", held.day_left), ("total", held.total_left)):
        if left is not None and amount > left:
            return SpendingLimitReached(
                details={"scope": scope, "required_credits": amount, "left": max(0, left)}
            )
    if amount > held.credits:
        return InsufficientCredits(details={"required_credits": amount, "available_credits": held.credits})
    return None


async def note_required(connection: asyncpg.Connection[Any], execution_id: str, amount: int) -> None:
    """Note what a call needed that could not be paid, so that the execution is woken when somebody could."""
    await connection.execute(_NOTE_REQUIRED, execution_id, min(amount, _MOST))
