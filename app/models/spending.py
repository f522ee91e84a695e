"""What node executions cost: reserved before the call, settled or released after it, each once. Plain asyncpg.

Every entry of the ledger has a key, so that a repeat finds what was entered before. Under the owner's lock balance and
ledger agree; `allowances` says in which order locks are taken, and what may be spent.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import asyncpg

from app.errors import NotFound
from app.graph.status import TERMINAL
from app.models.allowances import Allowance, Entries, find_refusal, hold, note_required
from app.models.entry_kinds import EntryKind
from app.models.low_balance import tell_when_low

_FIND_BEFORE = """
SELECT EXISTS (SELECT FROM credit_entries WHERE user_id = $1 AND key = $2) AS is_reserved,
    (SELECT status FROM node_executions WHERE id = $3) AS status
"""
_ENTERED = "SELECT key, amount, details FROM credit_entries WHERE user_id = $1 AND key = ANY($2::text[])"
_OPEN = """
SELECT reserved.key FROM credit_entries reserved
WHERE reserved.execution_id = $1 AND reserved.user_id = $2 AND reserved.kind = 'RESERVE'
    AND ($3::uuid[] IS NULL OR reserved.node_execution_id = ANY($3)) AND NOT EXISTS (
    SELECT FROM credit_entries closed
    WHERE closed.user_id = $2 AND closed.key = 'close:' || substr(reserved.key, length('reserve:') + 1)
)
ORDER BY reserved.id
"""
_ENTER = """
WITH changed AS (
    UPDATE users SET
        credits = credits + $3::bigint, spent = greatest(0, spent - $3),
        spent_today = greatest(0, CASE WHEN spent_on = $10 THEN spent_today ELSE 0 END - $11::bigint), spent_on = $10,
        reserved = reserved + $8::bigint
    WHERE id = $1
        AND NOT EXISTS (SELECT FROM credit_entries WHERE user_id = $1 AND key = $2)
        AND NOT ($4 = 'RESERVE' AND EXISTS (
            SELECT FROM node_executions WHERE id = $6 AND status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'SKIPPED')
        ))
    RETURNING credits
), counted AS (
    UPDATE executions SET
        committed = committed - CASE WHEN id = $9 THEN $3::bigint ELSE 0 END,
        reserved = reserved + CASE WHEN id = $5 THEN $8::bigint ELSE 0 END
    WHERE id IN ($5, $9) AND EXISTS (SELECT FROM changed)
)
INSERT INTO credit_entries (user_id, key, kind, amount, balance, execution_id, root_id, node_execution_id, details)
SELECT $1, $2, $4, $3, credits, $5, $9, $6, $7::text::json FROM changed
RETURNING id
"""
_CORRECT_COST = """
UPDATE node_executions SET cost = (
    SELECT coalesce(sum((details ->> 'charged')::bigint), 0) FROM credit_entries
    WHERE execution_id = $2 AND user_id = $3 AND node_execution_id = $1 AND kind = 'SETTLE'
)
WHERE id = $1
"""


class Spend(NamedTuple):
    """What one call costs: of a node execution, or of one turn of it."""

    node_execution_id: uuid.UUID
    turn: int = 1

    @property
    def name(self) -> str:
        """Return what tells it from every other one of its owner."""
        return str(self.node_execution_id) if self.turn == 1 else f"{self.node_execution_id}:{self.turn}"


class TrialSpend(NamedTuple):
    """What one call of a block outside executions costs."""

    trial_id: str
    node_execution_id: None = None

    @property
    def name(self) -> str:
        """Return what tells it from every other one of its owner."""
        return f"trial:{self.trial_id}"


SpendLike: TypeAlias = Spend | TrialSpend


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a reservation: what the call has cost, 0 for one that failed. Nothing, if nothing was reserved."""

    spend: SpendLike
    cost: int


async def reserve(
    connection: asyncpg.Connection[Any], execution_id: str, spend: Spend, amount: int, *, owner: str
) -> None:
    """Reserve what a call is estimated to cost, unless that is done already.

    Args:
        connection: Not in a transaction.
        execution_id: Of the execution.
        spend: What it is for.
        amount: Credits, more than 0.
        owner: Whose credits.

    Raises:
        NotFound: The owner has no such execution, or it has ended, or the node execution has.
        InsufficientCredits: The balance does not cover it.
        BudgetExceeded: The budget of the execution does not cover it.
        SpendingLimitReached: The owner's budget of the day, or the total one, does not cover it.
        ValueError: The amount is not more than 0.
    """
    if amount <= 0:
        raise ValueError(f"{amount} credits cannot be reserved")
    async with connection.transaction():
        held = await hold(connection, execution_id, owner)
        if held is None or held.status in TERMINAL:
            raise NotFound
        refusal = find_refusal(held, amount)
        if refusal is None:
            details = {"day": held.day.isoformat()}
            if await enter(
                connection, held, spend, EntryKind.RESERVE, -amount, reserved=amount, details=details
            ):
                return
        # Another attempt may have reserved it, or the call may have been given up as lost.
        before = await connection.fetchrow(
            _FIND_BEFORE, owner, f"reserve:{spend.name}", spend.node_execution_id
        )
        if before and before["status"] in TERMINAL:
            raise NotFound
        if refusal is None or (before and before["is_reserved"]):
            return
        await note_required(connection, execution_id, amount)
    raise refusal


