"""The ledger as a test sees it: users with credits, executions without a workflow, and what always has to hold."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import asyncpg

from app.graph.status import Status
from app.models.changes import Changes, NodeRecord
from app.models.recording import record
from app.models.spending import Settlement, Spend


async def add_user(pool: asyncpg.Pool[Any], balance: int, **budgets: int) -> str:
    """Write down a user with credits; return the id."""
    user_id = f"payer-{uuid.uuid4()}"
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO users (id, email, credits, daily_budget, total_budget, daily_limit, total_limit, "
            "name, role, timezone) VALUES ($1, '', $2, $3, $4, $5, $6, '', 'user', 'UTC')",
            user_id,
            balance,
            budgets.get("daily_budget"),
            budgets.get("total_budget"),
            budgets.get("daily_limit"),
            budgets.get("total_limit"),
        )
        await _enter(connection, user_id, "grant:first", balance, balance)
    return user_id


async def grant(pool: asyncpg.Pool[Any], user_id: str, amount: int) -> None:
    """Give a user more credits."""
    async with pool.acquire() as connection, connection.transaction():
        balance = await connection.fetchval(
            "UPDATE users SET credits = credits + $2 WHERE id = $1 RETURNING credits", user_id, amount
        )
        await _enter(connection, user_id, f"grant:{uuid.uuid4()}", amount, balance)


async def _enter(
    connection: asyncpg.Connection[Any], user_id: str, key: str, amount: int, balance: int
) -> None:
    await connection.execute(
        "INSERT INTO credit_entries (user_id, key, kind, amount, balance) VALUES ($1, $2, 'GRANT', $3, $4)",
        user_id,
        key,
        amount,
        balance,
    )


async def add_execution(
    pool: asyncpg.Pool[Any], user_id: str, *, budget: int | None = None, root_id: str | None = None
) -> str:
    """Write down a running execution; return its id."""
    execution_id = str(uuid.uuid4())
    await pool.execute(
        "INSERT INTO executions (id, user_id, graph_id, graph_version, plan_hash, status, trigger, inputs, outputs, "
        "budget, root_id, event_seq, cost, retries, created_at) "
        "VALUES ($1, $2, $3, 1, '', 'RUNNING', 'api', '[]', '{}', $4, $5, 0, 0, 0, now())",
        execution_id,
        user_id,
        uuid.uuid4(),
        budget,
        root_id,
    )
    return execution_id


def end_of(spend: Spend, cost: int, *, status: Status = Status.COMPLETED) -> Changes:
    """Return what an attempt writes at the end of a node execution."""
    changes = Changes(settlements=[Settlement(spend, cost)])
    changes.add_node(
        NodeRecord(
            id=spend.node_execution_id,
            node=spend.node_execution_id.int % 2**31,
            node_id="node",
            block_id="block",
            n=1,
            status=status,
            inputs="{}",
            cost=cost,
        )
    )
    return changes


async def note_end(
    pool: asyncpg.Pool[Any],
    execution_id: str,
    spend: Spend,
    cost: int,
    *,
    owner: str,
    status: Status = Status.COMPLETED,
    is_charged: bool = True,
) -> bool:
    """Record the end of a node execution together with what it has cost, as an attempt does."""
    changes = end_of(spend, cost if is_charged else 0, status=status)
    async with pool.acquire() as connection:
        return await record(connection, execution_id, changes, owner=owner)


async def require_sound(pool: asyncpg.Pool[Any], user_id: str) -> int:
    """Check that the ledger of a user adds up at every entry, and return the balance."""
    entries = await pool.fetch(
        "SELECT key, kind, amount, balance, execution_id, details FROM credit_entries WHERE user_id = $1 ORDER BY id",
        user_id,
    )
    balance = 0
    for entry in entries:
        balance += entry["amount"]
        assert entry["balance"] == balance >= 0, dict(entry)
    user = await pool.fetchrow("SELECT credits, spent, reserved FROM users WHERE id = $1", user_id)
    assert user is not None
    assert user["credits"] == balance
    spends = [entry for entry in entries if entry["key"].startswith(("reserve:", "close:"))]
    assert user["spent"] == -sum(entry["amount"] for entry in spends)
    assert user["reserved"] == _reserved(spends)
    await _require_counted(pool, user_id)
    return balance


def _reserved(spends: Sequence[asyncpg.Record]) -> int:
    closed = {entry["key"].removeprefix("close:") for entry in spends}
    amounts: list[int] = [
        -entry["amount"]
        for entry in spends
        if entry["kind"] == "RESERVE" and entry["key"].removeprefix("reserve:") not in closed
    ]
    return sum(amounts)


async def _require_counted(pool: asyncpg.Pool[Any], user_id: str) -> None:
    """Check what each execution has counted, and that nothing is reserved for one that has ended."""
    rows = await pool.fetch(
        """
        SELECT e.id, e.ended_at IS NOT NULL AS is_ended, e.reserved, e.committed, e.budget, e.root_id,
            (SELECT coalesce(-sum(amount), 0) FROM credit_entries c JOIN executions of ON of.id = c.execution_id
             WHERE coalesce(of.root_id, of.id) = e.id) AS in_ledger,
            (SELECT count(*) FILTER (WHERE kind = 'RESERVE') - count(*) FILTER (WHERE kind <> 'RESERVE')
             FROM credit_entries c WHERE c.execution_id = e.id) AS open
        FROM executions e WHERE e.user_id = $1
        """,
        user_id,
    )
    for row in rows:
        assert row["committed"] == row["in_ledger"], dict(row)
        assert row["budget"] is None or row["root_id"] or row["committed"] <= row["budget"], dict(row)
        if row["is_ended"]:
            assert (row["open"], row["reserved"]) == (0, 0), dict(row)
        assert (row["open"] == 0) == (row["reserved"] == 0), dict(row)


async def charges(pool: asyncpg.Pool[Any], execution_id: str) -> dict[str, int]:
    """Return what each node execution of an execution was charged, by its id."""
    rows = await pool.fetch(
        "SELECT node_execution_id::text AS id, -sum(amount) AS charged FROM credit_entries "
        "WHERE execution_id = $1 GROUP BY 1",
        execution_id,
    )
    return {row["id"]: int(row["charged"]) for row in rows}


async def drain(pool: asyncpg.Pool[Any], user_id: str) -> int:
    """Take all credits from a user; return how many there were."""
    async with pool.acquire() as connection, connection.transaction():
        balance: int = await connection.fetchval(
            "SELECT credits FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id
        )
        await connection.execute("UPDATE users SET credits = 0 WHERE id = $1", user_id)
        await _enter(connection, user_id, f"adjust:{uuid.uuid4()}", -balance, 0)
    return balance
