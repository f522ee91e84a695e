"""What node executions cost: reserved before the call, settled or released after it, each once. Plain asyncpg.

Every entry of the ledger has a key, so that a repeat finds what was entered before. Locks are taken in one order: the
execution, the outermost execution that it is nested in, its owner. Under the owner's lock balance and ledger agree.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from app.errors import BudgetExceeded, InsufficientCredits, NotFound, SpendingLimitReached
from app.graph.status import TERMINAL
from app.models.entry_kinds import EntryKind

_LOCK_EXECUTION = "SELECT status, root_id FROM executions WHERE id = $1 AND user_id = $2 FOR UPDATE"
_LOCK_ROOT = "SELECT budget, committed FROM executions WHERE id = $1 AND user_id = $2 FOR UPDATE"
_LOCK_USER = """
SELECT credits, daily_budget, total_budget, spent,
    CASE WHEN spent_on = (now() AT TIME ZONE 'UTC')::date THEN spent_today ELSE 0 END AS spent_today
FROM users WHERE id = $1 FOR UPDATE
"""
_ENTERED = "SELECT key, amount FROM credit_entries WHERE user_id = $1 AND key = ANY($2::text[])"
_OPEN = """
SELECT reserved.key FROM credit_entries reserved
WHERE reserved.execution_id = $1 AND reserved.user_id = $2 AND reserved.kind = 'RESERVE'
    AND ($3::uuid[] IS NULL OR reserved.node_execution_id = ANY($3)) AND NOT EXISTS (
    SELECT FROM credit_entries closed
    WHERE closed.user_id = $2 AND closed.key = 'close:' || substr(reserved.key, length('reserve:') + 1)
)
ORDER BY reserved.id
"""
_CHANGE_USER = """
UPDATE users SET
    credits = credits + $2, spent = greatest(0, spent - $2),
    spent_today = greatest(0, CASE WHEN spent_on = (now() AT TIME ZONE 'UTC')::date THEN spent_today ELSE 0 END - $2),
    spent_on = (now() AT TIME ZONE 'UTC')::date
WHERE id = $1
RETURNING credits
"""
_CHANGE_ROOT = "UPDATE executions SET committed = committed + $2 WHERE id = $1"
_CHANGE_EXECUTION = "UPDATE executions SET reserved = reserved + $2 WHERE id = $1"
_ENTER = """
INSERT INTO credit_entries (user_id, key, kind, amount, balance, execution_id, node_execution_id, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json)
"""
_LOWER_COST = "UPDATE node_executions SET cost = cost - $2 WHERE id = $1"


class Spend(NamedTuple):
    """What one call costs: of a node execution, or of one turn of it."""

    node_execution_id: uuid.UUID
    turn: int = 1

    @property
    def name(self) -> str:
        """Return what tells it from every other one of its owner."""
        return str(self.node_execution_id) if self.turn == 1 else f"{self.node_execution_id}:{self.turn}"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a reservation: what the call has cost, 0 for one that failed. Nothing, if nothing was reserved."""

    spend: Spend
    cost: int


