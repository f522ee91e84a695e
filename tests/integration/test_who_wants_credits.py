"""For whom credits are bought by themselves: each condition alone, on a real Postgres."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from app.database import Sessions, make_engine, plain_url
from app.models import payers
from app.models.spending import Spend, reserve
from tests.engine import use_json
from tests.ledger import add_execution, add_user, note_end

CREDITS = 700
THRESHOLD = 600


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    made = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=4, init=use_json)
    yield made
    await made.close()


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = make_engine(database_url)
    yield Sessions(engine)
    await engine.dispose()


async def add_payer(pool: asyncpg.Pool[Any], sessions: Sessions, balance: int = THRESHOLD) -> str:
    """Write down a user who wants credits when fewer are left than some; return the id."""
    owner = await add_user(pool, balance)
    async with sessions.begin() as session:
        await payers.put_auto_top_up(session, owner, threshold=5, amount=5)
        for customer in ("cus_of_before", f"cus_of_{owner}"):
            await payers.put_customer(session, owner, customer)
        await payers.put_auto_top_up(session, owner, threshold=THRESHOLD, amount=CREDITS)
    return owner


async def spend(pool: asyncpg.Pool[Any], execution_id: str, owner: str) -> None:
    """Have a call cost a credit."""
    what = Spend(uuid.uuid4())
    async with pool.acquire() as connection:
        await reserve(connection, execution_id, what, 1, owner=owner)
    await note_end(pool, execution_id, what, 1, owner=owner)


async def wanted_by(sessions: Sessions, owner: str) -> list[payers.Wanting]:
    async with sessions() as session:
        return list(await payers.list_wanting(session, owner=owner, rest=timedelta(hours=1), tries=3))


async def add_payment(
    pool: asyncpg.Pool[Any], owner: str, status: str, *, execution_id: str | None, age: str = "1 second"
) -> None:
    await pool.execute(
        "INSERT INTO payments (id, user_id, provider, credits, amount_cents, status, is_automatic, execution_id, "
        "created_at) VALUES (gen_random_uuid(), $1, 'stripe', 500, 500, $2, $3, $4, now() - $5::text::interval)",
        owner,
        status,
        execution_id is not None,
        execution_id,
        age,
    )


async def test_who_has_fewer_credits_than_wanted_buys_them_for_the_outermost_execution(
    pool: asyncpg.Pool[Any], sessions: Sessions
) -> None:
    owner, other = [await add_payer(pool, sessions) for _ in range(2)]
    root = await add_execution(pool, owner)
    nested = await add_execution(pool, owner, root_id=root)
    await spend(pool, await add_execution(pool, other), other)
    assert await wanted_by(sessions, owner) == []

    await spend(pool, nested, owner)

    expected = payers.Wanting(owner, f"cus_of_{owner}", CREDITS, uuid.UUID(root))
    assert await wanted_by(sessions, owner) == [expected]
    await add_payment(pool, owner, "paid", execution_id=root)
    assert await wanted_by(sessions, owner) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET credits = credits + 1 WHERE id = $1",
        "UPDATE users SET suspended_at = now() WHERE id = $1",
        "UPDATE payers SET credits = 0 WHERE user_id = $1",
        "UPDATE payers SET customer_ref = '' WHERE user_id = $1",
        "UPDATE payers SET changed_at = now() + interval '1 second' WHERE user_id = $1",
    ],
)
async def test_nothing_is_bought_without_need_or_leave(
    pool: asyncpg.Pool[Any], sessions: Sessions, change: str
) -> None:
    owner = await add_payer(pool, sessions)
    await spend(pool, await add_execution(pool, owner), owner)
    assert await wanted_by(sessions, owner)
    await pool.execute(change, owner)
    assert await wanted_by(sessions, owner) == []


@pytest.mark.parametrize(
    ("status", "age", "is_automatic", "is_wanted"),
    [
        ("pending", "2 hours", True, False),
        ("pending", "1 second", False, True),
        ("failed", "59 minutes", True, False),
        ("failed", "61 minutes", True, True),
        ("paid", "1 second", True, True),
    ],
)
async def test_one_purchase_is_awaited_before_the_next_and_a_failed_one_gives_rest(
    pool: asyncpg.Pool[Any],
    sessions: Sessions,
    status: str,
    age: str,
    is_automatic: bool,
    is_wanted: bool,
) -> None:
    owner = await add_payer(pool, sessions)
    await spend(pool, await add_execution(pool, owner), owner)
    earlier = await add_execution(pool, owner) if is_automatic else None
    await add_payment(pool, owner, status, execution_id=earlier, age=age)
    assert bool(await wanted_by(sessions, owner)) is is_wanted


async def test_what_waits_for_credits_wants_some_and_what_waits_for_a_limit_does_not(
    pool: asyncpg.Pool[Any], sessions: Sessions
) -> None:
    owner = await add_payer(pool, sessions, THRESHOLD - 1)
    execution_id = await add_execution(pool, owner)
    for reason, expected in (
        ("", []),
        ("SPENDING_LIMIT_REACHED", []),
        ("INSUFFICIENT_CREDITS", [uuid.UUID(execution_id)]),
    ):
        await pool.execute(
            "UPDATE executions SET status = 'PAUSED', paused_for = $2 WHERE id = $1", execution_id, reason
        )
        assert [each.execution_id for each in await wanted_by(sessions, owner)] == expected, reason
    await pool.execute("UPDATE executions SET status = 'RUNNING' WHERE id = $1", execution_id)
    assert await wanted_by(sessions, owner) == []


async def test_whoever_buys_holds_up_others_who_would(pool: asyncpg.Pool[Any], sessions: Sessions) -> None:
    owner = await add_payer(pool, sessions)
    async with sessions.begin() as session:
        await payers.find_payer(session, owner, is_locked=True)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await pool.execute("SELECT FROM payers WHERE user_id = $1 FOR UPDATE NOWAIT", owner)
