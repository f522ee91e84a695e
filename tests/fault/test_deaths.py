"""What dies, and what happens: real processes, real SIGKILL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from app.activities.contracts.execution import ExecutionLimits
from perdure import AsyncClient
from tests.e2e.rest import (
    TERMINAL,
    assert_whole_log,
    get,
    graph,
    node,
    nodes_of,
    requests,
    save,
    start,
    sums,
    wait,
)
from tests.engine import Engine, has_taken_a_completion
from tests.fault.harness.proxy import Link, Streams
from tests.fault.mortals import MortalWorker, calling
from tests.processes import ServerProcess, WorkerProcess
from tests.stack import Stack, eventually
from tests.stubs import WebStub


async def test_a_worker_killed_in_the_middle_of_a_block_loses_only_that_attempt(
    caller: httpx.AsyncClient, mortal_worker: MortalWorker, web: WebStub
) -> None:
    execution = await start(caller, await save(caller, requests(web.url, "/echo", "/held", "/echo?last")))
    await eventually(lambda: len(web.requests) == 2)
    mortal_worker.replace()
    web.let_go.set()

    ended = await wait(caller, execution["id"])
    assert ended["status"] == "COMPLETED", ended["error"]
    rows = await nodes_of(caller, execution["id"])
    assert {name: [row["attempt"] for row in of_node] for name, of_node in rows.items()} == {
        "r0": [1],
        "r1": [2],
        "r2": [1],
        "out": [1],
    }
    assert [request["path"] for request in web.requests] == ["/echo", "/held", "/held", "/echo"]
    await assert_whole_log(caller, execution["id"])


async def follow(url: str, key: str, execution_id: str, seen: list[int | None]) -> None:
    """Follow an execution with the Python client to its end, and note the numbers of its events."""
    async with AsyncClient(url, key, patience_seconds=600) as perdure:
        async for event in perdure.executions.events(execution_id):
            seen.append(event["seq"])  # noqa: PERF401 - it is looked at meanwhile


async def test_executions_go_on_while_the_api_is_dead(
    api_process: Callable[[], ServerProcess],
    worker_process: Callable[..., WorkerProcess],
    engine: Engine,
    web: WebStub,
) -> None:
    await worker_process().ready()
    first = await api_process().ready()
    async with first.client() as client:
        graph_id = await save(client, requests(web.url, "/held", "/echo"))
        started = [await start(client, graph_id) for _ in range(3)]
    await eventually(lambda: len(web.requests) == 3)
    ports = [first.run_info.api_url.rpartition(":")[2]]
    seen: list[int | None] = []

    async def reach() -> Streams:
        return await asyncio.open_connection("127.0.0.1", int(ports[-1]))

    async with Link("client-api", reach) as link:
        url = f"http://127.0.0.1:{link.port}"
        following = asyncio.create_task(follow(url, first.token(), started[0]["id"], seen))
        await eventually(lambda: bool(seen))
        first.kill()
        web.let_go.set()
        for execution in started:
            handle = engine.client.get_workflow_handle(execution["id"])
            assert (await engine.end(handle)).status == "COMPLETED"

        second = await api_process().ready()
        ports.append(second.run_info.api_url.rpartition(":")[2])
        async with second.client() as client:
            for execution in started:
                ended = await wait(client, execution["id"])
                assert ended["status"] == "COMPLETED", ended["error"]
                await assert_whole_log(client, execution["id"])
            followed = await assert_whole_log(client, started[0]["id"])
        await following
    assert seen == [event["seq"] for event in followed]


async def test_a_pause_survives_the_death_of_the_worker(
    caller: httpx.AsyncClient, mortal_worker: MortalWorker, stack: Stack, web: WebStub
) -> None:
    execution = await start(caller, await save(caller, requests(web.url, "/held", "/echo")))
    await eventually(lambda: bool(web.requests))
    await caller.post(f"/api/executions/{execution['id']}/pause")
    mortal_worker.replace()
    web.let_go.set()

    async def first_is_done() -> bool:
        rows = (await nodes_of(caller, execution["id"])).get("r0", [])
        return [row["status"] for row in rows] == ["COMPLETED"]

    await eventually(first_is_done)
    handle = (await stack.connect()).get_workflow_handle(execution["id"])
    await eventually(lambda: has_taken_a_completion(handle))
    assert (await get(caller, execution["id"]))["status"] == "PAUSED"
    calls = len(web.requests)

    await caller.post(f"/api/executions/{execution['id']}/resume")
    ended = await wait(caller, execution["id"])
    assert ended["status"] == "COMPLETED", ended["error"]
    assert len(web.requests) == calls + 1


async def test_workers_that_keep_dying_lose_and_double_nothing(
    caller: httpx.AsyncClient, mortal_worker: MortalWorker, web: WebStub
) -> None:
    pure, remote = await save(caller, sums(200)), await save(caller, requests(web.url, *["/echo"] * 6))
    started = []
    for _ in range(3):
        started += [await start(caller, pure), await start(caller, remote)]
        mortal_worker.replace()
        await asyncio.sleep(0.5)  # the next executions are to meet a worker in every state of its start
    for execution in started:
        ended = await wait(caller, execution["id"])
        assert ended["status"] == "COMPLETED", ended["error"]
        events = await assert_whole_log(caller, execution["id"])
        completed = [event for event in events if event["type"] == "node_completed"]
        assert len(completed) == ended["stats"]["node_executions"] == ended["stats"]["completed"]


async def test_a_terminated_workflow_ends_up_with_a_truthful_record(
    caller: httpx.AsyncClient, stack: Stack, web: WebStub
) -> None:
    execution = await start(caller, await save(caller, requests(web.url, "/held")))
    await eventually(lambda: bool(web.requests))
    temporal = await stack.connect()
    await temporal.get_workflow_handle(execution["id"]).terminate("by hand")

    ended = await wait(caller, execution["id"])
    assert ended["status"] == "FAILED"
    assert ended["error"]["code"] == "TERMINATED"

    async def is_settled() -> bool:
        listed = (await caller.get("/api/executions")).json()["items"]
        return [row["status"] for row in listed if row["id"] == execution["id"]] == ["FAILED"]

    await eventually(is_settled)


async def test_a_stop_needs_no_worker(
    caller: httpx.AsyncClient, mortal_worker: MortalWorker, web: WebStub
) -> None:
    execution = await start(caller, await save(caller, requests(web.url, "/held")))
    await eventually(lambda: bool(web.requests))
    with mortal_worker.frozen():
        stopped = await caller.post(f"/api/executions/{execution['id']}/stop")
        assert stopped.json()["status"] == "CANCELLED"
    assert (await wait(caller, execution["id"]))["status"] == "CANCELLED"


async def test_an_execution_is_seen_although_no_worker_is_there(
    caller: httpx.AsyncClient, mortal_worker: MortalWorker
) -> None:
    graph_id = await save(caller, sums(3))
    with mortal_worker.frozen():
        execution = await start(caller, graph_id)
        assert (await get(caller, execution["id"]))["status"] == "QUEUED"
        listed = (await caller.get("/api/executions")).json()["items"]
        assert [row["status"] for row in listed] == ["QUEUED"]
    assert (await wait(caller, execution["id"]))["status"] in TERMINAL


async def test_a_graph_with_a_timer_waits_through_a_restart_of_everything(
    stack: Stack, api_process: Callable[[], ServerProcess], worker_process: Callable[..., WorkerProcess]
) -> None:
    worker, first = worker_process(), await api_process().ready()
    body = graph(
        [node("wait", "countdown_timer_block", seconds=6), node("out", "agent_output_block", name="rang")],
        ["wait.output_message -> out.value"],
    )
    async with first.client() as client:
        execution = await start(client, await save(client, body))

        async def is_waiting() -> bool:
            rows = (await nodes_of(client, execution["id"])).get("wait", [])
            return [row["status"] for row in rows] == ["WAITING"]

        await eventually(is_waiting)
    assert set(await asyncio.gather(first.stop(), worker.stop())) == {0}
    await stack.stop()

    await stack.start()
    worker_process()
    second = await api_process().ready()
    async with second.client() as client:
        ended = await wait(client, execution["id"])
    assert ended["status"] == "COMPLETED"
    assert ended["outputs"] == {"rang": ["timer finished"]}


@pytest.mark.parametrize("victim", ["postgres", "temporal"])
async def test_a_server_that_dies_in_the_middle_of_a_block_costs_nothing(
    mortal_worker: MortalWorker, stack: Stack, web: WebStub, victim: str
) -> None:
    died = stack.postgres if victim == "postgres" else stack.temporal
    # However long it takes until it is there again, the block is not given up for lost meanwhile.
    unhurried = ExecutionLimits(heartbeat_seconds=120)
    async with calling(stack, task_queue=mortal_worker.task_queue, limits=unhurried) as client:
        body = requests(web.url, "/echo", "/held", "/echo", "/delay/1", "/echo")
        execution = await start(client, await save(client, body))
        await eventually(lambda: len(web.requests) == 2)
        await died.kill()
        web.let_go.set()
        await died.start()

        async def has_ended() -> bool:
            response = await client.get(f"/api/executions/{execution['id']}")
            return response.status_code == 200 and response.json()["status"] in TERMINAL

        await eventually(has_ended, timeout_seconds=90)
        ended = await get(client, execution["id"])
        assert ended["status"] == "COMPLETED", ended["error"]
        assert [request["path"][:5] for request in web.requests] == [
            "/echo",
            "/held",
            "/echo",
            "/dela",
            "/echo",
        ]
        assert ended["stats"]["retries"] == 0
        await assert_whole_log(client, execution["id"])