class _Held(NamedTuple):
    """What the locks are held on, and how things stand under them."""

    execution_id: str
    root_id: str
    owner: str
    budget_left: int | None
    day_left: int | None
    total_left: int | None
    credits: int

    @property
    def most(self) -> int:
        """Return how many credits may be spent now."""
        limits = [self.credits, self.budget_left, self.day_left, self.total_left]
        return max(0, min(limit for limit in limits if limit is not None))


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
        NotFound: The owner has no such execution, or it has ended.
        InsufficientCredits: The balance does not cover it.
        BudgetExceeded: The budget of the execution does not cover it.
        SpendingLimitReached: The owner's budget of the day, or the total one, does not cover it.
    """
    async with connection.transaction():
        held = await _hold(connection, execution_id, owner, is_open=True)
        if f"reserve:{spend.name}" in await _entered(connection, owner, spend):
            return
        _require_covered(held, amount)
        await _enter(connection, held, spend, EntryKind.RESERVE, -amount, {})
        await connection.execute(_CHANGE_EXECUTION, execution_id, amount)


async def settle(
    connection: asyncpg.Connection[Any],
    execution_id: str,
    settlements: Sequence[Settlement],
    *,
    owner: str,
) -> None:
    """End reservations within a transaction: each is charged or released, once.

    What the call has cost more than was reserved is charged as far as balance and budgets reach; the rest is noted in
    the entry and charged to nobody.
    """
    held: _Held | None = None
    for settlement in settlements:
        entered = await _entered(connection, owner, settlement.spend)
        if f"reserve:{settlement.spend.name}" not in entered:
            continue
        held = await _hold(connection, execution_id, owner, is_open=False)
        # Looked up again: under the lock nobody else can close it.
        await _close(connection, held, settlement, await _entered(connection, owner, settlement.spend))


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


async def _close(
    connection: asyncpg.Connection[Any], held: _Held, settlement: Settlement, entered: dict[str, int]
) -> None:
    spend = settlement.spend
    if f"close:{spend.name}" in entered:
        return
    reserved = -entered[f"reserve:{spend.name}"]
    charged = min(max(settlement.cost, 0), reserved + held.most)
    details = {"charged": charged}
    if charged < settlement.cost:
        details["uncovered"] = settlement.cost - charged
        await connection.execute(_LOWER_COST, spend.node_execution_id, settlement.cost - charged)
    kind = EntryKind.SETTLE if settlement.cost else EntryKind.RELEASE
    await _enter(connection, held, spend, kind, reserved - charged, details)
    await connection.execute(_CHANGE_EXECUTION, held.execution_id, -reserved)


async def _hold(
    connection: asyncpg.Connection[Any], execution_id: str, owner: str, *, is_open: bool
) -> _Held:
    """Take the locks, in their order."""
    execution = await connection.fetchrow(_LOCK_EXECUTION, execution_id, owner)
    if execution is None or (is_open and execution["status"] in TERMINAL):
        raise NotFound
    root_id = str(execution["root_id"] or execution_id)
    root = await connection.fetchrow(_LOCK_ROOT, root_id, owner)
    user = await connection.fetchrow(_LOCK_USER, owner)
    if root is None or user is None:
        raise NotFound

    def left(budget: int | None, spent: int) -> int | None:
        return None if budget is None else budget - spent

    return _Held(
        execution_id,
        root_id,
        owner,
        left(root["budget"], root["committed"]),
        left(user["daily_budget"], user["spent_today"]),
        left(user["total_budget"], user["spent"]),
        user["credits"],
    )


async def _entered(connection: asyncpg.Connection[Any], owner: str, spend: Spend) -> dict[str, int]:
    keys = [f"reserve:{spend.name}", f"close:{spend.name}"]
    return {row["key"]: row["amount"] for row in await connection.fetch(_ENTERED, owner, keys)}


def _require_covered(held: _Held, amount: int) -> None:
    if held.budget_left is not None and amount > held.budget_left:
        raise BudgetExceeded(details={"required_credits": amount, "budget_left": max(0, held.budget_left)})
    for scope, left in (("day", held.day_left), ("total", held.total_left)):
        if left is not None and amount > left:
            raise SpendingLimitReached(
                details={"scope": scope, "required_credits": amount, "left": max(0, left)}
            )
    if amount > held.credits:
        raise InsufficientCredits(details={"required_credits": amount, "available_credits": held.credits})


async def _enter(
    connection: asyncpg.Connection[Any],
    held: _Held,
    spend: Spend,
    kind: EntryKind,
    amount: int,
    details: dict[str, Any],
) -> None:
    """Change the balance and note why."""
    balance = await connection.fetchval(_CHANGE_USER, held.owner, amount)
    await connection.execute(_CHANGE_ROOT, held.root_id, -amount)
    step = "reserve" if kind is EntryKind.RESERVE else "close"
    await connection.execute(
        _ENTER,
        held.owner,
        f"{step}:{spend.name}",
        kind,
        amount,
        balance,
        held.execution_id,
        spend.node_execution_id,
        json.dumps(details),
    )


def _spend_of(name: str) -> Spend:
    node_execution_id, _, turn = name.partition(":")
    return Spend(uuid.UUID(node_execution_id), int(turn or 1))
