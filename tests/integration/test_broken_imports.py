"""Imports that break off in the middle of being written: nothing of them stays, and a repeat makes them whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs
from temporalio.client import Client

from app.database import plain_url
from tests.rest_api import run_api
from tests.stack import eventually
from tests.unit.autogpt.agents import fixture

NAMES = ["An agent of agents", "Doubling", "Doubling and adding"]
ONCE = {"Idempotency-Key": "once"}
WAITING = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%graph_versions%'
"""


@pytest.fixture
async def database(own_database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection to a database of the test's own."""
    connection = await asyncpg.connect(plain_url(own_database_url))
    yield connection
    await connection.close()


@pytest.fixture
async def alice(client: Client, own_database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A caller of an API over that database."""

    async def connect() -> Client:
        return client

    async with run_api(own_database_url, connect) as api, api.caller() as caller:
        yield caller


async def send(caller: httpx.AsyncClient) -> httpx.Response:
    return await caller.post("/api/graphs/import", json=fixture("nested_agents"), headers=ONCE)


async def names(caller: httpx.AsyncClient) -> list[str]:
    items = (await caller.get("/api/graphs")).json()["items"]
    return sorted(each["name"] for each in items)


async def assert_nothing_is_left(caller: httpx.AsyncClient, database: asyncpg.Connection[Any]) -> None:
    assert await names(caller) == []
    for table in ("graphs", "graph_versions", "plans"):
        assert await database.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_an_import_of_which_the_last_graph_cannot_be_written_leaves_nothing(
    alice: httpx.AsyncClient, database: asyncpg.Connection[Any]
) -> None:
    await database.execute(f"ALTER TABLE graph_versions ADD CONSTRAINT refused CHECK (name <> '{NAMES[0]}')")
    # Without rendering: with all that is in a large file a traceback takes long to be made beautiful.
    with capture_logs() as written:
        assert (await send(alice)).status_code == 500
    assert "request_crashed" in [line["event"] for line in written]
    await assert_nothing_is_left(alice, database)
    await database.execute("ALTER TABLE graph_versions DROP CONSTRAINT refused")
    assert (await send(alice)).status_code == 201
    assert await names(alice) == NAMES


async def test_an_import_whose_connection_breaks_off_leaves_nothing(
    alice: httpx.AsyncClient, database: asyncpg.Connection[Any], own_database_url: str
) -> None:
    holder = await asyncpg.connect(plain_url(own_database_url))
    async with holder.transaction():
        # The first graph is written by then, and waits for its version.
        await holder.execute("LOCK TABLE graph_versions IN EXCLUSIVE MODE")
        sending = asyncio.create_task(send(alice))
        pid = await eventually(lambda: database.fetchval(WAITING))
        await database.execute("SELECT pg_terminate_backend($1)", pid)
        assert (await sending).status_code == 503
    await holder.close()
    await assert_nothing_is_left(alice, database)
    assert (await send(alice)).status_code == 201
    assert await names(alice) == NAMES
