"""Tells that credits run low: in the log of the execution that spends them, or to their owner alone. Plain asyncpg."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

from app.models.allowances import Allowance
from app.models.event_types import EventType
from app.models.notification_writes import tell_low

_TELL_LOW = """
WITH numbered AS (UPDATE executions SET event_seq = event_seq + 1 WHERE id = $1 RETURNING event_seq)
INSERT INTO execution_events (execution_id, seq, key, type, data)
SELECT $1, event_seq, $2, $3, $4::text::json FROM numbered
"""


async def tell_when_low(
    connection: asyncpg.Connection[Any], held: Allowance, name: str, charged: int
) -> bool:
    """Tell it when a charge has brought the balance below where it is low.

    What is reserved counts as there, so that only charges cross the line, and each line once until there is more again.

    Args:
        connection: In the transaction of the charge, with the locks.
        held: What they are held on, as it was before.
        name: Of the spend.
        charged: Credits.

    Returns:
        Whether few are left by this charge.
    """
    before = held.credits + held.reserved
    balance, threshold = before - charged, held.low_balance
    if not balance < threshold <= before:
        return False
    if held.execution_id is None:
        await tell_low(connection, held.owner, balance=balance, threshold=threshold)
    else:
        data = json.dumps({"balance": balance, "threshold": threshold})
        await connection.execute(
            _TELL_LOW, held.execution_id, f"credits_low:{name}", EventType.CREDITS_LOW, data
        )
    return True
