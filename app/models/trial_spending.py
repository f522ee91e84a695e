"""What calls of blocks outside executions cost: reserved, then settled or released, each once. Plain asyncpg."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg

from app.models.allowances import find_refusal, hold_user
from app.models.entry_kinds import EntryKind
from app.models.spending import Settlement, TrialSpend, close, enter, find_entered

# Calls of executions are released with these. By age: what is young may still be under way.
_OPEN = """
SELECT reserved.user_id, reserved.key FROM credit_entries reserved
JOIN users ON users.id = reserved.user_id AND users.reserved > 0
WHERE reserved.kind = 'RESERVE' AND reserved.execution_id IS NULL
    AND reserved.at BETWEEN now() - $2::interval AND now() - $1::interval
    AND NOT EXISTS (
        SELECT FROM credit_entries closed WHERE closed.user_id = reserved.user_id
            AND closed.key = 'close:' || substr(reserved.key, length('reserve:') + 1)
    )
ORDER BY reserved.id LIMIT $3
"""
LOOKED_BACK = timedelta(days=365)
"""So long nothing here may have run, and what was reserved still comes back."""
MOST_AT_ONCE = 200


async def reserve_trial(
    connection: asyncpg.Connection[Any], trial_id: str, amount: int, *, owner: str
) -> None:
    """Reserve what a call is estimated to cost, unless that is done already.

    Args:
        connection: Not in a transaction.
        trial_id: Of the call.
        amount: Credits, more than 0.
        owner: Whose credits.

    Raises:
        InsufficientCredits: The balance does not cover it.
        SpendingLimitReached: The owner's budget of the day, or the total one, does not cover it.
        ValueError: The amount is not more than 0.
    """
    if amount <= 0:
        raise ValueError(f"{amount} credits cannot be reserved")
    spend = TrialSpend(trial_id)
    async with connection.transaction():
        held = await hold_user(connection, owner)
        if await find_entered(connection, owner, spend):
            return
        refusal = find_refusal(held, amount)
        if refusal is not None:
            raise refusal
        details = {"day": held.day.isoformat()}
        await enter(connection, held, spend, EntryKind.RESERVE, -amount, reserved=amount, details=details)


async def settle_trial(connection: asyncpg.Connection[Any], trial_id: str, cost: int, *, owner: str) -> int:
    """Charge what a call has cost, as far as balance and budgets reach, or release it; return what is charged.

    Args:
        connection: Not in a transaction.
        trial_id: Of the call.
        cost: Credits; 0 for a call that failed.
        owner: Whose credits.
    """
    spend = TrialSpend(trial_id)
    async with connection.transaction():
        held = await hold_user(connection, owner)
        entered = await find_entered(connection, owner, spend)
        if f"reserve:{spend.name}" not in entered:
            return 0
        await close(connection, held._replace(entered=entered), Settlement(spend, cost))
        ended = (await find_entered(connection, owner, spend))[f"close:{spend.name}"]
        return int(ended["details"]["charged"])


async def release_lost_trials(pool: asyncpg.Pool[Any], *, older_than: timedelta) -> int:
    """Release what is reserved for calls whose worker has died; return for how many.

    Args:
        pool: The record.
        older_than: For how long a call may be under way.
    """
    async with pool.acquire() as connection:
        lost = await connection.fetch(_OPEN, older_than, LOOKED_BACK, MOST_AT_ONCE)
        for row in lost:
            trial_id = row["key"].removeprefix("reserve:trial:")
            await settle_trial(connection, trial_id, 0, owner=row["user_id"])
    return len(lost)
