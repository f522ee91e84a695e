"""What is reserved is settled or released once, whoever else spends at the same moment, on a real Postgres."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from app.activities.outages import wait_out
from app.database import plain_url
from app.errors import BudgetExceeded, InsufficientCredits, NotFound, PerdureError, SpendingLimitReached
from app.graph.status import Status
from app.models import execution_writes, spending, unpaid
from app.models.changes import Changes, ValueRecord
from app.models.execution_writes import Closing
from app.models.recording import record
from app.models.spending import Settlement, Spend
from tests.engine import use_json
from tests.ledger import add_execution, add_user, charges, grant, note_end, require_sound

SPENDS = 1_000
AT_ONCE = 12


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    made = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=AT_ONCE, init=use_json)
    yield made
    await made.close()


async def reserve(pool: asyncpg.Pool[Any], execution_id: str, spend: Spend, amount: int, owner: str) -> None:
    async with pool.acquire() as connection:
        await spending.reserve(connection, execution_id, spend, amount, owner=owner)


async def close(pool: asyncpg.Pool[Any], execution_id: str, owner: str) -> None:
    """End an execution as a stop does."""
    async with pool.acquire() as connection, connection.transaction():
        await execution_writes.lock_open_execution(connection, execution_id, owner=owner)
        closing = Closing(Status.CANCELLED, None, {}, {})
        await execution_writes.close_execution(connection, execution_id, closing, Changes(), owner=owner)


def a_spend(turn: int = 1) -> Spend:
    return Spend(uuid.uuid4(), turn)


async def keys(pool: asyncpg.Pool[Any], user_id: str) -> list[str]:
    rows = await pool.fetch("SELECT kind FROM credit_entries WHERE user_id = $1 ORDER BY id", user_id)
    return [row["kind"] for row in rows][1:]


async def cost_of(pool: asyncpg.Pool[Any], spend: Spend) -> int:
    """Return what the record of a node execution says that it has cost."""
    cost: int = await pool.fetchval("SELECT cost FROM node_executions WHERE id = $1", spend.node_execution_id)
    return cost


async def test_a_thousand_spends_at_once_end_at_exactly_zero(pool: asyncpg.Pool[Any]) -> None:
    """Half of them can be paid, some of those fail and make room for others, and many are repeated."""
    price = 7
    owner = await add_user(pool, SPENDS // 2 * price)
    executions = [await add_execution(pool, owner) for _ in range(3)]
    executions.append(await add_execution(pool, owner, root_id=executions[0]))

    async def spend(number: int) -> bool:
        execution_id, what = executions[number % len(executions)], a_spend()
        try:
            await reserve(pool, execution_id, what, price, owner)
        except InsufficientCredits:
            return False
        cost = 0 if number % 5 == 0 else price
        await asyncio.gather(
            *(note_end(pool, execution_id, what, cost, owner=owner) for _ in range(1 + number % 2))
        )
        return bool(cost)

    paid = sum(await asyncio.gather(*map(spend, range(SPENDS))))
    while await pool.fetchval("SELECT credits FROM users WHERE id = $1", owner):
        paid += await spend(1)

    assert paid == SPENDS // 2
    assert await require_sound(pool, owner) == 0


async def test_a_repeat_of_anything_changes_nothing(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 100)
    execution_id, paid, failed = await add_execution(pool, owner), a_spend(), a_spend()
    for _ in range(3):
        await reserve(pool, execution_id, paid, 10, owner)
        await reserve(pool, execution_id, failed, 20, owner)
    for _ in range(3):
        await note_end(pool, execution_id, paid, 8, owner=owner)
        await note_end(pool, execution_id, failed, 0, owner=owner, status=Status.FAILED)
    for _ in range(2):
        await note_end(pool, execution_id, failed, 20, owner=owner)

    assert await keys(pool, owner) == ["RESERVE", "RESERVE", "SETTLE", "RELEASE"]
    assert await require_sound(pool, owner) == 92


async def test_what_is_reserved_stays_so_for_the_next_attempt_when_nothing_is_left(
    pool: asyncpg.Pool[Any],
) -> None:
    owner = await add_user(pool, 10)
    execution_id, what = await add_execution(pool, owner), a_spend()
    for _ in range(2):
        await reserve(pool, execution_id, what, 10, owner)

    assert await keys(pool, owner) == ["RESERVE"]
    assert not await pool.fetchval("SELECT required FROM executions WHERE id = $1", execution_id)
    assert await require_sound(pool, owner) == 0


async def test_more_than_was_reserved_yesterday_is_spent_today(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 1_000, daily_budget=20)
    execution_id, old = await add_execution(pool, owner), a_spend()
    await pool.execute("UPDATE users SET spent_on = current_date + 1 WHERE id = $1", owner)
    await reserve(pool, execution_id, old, 5, owner)
    await pool.execute("UPDATE users SET spent_on = current_date + 2, spent_today = 0 WHERE id = $1", owner)
    await note_end(pool, execution_id, old, 12, owner=owner)

    with pytest.raises(SpendingLimitReached):
        await reserve(pool, execution_id, a_spend(), 14, owner)
    await reserve(pool, execution_id, a_spend(), 13, owner)
    assert await require_sound(pool, owner) == 1_000 - 12 - 13


async def test_all_that_is_allowed_may_be_spent_and_not_one_credit_more(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 30, daily_budget=20, total_budget=25)
    execution_id = await add_execution(pool, owner, budget=10)
    for budget in (10, 20, 25):
        await pool.execute("UPDATE executions SET budget = $2 WHERE id = $1", execution_id, budget)
        await pool.execute("UPDATE users SET daily_budget = $2 WHERE id = $1", owner, budget)
        left = budget - 30 + await pool.fetchval("SELECT credits FROM users WHERE id = $1", owner)
        with pytest.raises(BudgetExceeded):
            await reserve(pool, execution_id, a_spend(), left + 1, owner)
        await reserve(pool, execution_id, a_spend(), left, owner)

    assert await require_sound(pool, owner) == 5


async def test_what_a_call_costs_beyond_its_reservation_is_charged_as_far_as_it_can_be(
    pool: asyncpg.Pool[Any],
) -> None:
    owner = await add_user(pool, 25)
    execution_id, first, second = await add_execution(pool, owner), a_spend(), a_spend()
    await reserve(pool, execution_id, first, 10, owner)
    await note_end(pool, execution_id, first, 18, owner=owner)
    await reserve(pool, execution_id, second, 5, owner)
    await note_end(pool, execution_id, second, 9, owner=owner)

    assert await require_sound(pool, owner) == 0
    assert await charges(pool, execution_id) == {
        str(first.node_execution_id): 18,
        str(second.node_execution_id): 7,
    }
    assert await cost_of(pool, second) == 7
    uncovered = await pool.fetchval(
        "SELECT details ->> 'uncovered' FROM credit_entries WHERE user_id = $1 ORDER BY id DESC LIMIT 1",
        owner,
    )
    assert uncovered == "2"


async def test_a_node_execution_costs_what_its_turns_were_charged(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 15)
    execution_id, first = await add_execution(pool, owner), a_spend()
    second = Spend(first.node_execution_id, 2)
    await reserve(pool, execution_id, first, 5, owner)
    for _ in range(2):
        # The record of a turn that was written although nobody heard so is written again.
        await note_end(pool, execution_id, first, 20, owner=owner, status=Status.RUNNING)
    assert await cost_of(pool, first) == 15
    await grant(pool, owner, 6)
    await reserve(pool, execution_id, second, 6, owner)
    await note_end(pool, execution_id, second, 15 + 6, owner=owner, status=Status.RUNNING)

    assert {str(first.node_execution_id): await cost_of(pool, first)} == await charges(pool, execution_id)
    assert await require_sound(pool, owner) == 0


@pytest.mark.parametrize("amount", [0, -5])
async def test_nothing_is_earned_by_spending(pool: asyncpg.Pool[Any], amount: int) -> None:
    owner = await add_user(pool, 10)
    execution_id, what = await add_execution(pool, owner), a_spend()
    with pytest.raises(ValueError, match="cannot be reserved"):
        await reserve(pool, execution_id, what, amount, owner)
    await reserve(pool, execution_id, what, 5, owner)
    await note_end(pool, execution_id, what, amount, owner=owner)

    assert await require_sound(pool, owner) == 10


async def test_more_than_a_number_holds_is_refused_like_any_other(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 2**62)
    execution_id = await add_execution(pool, owner)
    with pytest.raises(InsufficientCredits):
        await reserve(pool, execution_id, a_spend(), 2**70, owner)
    await reserve(pool, execution_id, a_spend(), 2**40, owner)

    assert await require_sound(pool, owner) == 2**62 - 2**40


async def test_an_execution_and_all_that_is_nested_in_it_keep_to_one_budget(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 1_000)
    root = await add_execution(pool, owner, budget=100)
    nested = [await add_execution(pool, owner, budget=100, root_id=root) for _ in range(3)]

    async def spend(number: int) -> None:
        execution_id, what = [root, *nested][number % 4], a_spend()
        await reserve(pool, execution_id, what, 7, owner)
        await note_end(pool, execution_id, what, 9, owner=owner)

    results = await asyncio.gather(*map(spend, range(40)), return_exceptions=True)

    assert {type(result) for result in results} == {type(None), BudgetExceeded}
    await require_sound(pool, owner)
    assert 90 < await pool.fetchval("SELECT committed FROM executions WHERE id = $1", root) <= 100


@pytest.mark.parametrize("limit", ["daily_budget", "total_budget", "daily_limit", "total_limit"])
async def test_the_limits_of_a_user_hold_over_all_executions(pool: asyncpg.Pool[Any], limit: str) -> None:
    owner = await add_user(pool, 1_000, **{limit: 20})
    executions = [await add_execution(pool, owner) for _ in range(2)]
    first = a_spend()
    await reserve(pool, executions[0], first, 15, owner)
    with pytest.raises(SpendingLimitReached):
        await reserve(pool, executions[1], a_spend(), 6, owner)
    await note_end(pool, executions[0], first, 14, owner=owner)
    await reserve(pool, executions[1], a_spend(), 6, owner)

    assert await require_sound(pool, owner) == 980


@pytest.mark.parametrize("scope", ["daily", "total"])
async def test_of_a_users_own_budget_and_what_an_admin_allows_the_smaller_counts(
    pool: asyncpg.Pool[Any], scope: str
) -> None:
    for budget, limit in ((5, 1_000), (1_000, 5)):
        owner = await add_user(pool, 1_000, **{f"{scope}_budget": budget, f"{scope}_limit": limit})
        execution_id = await add_execution(pool, owner)
        with pytest.raises(SpendingLimitReached):
            await reserve(pool, execution_id, a_spend(), 6, owner)
        async with pool.acquire() as connection:
            await connection.execute(
                "UPDATE executions SET status = 'PAUSED', paused_for = 'x' WHERE id = $1", execution_id
            )
            assert await unpaid.find_payable(connection, [execution_id]) == []


async def test_what_was_reserved_yesterday_gives_today_nothing(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 1_000, daily_budget=20)
    execution_id, old, new = await add_execution(pool, owner), a_spend(), a_spend()
    await pool.execute("UPDATE users SET spent_on = current_date + 1 WHERE id = $1", owner)
    await reserve(pool, execution_id, old, 20, owner)
    await pool.execute("UPDATE users SET spent_on = current_date + 2, spent_today = 0 WHERE id = $1", owner)
    await reserve(pool, execution_id, new, 15, owner)
    await note_end(pool, execution_id, old, 0, owner=owner, status=Status.FAILED)

    with pytest.raises(SpendingLimitReached):
        await reserve(pool, execution_id, a_spend(), 6, owner)
    assert await require_sound(pool, owner) == 985


async def test_who_comes_after_the_end_spends_nothing(pool: asyncpg.Pool[Any]) -> None:
    """An attempt that was given up for lost comes back before the end of its execution, and after it."""
    owner = await add_user(pool, 100)
    execution_id, lost, held = await add_execution(pool, owner), a_spend(), a_spend()
    await note_end(pool, execution_id, lost, 0, owner=owner, status=Status.FAILED)
    with pytest.raises(NotFound):
        await reserve(pool, execution_id, lost, 10, owner)
    await reserve(pool, execution_id, held, 10, owner)
    await close(pool, execution_id, owner)
    assert not await note_end(pool, execution_id, held, 10, owner=owner)
    with pytest.raises(NotFound):
        await reserve(pool, execution_id, a_spend(), 10, owner)

    assert await require_sound(pool, owner) == 100


async def test_whoever_is_not_written_down_has_no_credits(pool: asyncpg.Pool[Any]) -> None:
    owner = f"stranger-{uuid.uuid4()}"
    with pytest.raises(InsufficientCredits):
        await reserve(pool, await add_execution(pool, owner), a_spend(), 1, owner)


async def test_a_loss_releases_all_that_was_reserved_for_a_node_execution(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 100)
    execution_id, first = await add_execution(pool, owner), a_spend()
    second, other = Spend(first.node_execution_id, 2), a_spend()
    for what in (first, second, other):
        await reserve(pool, execution_id, what, 10, owner)
    await note_end(pool, execution_id, first, 10, owner=owner, status=Status.RUNNING)
    async with pool.acquire() as connection:
        changes = Changes(unpaid=[first.node_execution_id])
        await record(connection, execution_id, changes, owner=owner)

    assert await keys(pool, owner) == ["RESERVE"] * 3 + ["SETTLE", "RELEASE"]
    assert await require_sound(pool, owner) == 80


async def test_calls_of_one_tree_that_emit_the_same_large_value_never_wait_for_each_other_in_a_ring(
    pool: asyncpg.Pool[Any],
) -> None:
    owner = await add_user(pool, 10_000)
    root = await add_execution(pool, owner)
    tree = [root, *[await add_execution(pool, owner, root_id=root) for _ in range(5)]]

    async def spend(execution_id: str, value: ValueRecord) -> None:
        what = a_spend()
        await reserve(pool, execution_id, what, 3, owner)
        changes = Changes(settlements=[Settlement(what, 2)], values=[value])
        async with pool.acquire() as connection:
            await record(connection, execution_id, changes, owner=owner)

    for _ in range(8):
        value = ValueRecord(uuid.uuid4().hex, 1, body=b"x")
        await asyncio.gather(*(spend(execution_id, value) for execution_id in tree))
    assert await require_sound(pool, owner) == 10_000 - 8 * 6 * 2


async def test_what_has_lost_a_ring_is_written_at_the_next_try(pool: asyncpg.Pool[Any]) -> None:
    ring = [await add_user(pool, 0) for _ in range(2)]
    both_hold = asyncio.Barrier(2)
    tries = 0

    async def write(users: list[str]) -> None:
        nonlocal tries
        tries += 1
        is_first = tries <= 2
        async with pool.acquire() as connection, connection.transaction():
            for user_id in users:
                await connection.execute("UPDATE users SET name = name || 'x' WHERE id = $1", user_id)
                if is_first and user_id == users[0]:
                    await both_hold.wait()

    await asyncio.gather(wait_out(lambda: write(ring)), wait_out(lambda: write(ring[::-1])))
    names = await pool.fetch("SELECT name FROM users WHERE id = ANY($1)", ring)
    assert (tries, [row["name"] for row in names]) == (3, ["xx", "xx"])


async def test_spends_and_ends_at_the_same_moment_never_wait_for_each_other_in_a_ring(
    pool: asyncpg.Pool[Any],
) -> None:
    owner = await add_user(pool, 10_000)
    root = await add_execution(pool, owner)
    tree = [root, *[await add_execution(pool, owner, root_id=root) for _ in range(7)]]

    async def spend(number: int) -> None:
        execution_id, what = tree[number % len(tree)], a_spend()
        await reserve(pool, execution_id, what, 3, owner)
        if number % 3:
            await note_end(pool, execution_id, what, 2, owner=owner)
        if number >= 120:
            await close(pool, execution_id, owner)

    results = await asyncio.gather(*map(spend, range(200)), return_exceptions=True)
    for execution_id in tree:
        await close(pool, execution_id, owner)

    assert all(result is None or isinstance(result, PerdureError) for result in results), results
    await require_sound(pool, owner)
