"""Durable steps against a real database: who finds them, which result stays, and how long."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from temporalio.client import Client

from app.activities.steps import NodeSteps
from app.activities.value_store import ValueStore
from app.activities.values import ValueCache
from app.database import Sessions, plain_url
from app.database import make_engine as make_database
from app.llm.metering import Meter
from app.models import executions
from app.models.changes import NewExecution
from app.models.execution_writes import insert_execution
from app.models.value_collection import collect_values
from tests.engine import Engine, make_engine
from tests.stack import eventually

LARGE = "0123456789" * 10_000
PLACE = (3, 1)
WAITING = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%node_steps%'
"""


@pytest.fixture
async def engine(client: Client, own_database_url: str) -> AsyncIterator[Engine]:
    """An engine over a database of the test's own, since what nobody uses is collected."""
    async with make_engine(client, own_database_url) as running:
        yield running


@pytest.fixture
async def execution_id(engine: Engine) -> str:
    """An open execution."""
    return await begin(engine)


async def begin(engine: Engine) -> str:
    new = NewExecution(
        id=str(uuid.uuid4()),
        user_id="owner",
        graph_id=str(uuid.uuid4()),
        graph_version=1,
        plan_hash="",
        trigger="api",
        inputs=[{}],
        created_at=datetime.now(UTC),
    )
    async with engine.pool.acquire() as connection:
        await insert_execution(connection, new)
    return new.id


def steps_of(
    engine: Engine,
    execution_id: str,
    place: tuple[int, int] = PLACE,
    *,
    owner: str = "owner",
    is_first_attempt: bool = False,
    meter: Meter | None = None,
) -> NodeSteps:
    """Return steps as a process sees them that has seen nothing yet."""
    return NodeSteps(
        engine.pool,
        ValueCache(ValueStore(engine.pool)),
        execution_id,
        place,
        owner=owner,
        is_first_attempt=is_first_attempt,
        meter=meter or Meter(),
    )


def giving(value: Any) -> Callable[[], Awaitable[Any]]:
    async def work() -> Any:
        return value

    return work


async def must_not_be_done() -> Any:
    raise AssertionError("The step is done again")


async def end(engine: Engine, execution_id: str) -> None:
    await engine.pool.execute(
        "UPDATE executions SET status = 'COMPLETED', ended_at = now() WHERE id = $1", execution_id
    )


async def delete(engine: Engine, execution_id: str) -> None:
    database = make_database(engine.database_url)
    async with Sessions(database).begin() as session:
        await executions.delete_execution(session, "owner", uuid.UUID(execution_id))
    await database.dispose()


@pytest.mark.parametrize("value", ["small", LARGE, None, {"a": [1, 2.5, True]}])
async def test_a_later_attempt_finds_what_a_step_gave(engine: Engine, execution_id: str, value: Any) -> None:
    first = steps_of(engine, execution_id, is_first_attempt=True)
    assert await first.do("one", giving(value)) == value
    assert await first.do("one", must_not_be_done) == value
    assert await steps_of(engine, execution_id).do("one", must_not_be_done) == value


async def test_a_step_gives_the_same_when_it_is_done_as_when_it_is_found(
    engine: Engine, execution_id: str
) -> None:
    done = await steps_of(engine, execution_id, is_first_attempt=True).do("one", giving({"a": (1, 2)}))
    found = await steps_of(engine, execution_id).do("one", must_not_be_done)
    assert done == found == {"a": [1, 2]}


async def test_a_step_that_fails_is_not_done(engine: Engine, execution_id: str) -> None:
    async def fail() -> Any:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it is the one from above
        await steps_of(engine, execution_id, is_first_attempt=True).do("one", fail)
    assert await steps_of(engine, execution_id).do("one", giving("now")) == "now"


async def test_steps_belong_to_one_node_execution_of_one_owner(engine: Engine, execution_id: str) -> None:
    await steps_of(engine, execution_id, is_first_attempt=True).do("one", giving("mine"))
    others = [
        steps_of(engine, execution_id, (3, 2)),
        steps_of(engine, execution_id, (4, 1)),
        steps_of(engine, await begin(engine)),
        steps_of(engine, execution_id, owner="somebody else"),
    ]
    for number, other in enumerate(others):
        assert await other.do("one", giving(number)) == number
    assert await steps_of(engine, execution_id).do("one", must_not_be_done) == "mine"


