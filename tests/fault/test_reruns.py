"""What becomes of reruns when workers die: real processes, real SIGKILL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest

from app.database import plain_url
from tests.e2e.rest import assert_whole_log, graph, node, save, start, wait
from tests.fault.mortals import MortalWorker
from tests.stack import eventually
from tests.stubs import WebStub

WIDTH = 300
"""Records are taken over by 200, so that they are several times as many."""
ONE_TRY = {"timeout_seconds": 5, "retry": {"max_attempts": 1}}
HOLD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM node_executions JOIN executions e ON e.id = execution_id WHERE is_reused AND e.parent_id = '{0}'
    ) THEN
        PERFORM pg_advisory_xact_lock_shared(1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER hold BEFORE INSERT ON node_executions EXECUTE FUNCTION hold()
"""
REUSED = """
SELECT count(*) FROM node_executions JOIN executions e ON e.id = execution_id WHERE is_reused AND e.parent_id = $1
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to the database, whose locks end with the test."""
    connection = await asyncpg.connect(plain_url(database_url))
    yield connection
    await connection.close()


async def test_a_worker_killed_while_records_are_taken_over_changes_nothing(
    caller: httpx.AsyncClient,
    mortal_worker: MortalWorker,
    database: asyncpg.Connection[asyncpg.Record],
    web: WebStub,
) -> None:
    nodes = [
        node("steps", "step_through_items_block", items=list(range(WIDTH))),
        node("each", "store_value_block"),
        node("bad", "send_web_request_block", url=f"{web.url}/hangs/bad", method="GET", metadata=ONE_TRY),
        node("numbers", "agent_output_block", name="numbers"),
        node("out", "agent_output_block", name="y"),
    ]
    links = ["steps.item -> each.input", "each.output -> numbers.value", "bad.response -> out.value"]
    web.hanging.add("bad")
    original = await wait(caller, (await start(caller, await save(caller, graph(nodes, links))))["id"])
    assert original["status"] == "FAILED"
    assert original["stats"]["node_executions"] == 2 * WIDTH + 2
    web.hanging.clear()
    web.requests.clear()

    async def reused() -> int:
        count: int = await database.fetchval(REUSED, original["id"])
        return count

    async with held_after_the_first_records(database, original["id"]):
        # The API may write the row of the rerun too, and then it waits with whoever takes the records over.
        asked = asyncio.create_task(caller.post(f"/api/executions/{original['id']}/rerun", json={}))
        assert await eventually(reused) < 2 * WIDTH + 1
        mortal_worker.replace()

    again = (await asked).json()
    ended = await wait(caller, again["id"])

    assert ended["status"] == "COMPLETED", ended["error"]
    assert ended["outputs"]["numbers"] == list(range(WIDTH))
    assert ended["outputs"]["y"][0]["path"] == "/hangs/bad"
    assert ended["stats"]["node_executions"] == 2 * WIDTH + 3
    assert await reused() == 2 * WIDTH + 1
    assert len(web.requests) == 1
    events = await assert_whole_log(caller, again["id"])
    assert [event["type"] for event in events].count("execution_reused") == 1


@asynccontextmanager
async def held_after_the_first_records(
    database: asyncpg.Connection[asyncpg.Record], original_id: str
) -> AsyncIterator[None]:
    """Let nobody take further records over from an execution, once the first are, until the block ends."""
    await database.execute("SELECT pg_advisory_lock(1)")
    await database.execute(HOLD.format(original_id))
    try:
        yield
    finally:
        await database.execute("SELECT pg_advisory_unlock(1)")
        await database.execute("DROP FUNCTION hold CASCADE")