async def settle(
    connection: asyncpg.Connection[Any],
    execution_id: str,
    settlements: Sequence[Settlement],
    *,
    owner: str,
) -> bool:
    """End reservations within a transaction that holds the execution's lock: each is charged or released, once.

    What the call has cost more than was reserved is charged as far as balance and budgets reach; the rest is noted in
    the entry and charged to nobody. Answer whether that has left few credits.
    """
    runs_low = False
    for settlement in settlements:
        held = await hold(connection, execution_id, owner, reserved_for=settlement.spend.name)
        if held is not None:
            runs_low |= await close(connection, held, settlement)
    return runs_low


async def release_open(
    connection: asyncpg.Connection[Any],
    execution_id: str,
    *,
    owner: str,
    node_executions: Sequence[uuid.UUID] | None = None,
) -> None:
    """Release what is still reserved within the transaction that ends it.

    Args:
        connection: In a transaction.
        execution_id: Of the execution.
        owner: Whose it is.
        node_executions: Ids of those that have ended; None for the whole execution.
    """
    rows = await connection.fetch(_OPEN, execution_id, owner, node_executions)
    names = [row["key"].removeprefix("reserve:") for row in rows]
    await settle(connection, execution_id, [Settlement(_spend_of(name), 0) for name in names], owner=owner)


async def close(connection: asyncpg.Connection[Any], held: Allowance, settlement: Settlement) -> bool:
    """End a reservation under the locks, unless it has ended; answer whether that has left few credits."""
    spend = settlement.spend
    reservation = held.entered[f"reserve:{spend.name}"]
    if f"close:{spend.name}" in held.entered:
        # The same record once more, or another attempt's: what the first one was charged is what the call has cost.
        await _correct_cost(connection, held, spend)
        return False
    reserved = -reservation["amount"]
    charged = min(max(settlement.cost, 0), reserved + held.most)
    kind = EntryKind.SETTLE if charged else EntryKind.RELEASE
    details: dict[str, Any] = {"charged": charged}
    if charged < settlement.cost:
        details["uncovered"] = settlement.cost - charged
    is_of_today = reservation["details"].get("day") == held.day.isoformat()
    amount = reserved - charged
    await enter(
        connection,
        held,
        spend,
        kind,
        amount,
        reserved=-reserved,
        # What another day had reserved is not given back to this one.
        of_today=amount if is_of_today else min(amount, 0),
        details=details,
    )
    if charged < settlement.cost:
        await _correct_cost(connection, held, spend)
    return await tell_when_low(connection, held, spend.name, charged)


async def _correct_cost(connection: asyncpg.Connection[Any], held: Allowance, spend: SpendLike) -> None:
    """Have the record of a node execution say what it was charged, over all its turns."""
    await connection.execute(_CORRECT_COST, spend.node_execution_id, held.execution_id, held.owner)


async def find_entered(connection: asyncpg.Connection[Any], owner: str, spend: SpendLike) -> Entries:
    """Return what is entered of a call: its reservation, and the end of that."""
    keys = [f"reserve:{spend.name}", f"close:{spend.name}"]
    return {row["key"]: dict(row) for row in await connection.fetch(_ENTERED, owner, keys)}


async def enter(
    connection: asyncpg.Connection[Any],
    held: Allowance,
    spend: SpendLike,
    kind: EntryKind,
    amount: int,
    *,
    reserved: int,
    details: dict[str, Any],
    of_today: int | None = None,
) -> bool:
    """Change the balance and note why; all locks are held.

    Returns:
        Whether it was done: it was not entered before, and what is to be reserved for has not ended.

    Args:
        connection: In a transaction.
        held: What the locks are held on.
        spend: What it is for.
        kind: What kind of entry it is.
        amount: Credits that the balance gains.
        reserved: Credits by which grows what is reserved, for the execution and for the owner.
        details: What else is noted.
        of_today: How much of the amount is given back to this day's budget, or taken from it; all unless said.
    """
    step = "reserve" if kind is EntryKind.RESERVE else "close"
    entered = await connection.fetchval(
        _ENTER,
        held.owner,
        f"{step}:{spend.name}",
        amount,
        kind,
        held.execution_id,
        spend.node_execution_id,
        json.dumps(details),
        reserved,
        held.root_id,
        held.day,
        amount if of_today is None else of_today,
    )
    return entered is not None


def _spend_of(name: str) -> Spend:
    node_execution_id, _, turn = name.partition(":")
    return Spend(uuid.UUID(node_execution_id), int(turn or 1))