async def test_nobody_leaves_a_step_in_the_execution_of_somebody_else(
    engine: Engine, execution_id: str
) -> None:
    await steps_of(engine, execution_id, owner="somebody else").do("one", giving("planted"))
    assert await steps_of(engine, execution_id).do("one", giving("own")) == "own"


async def test_of_two_attempts_at_once_the_first_result_stays(engine: Engine, execution_id: str) -> None:
    async def overtaken() -> str:
        # The other attempt is done while this one, which was frozen, still works.
        await steps_of(engine, execution_id).do("one", giving("first"))
        return "second"

    await steps_of(engine, execution_id, is_first_attempt=True).do("one", overtaken)
    assert await steps_of(engine, execution_id).do("one", must_not_be_done) == "first"


async def test_what_is_done_after_the_end_of_an_execution_is_not_kept(
    engine: Engine, execution_id: str
) -> None:
    await steps_of(engine, execution_id).do("before", giving("kept"))
    await end(engine, execution_id)
    late = steps_of(engine, execution_id)
    assert await late.do("after", giving("late")) == "late"
    assert await late.do("large", giving(LARGE)) == LARGE
    names = await engine.pool.fetch("SELECT name FROM node_steps WHERE execution_id = $1", execution_id)
    assert [row["name"] for row in names] == ["before"]
    await delete(engine, execution_id)
    await steps_of(engine, execution_id).do("after", giving("late"))
    assert await engine.pool.fetchval("SELECT count(*) FROM node_steps") == 0
    await collect_values(engine.pool, None, grace=timedelta(0), limit=500)
    assert await engine.pool.fetchval("SELECT count(*) FROM stored_values") == 0


async def test_the_large_result_of_a_step_stays_as_long_as_its_execution(
    engine: Engine, execution_id: str
) -> None:
    await steps_of(engine, execution_id, is_first_attempt=True).do("one", giving(LARGE))
    await collect_values(engine.pool, None, grace=timedelta(0), limit=500)
    assert await steps_of(engine, execution_id).do("one", must_not_be_done) == LARGE
    await end(engine, execution_id)
    await delete(engine, execution_id)
    await collect_values(engine.pool, None, grace=timedelta(0), limit=500)
    assert await engine.pool.fetchval("SELECT count(*) FROM stored_values") == 0


@pytest.mark.parametrize("value", ["small", LARGE])
async def test_a_step_is_written_whole_though_its_connection_breaks_off(
    engine: Engine, execution_id: str, value: Any
) -> None:
    holder = await asyncpg.connect(plain_url(engine.database_url))
    async with holder.transaction():
        # Its value is written by then, and is lost with the connection.
        await holder.execute("LOCK TABLE node_steps IN EXCLUSIVE MODE")
        steps = steps_of(engine, execution_id, is_first_attempt=True)
        writing = asyncio.create_task(steps.do("one", giving(value)))
        pid = await eventually(lambda: engine.pool.fetchval(WAITING))
        await engine.pool.execute("SELECT pg_terminate_backend($1)", pid)
    await holder.close()
    async with asyncio.timeout(60):
        assert await writing == value
    await collect_values(engine.pool, None, grace=timedelta(0), limit=500)
    assert await steps_of(engine, execution_id).do("one", must_not_be_done) == value


async def test_what_models_used_for_steps_counts_when_they_are_found(
    engine: Engine, execution_id: str
) -> None:
    meter = Meter()

    async def ask() -> str:
        meter.add("a-model", input_tokens=11, output_tokens=7)
        return "answer"

    steps = steps_of(engine, execution_id, is_first_attempt=True, meter=meter)
    for name in ("one", "two"):
        await steps.do(name, ask)
    later = Meter()
    await steps_of(engine, execution_id, meter=later).do("one", must_not_be_done)
    assert later.as_json() == {"model": "a-model", "input_tokens": 22, "output_tokens": 14, "calls": 2}
