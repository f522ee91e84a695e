"""Places among the executions of a user that run: who gets one, who waits, and who is called, on a real Postgres."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from app.database import plain_url
from app.models import admissions
from tests.engine import use_json
from tests.ledger import add_execution
from tests.stack import eventually

LIMIT = 2


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    made = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=4, init=use_json)
    yield made
    await made.close()


async def add(
    pool: asyncpg.Pool[Any], owner: str, status: str = "QUEUED", *, awaits_room: bool = False, nested: int = 0
) -> str:
    """Write an execution down, and what is nested in it and runs; return the id."""
    execution_id = await add_execution(pool, owner)
    await pool.execute(
        "UPDATE executions SET status = $2, awaits_room = $3 WHERE id = $1", execution_id, status, awaits_room
    )
    for number in range(nested):
        inner = await add_execution(pool, owner, root_id=execution_id)
        await pool.execute(
            "UPDATE executions SET parent_id = $2, parent_node = $3 WHERE id = $1",
            inner,
            execution_id,
            number,
        )
    return execution_id


async def take(pool: asyncpg.Pool[Any], execution_id: str, owner: str) -> bool:
    async with pool.acquire() as connection:
        return await admissions.take_place(connection, execution_id, owner=owner, limit=LIMIT)


async def called(pool: asyncpg.Pool[Any], owner: str) -> list[str]:
    async with pool.acquire() as connection:
        return list(await admissions.list_next(connection, owner=owner, limit=LIMIT))


async def with_room(pool: asyncpg.Pool[Any], *execution_ids: str) -> set[str]:
    async with pool.acquire() as connection:
        return set(await admissions.find_with_room(connection, execution_ids, limit=LIMIT))


async def status_of(pool: asyncpg.Pool[Any], execution_id: str) -> str:
    status: str = await pool.fetchval("SELECT status FROM executions WHERE id = $1", execution_id)
    return status


async def test_what_is_nested_and_what_others_run_takes_no_place(pool: asyncpg.Pool[Any]) -> None:
    owner, other = str(uuid.uuid4()), str(uuid.uuid4())
    for _ in range(LIMIT):
        await add(pool, other, "RUNNING")
    await add(pool, owner, "RUNNING", nested=5)
    first, second, third = [await add(pool, owner) for _ in range(3)]

    assert await take(pool, first, owner)
    assert not await take(pool, second, owner)
    assert not await take(pool, third, owner)
    assert [await status_of(pool, each) for each in (first, second, third)] == ["RUNNING", "QUEUED", "QUEUED"]
    assert await take(pool, first, owner), "who has begun goes on"
    assert await called(pool, owner) == []
    assert await with_room(pool, second, third) == set()


async def test_a_place_that_is_free_is_of_whoever_came_first(pool: asyncpg.Pool[Any]) -> None:
    owner = str(uuid.uuid4())
    running = [await add(pool, owner, "RUNNING", nested=1) for _ in range(LIMIT)]
    first, second, third = [await add(pool, owner, awaits_room=True) for _ in range(3)]
    await pool.execute(
        "UPDATE executions SET status = 'COMPLETED', ended_at = now() WHERE id = $1", running[0]
    )

    assert await called(pool, owner) == [first]
    assert await with_room(pool, first, second, third) == {first}
    assert not await take(pool, second, owner)
    assert await take(pool, first, owner)
    await pool.execute(
        "UPDATE executions SET status = 'PAUSED' WHERE id = ANY($1::uuid[])", [running[1], first]
    )
    assert await called(pool, owner) == [second, third]
    assert await with_room(pool, second, third) == {second, third}


@pytest.mark.parametrize("what", ["take", "call"])
async def test_whoever_gives_places_away_waits_for_others_who_do(pool: asyncpg.Pool[Any], what: str) -> None:
    """And what is stopped meanwhile is not begun."""
    owner = str(uuid.uuid4())
    queued = await add(pool, owner, awaits_room=True)
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 7))", owner)
            task = asyncio.create_task(take(pool, queued, owner) if what == "take" else _called(pool, owner))
            await eventually(lambda: pool.fetchval(waiting), timeout_seconds=20)
            await connection.execute(
                "UPDATE executions SET status = 'CANCELLED', awaits_room = false, ended_at = now() WHERE id = $1",
                queued,
            )
        assert await task is (what == "take")
    assert await status_of(pool, queued) == "CANCELLED"


async def _called(pool: asyncpg.Pool[Any], owner: str) -> bool:
    return bool(await called(pool, owner))
