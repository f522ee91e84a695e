"""How often Postgres is asked for one thing, and that asking less often reads nothing that is out of date."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from app.database import Sessions, plain_url
from app.errors import NotFound
from app.models import recording, spending
from app.models.changes import EventRecord
from app.models.event_types import EventType
from app.models.spending import Spend
from app.tenants import make_tenant_engine, working_for
from tests.engine import use_json
from tests.ledger import add_execution, add_user, end_of, require_sound
from tests.stack import eventually

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = $1"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    made = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=4, init=use_json)
    yield made
    await made.close()


@pytest.mark.parametrize("is_nested", [False, True])
async def test_a_paid_call_asks_postgres_nine_times_however_deep_it_is_nested(
    pool: asyncpg.Pool[Any],
    is_nested: bool,
) -> None:
    owner = await add_user(pool, 1_000)
    root_id = await add_execution(pool, owner)
    execution_id = await add_execution(pool, owner, root_id=root_id) if is_nested else root_id
    asked: list[str] = []

    async def call(connection: asyncpg.Connection[Any]) -> None:
        what = Spend(uuid.uuid4())
        await spending.reserve(connection, execution_id, what, 10, owner=owner)
        changes = end_of(what, 7)
        changes.events.append(EventRecord(what.name, EventType.NODE_COMPLETED, "{}"))
        await recording.record(connection, execution_id, changes, owner=owner)

    async with pool.acquire() as connection:
        # What a connection is asked at first is about types.
        await call(connection)
        with connection.query_logger(lambda query: asked.append(query.query)):
            await call(connection)
            await eventually(lambda: asked.count("COMMIT;") == 2)

    assert len(asked) == 9, " | ".join(" ".join(q.split()[:3]) for q in asked)
    assert await require_sound(pool, owner) == 986


async def test_a_reservation_that_has_waited_sees_what_was_recorded_meanwhile(
    pool: asyncpg.Pool[Any],
) -> None:
    """It is for a node execution that has ended, or stands there already: what it waited for is not overlooked."""
    owner = await add_user(pool, 100)
    execution_id, ended, twice = await add_execution(pool, owner), Spend(uuid.uuid4()), Spend(uuid.uuid4())

    async with pool.acquire() as first, pool.acquire() as second, pool.acquire() as third:
        begun = first.transaction()
        await begun.start()
        await recording.record(first, execution_id, end_of(ended, 0), owner=owner)
        await spending.reserve(first, execution_id, twice, 10, owner=owner)
        waiting = [
            asyncio.create_task(spending.reserve(connection, execution_id, what, 10, owner=owner))
            for connection, what in ((second, ended), (third, twice))
        ]
        for connection in (second, third):
            await eventually(partial(pool.fetchval, _WAITING, connection.get_server_pid()))
        await begun.commit()
        refused, repeated = await asyncio.gather(*waiting, return_exceptions=True)

    assert isinstance(refused, NotFound)
    assert repeated is None
    assert await require_sound(pool, owner) == 90


async def test_a_request_goes_on_with_the_connection_that_knows_its_user(database_url: str) -> None:
    tenants = make_tenant_engine(database_url)
    sessions = Sessions(tenants)

    async def connection_of() -> int:
        async with sessions() as session:
            pid: int = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            return pid

    many = await asyncio.gather(*(connection_of() for _ in range(5)))
    with working_for("alice"):
        mine = {await connection_of() for _ in range(5)}
    await tenants.dispose()

    assert len(set(many)) > 1
    assert len(mine) == 1
