"""What may be spent now: the locks under which that is certain, and the limits that are looked at under them.

Locks are taken in one order: the execution, the outermost execution that it is nested in, its owner. Plain asyncpg.
"""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

import asyncpg

from app.errors import BudgetExceeded, InsufficientCredits, NotFound, PerdureError, SpendingLimitReached

_LOCK_EXECUTION = """
SELECT status, root_id, budget, committed FROM executions WHERE id = $1 AND user_id = $2 FOR UPDATE
"""
_LOCK_ROOT = "SELECT budget, committed FROM executions WHERE id = $1 AND user_id = $2 FOR UPDATE"
# No key changes, so whoever only refers to the user need not wait. The day never goes back: a transaction that began
# before midnight may get the lock after one that began later.
_LOCK_USER = """
SELECT credits, reserved, preferences ->> 'low_balance' AS low_balance, spent,
    least(daily_budget, daily_limit) AS daily_budget, least(total_budget, total_limit) AS total_budget,
    greatest(spent_on, (now() AT TIME ZONE 'UTC')::date) AS day,
    CASE WHEN spent_on >= (now() AT TIME ZONE 'UTC')::date THEN spent_today ELSE 0 END AS spent_today
FROM users WHERE id = $1 FOR NO KEY UPDATE
"""
_NOTE_REQUIRED = "UPDATE executions SET required = $2 WHERE id = $1"
_MOST = 2**63 - 1
LOW_BALANCE = 100
"""Credits below which a user is told that they run low, unless they say otherwise."""


class Allowance(NamedTuple):
    """What the locks are held on, and what may be spent while they are."""

    execution_id: str | None
    """None for a call outside executions, as `root_id`."""
    root_id: str | None
    owner: str
    day: date
    """In UTC."""
    budget_left: int | None
    day_left: int | None
    total_left: int | None
    credits: int
    reserved: int
    """Credits that are reserved for all calls of the owner's now."""
    low_balance: int
    """Credits below which the owner is told that they run low; 0 for never."""

    @property
    def most(self) -> int:
        """Return how many credits may be spent now."""
        limits = [self.credits, self.budget_left, self.day_left, self.total_left]
        return max(0, min(limit for limit in limits if limit is not None))


async def lock_execution(
    connection: asyncpg.Connection[Any], execution_id: str, owner: str
) -> asyncpg.Record:
    """Lock an execution within a transaction; return its status, its outermost execution, and how its budget stands.

    Raises:
        NotFound: The owner has no such execution.
    """
    execution = await connection.fetchrow(_LOCK_EXECUTION, execution_id, owner)
    if execution is None:
        raise NotFound
    return execution


async def hold(
    connection: asyncpg.Connection[Any], execution_id: str, execution: asyncpg.Record, owner: str
) -> Allowance:
    """Take the locks that follow that on the execution.

    Raises:
        NotFound: The outermost execution is not the owner's.
        InsufficientCredits: The owner is not written down.
    """
    root_id = str(execution["root_id"] or execution_id)
    root: asyncpg.Record | None = execution
    if root_id != execution_id:
        root = await connection.fetchrow(_LOCK_ROOT, root_id, owner)
    if root is None:
        raise NotFound
    held = await hold_user(connection, owner)
    return held._replace(
        execution_id=execution_id, root_id=root_id, budget_left=_left(root["budget"], root["committed"])
    )


async def hold_user(connection: asyncpg.Connection[Any], owner: str) -> Allowance:
    """Take the last of the locks alone, for a call outside executions.

    Raises:
        InsufficientCredits: The owner is not written down.
    """
    user = await connection.fetchrow(_LOCK_USER, owner)
    if user is None:
        raise InsufficientCredits(details={"available_credits": 0})
    return Allowance(
        None,
        None,
        owner,
        user["day"],
        None,
        _left(user["daily_budget"], user["spent_today"]),
        _left(user["total_budget"], user["spent"]),
        user["credits"],
        user["reserved"],
        LOW_BALANCE if user["low_balance"] is None else int(user["low_balance"]),
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


def _left(budget: int | None, spent: int) -> int | None:
    return None if budget is None else budget - spent


async def note_required(connection: asyncpg.Connection[Any], execution_id: str, amount: int) -> None:
    """Note what a call needed that could not be paid, so that the execution is woken when somebody could."""
    await connection.execute(_NOTE_REQUIRED, execution_id, min(amount, _MOST))
