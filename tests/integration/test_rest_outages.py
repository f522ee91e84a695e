"""The API while Postgres or Temporal is away: it says so, starts nothing, and works again by itself."""

from __future__ import annotations

import asyncio
import uuid

import httpx
from temporalio.client import Client

from tests.e2e.rest import get, save, start, sums, wait
from tests.engine import Engine
from tests.integration.test_rest_executions import slow
from tests.rest_api import run_api
from tests.stack import Stack, eventually


async def test_the_api_starts_without_temporal_and_works_once_it_is_there(
    engine: Engine, client: Client
) -> None:
    is_there = False

    async def connect() -> Client:
        if not is_there:
            raise RuntimeError("Connection refused")
        return client

    async with (
        run_api(engine.database_url, connect, task_queue=engine.task_queue) as api,
        api.caller() as alice,
    ):
        graph_id = await save(alice, sums(2))
        path = f"/api/graphs/{graph_id}/execute"
        refused = await alice.post(path, json={})
        assert refused.status_code == 503
        assert refused.json()["error"]["error_code"] == "ENGINE_UNAVAILABLE"
        assert (await alice.get("/api/executions")).json()["items"] == []
        ready = await alice.get("/health/ready")
        assert (ready.status_code, ready.json()["error"]["details"]) == (
            503,
            {"postgres": "ok", "temporal": "down"},
        )
        assert (await alice.get("/health/live")).status_code == 200

        is_there = True

        async def starts() -> bool:
            return (await alice.post(path, json={})).status_code == 200

        await eventually(starts)
        assert len((await alice.get("/api/executions")).json()["items"]) == 1
        assert (await alice.get("/health/ready")).json() == {
            "status": "ok",
            "postgres": "ok",
            "temporal": "ok",
        }


async def test_while_temporal_is_dead_nothing_is_started_and_records_are_read(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, stack: Stack, engine: Engine
) -> None:
    graph_id = await save(alice, sums(2))
    earlier = await start(alice, graph_id)
    await stack.temporal.kill()
    try:
        headers = {"Idempotency-Key": "later"}
        async with asyncio.timeout(30):  # far less than anybody would wait, far more than it takes
            refused = await alice.post(f"/api/graphs/{graph_id}/execute", json={}, headers=headers)
        assert refused.status_code == 503
        assert (await get(alice, earlier["id"]))["status"] == "QUEUED"
        assert (await alice.post(f"/api/executions/{earlier['id']}/stop")).status_code == 503
        assert (await alice.post(f"/api/executions/{earlier['id']}/pause")).status_code == 503
        assert (await alice.post("/api/blocks/calculator_block/execute", json={})).status_code == 503
        assert len((await alice.get("/api/executions")).json()["items"]) == 1
        # Whether there is an execution without a record nobody can say; whose one with a record is, nobody says.
        for caller, execution_id in (
            (alice, str(uuid.uuid4())),
            (bob, earlier["id"]),
            (bob, str(uuid.uuid4())),
        ):
            for path in ("", "/results", "/nodes", "/events"):
                unknown = await caller.get(f"/api/executions/{execution_id}{path}")
                assert (unknown.status_code, unknown.json()["error"]["error_code"]) == (
                    503,
                    "ENGINE_UNAVAILABLE",
                ), path
    finally:
        await stack.temporal.start()
    nobodys = await bob.get(f"/api/executions/{uuid.uuid4()}")
    assert nobodys.status_code == (await bob.get(f"/api/executions/{earlier['id']}")).status_code == 404

    async def started() -> str:
        response = await alice.post(f"/api/graphs/{graph_id}/execute", json={}, headers=headers)
        return str(response.json()["id"]) if response.status_code == 200 else ""

    execution_id = await eventually(started)
    async with engine.worker():
        assert (await wait(alice, execution_id))["status"] == "COMPLETED"
        assert (await wait(alice, earlier["id"]))["status"] == "COMPLETED"


async def test_a_dead_postgres_is_an_outage_that_streams_and_waits_sit_through(
    alice: httpx.AsyncClient, stack: Stack, engine: Engine, worker: None
) -> None:
    graph_id = await save(alice, slow(3))
    started = await start(alice, graph_id)
    path = f"/api/executions/{started['id']}"
    stream = asyncio.create_task(alice.get(f"{path}/events", headers={"Accept": "text/event-stream"}))
    await asyncio.sleep(0.5)
    await stack.postgres.kill()
    try:
        for method, where in (
            ("GET", path),
            ("GET", "/api/graphs"),
            ("POST", f"/api/graphs/{graph_id}/execute"),
        ):
            refused = await alice.request(method, where, json={} if method == "POST" else None)
            assert refused.status_code == 503, where
            assert refused.json()["error"]["error_code"] == "ENGINE_UNAVAILABLE"
        ready = await alice.get("/health/ready")
        assert ready.json()["error"]["details"] == {"postgres": "down", "temporal": "ok"}
    finally:
        await stack.postgres.start()

    frames = [frame for frame in (await stream).text.split("\n\n") if frame.startswith("id:")]
    assert [int(frame.split("\n")[0][4:]) for frame in frames] == list(range(1, len(frames) + 1))
    assert frames[-1].split("\n")[1] == "event: execution_completed"
    assert len((await alice.get("/api/executions")).json()["items"]) == 1
    async with asyncio.timeout(60):
        assert (await start(alice, await save(alice, sums(2)), wait=15))["status"] == "COMPLETED"
