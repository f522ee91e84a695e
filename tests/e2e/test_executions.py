"""Executions over REST on the real server: started, read, followed, stopped, paused, repeated."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
from temporalio.client import Client

from tests.e2e.rest import (
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
from tests.engine import has_taken_a_completion
from tests.processes import ServerProcess
from tests.stack import eventually
from tests.stubs import WebStub


async def test_an_execution_is_answered_with_its_outputs_when_waited_for(server: ServerProcess) -> None:
    async with server.client() as client:
        execution = await start(client, await save(client, sums(5)), wait=30)
        results = await client.get(f"/api/executions/{execution['id']}/results")
    assert execution["status"] == "COMPLETED"
    assert execution["outputs"] == {"sum": [5.0]}
    assert execution["stats"]["node_executions"] == 6
    assert execution["stats"]["completed"] == 6
    assert execution["temporal"]["workflow_id"] == execution["id"]
    assert results.json() == {"status": "COMPLETED", "outputs": {"sum": [5.0]}, "error": None}


async def test_an_execution_is_visible_from_the_moment_its_start_returned(server: ServerProcess) -> None:
    async with server.client("visible@example.com") as client:
        execution = await start(client, await save(client, sums(5)))
        assert (await get(client, execution["id"]))["id"] == execution["id"]
        listed = (await client.get("/api/executions")).json()["items"]
        assert [row["id"] for row in listed] == [execution["id"]]
        await wait(client, execution["id"])


async def test_results_of_a_running_execution_are_a_conflict(server: ServerProcess, web: WebStub) -> None:
    async with server.client() as client:
        execution = await start(client, await save(client, requests(web.url, "/delay/30")))
        response = await client.get(f"/api/executions/{execution['id']}/results")
        assert response.status_code == 409
        assert response.json()["error"]["error_code"] == "CONFLICT"
        await client.post(f"/api/executions/{execution['id']}/stop")


async def test_a_stop_takes_effect_within_five_seconds_in_the_middle_of_a_block(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        graph_id = await save(client, requests(web.url, "/delay/60", "/echo"))
        execution = await start(client, graph_id)
        await eventually(lambda: bool(web.requests))

        began = time.monotonic()
        stopped = await client.post(f"/api/graphs/{graph_id}/executions/{execution['id']}/stop")
        # On a machine that has nothing else to do it takes less than five seconds; the block would take sixty.
        assert time.monotonic() - began < 20
        assert stopped.status_code == 200
        assert stopped.json()["status"] == "CANCELLED"

        again = await client.post(f"/api/executions/{execution['id']}/stop")
        assert again.status_code == 200
        assert again.json()["status"] == "CANCELLED"
        assert (await nodes_of(client, execution["id"]))["r0"][0]["status"] == "CANCELLED"
        await assert_whole_log(client, execution["id"])
    assert len(web.requests) == 1


async def test_a_pause_holds_and_a_resume_goes_on(server: ServerProcess, web: WebStub) -> None:
    async with server.client() as client:
        execution = await start(client, await save(client, requests(web.url, "/delay/1", "/echo")))
        await eventually(lambda: bool(web.requests))
        paused = await client.post(f"/api/executions/{execution['id']}/pause")
        assert paused.status_code == 200
        assert paused.json()["status"] == "PAUSED"

        temporal = await Client.connect(server.run_info.temporal_address)
        handle = temporal.get_workflow_handle(execution["id"])
        await eventually(lambda: has_taken_a_completion(handle))
        assert list(await nodes_of(client, execution["id"])) == ["r0"]
        assert len(web.requests) == 1

        resumed = await client.post(f"/api/executions/{execution['id']}/resume")
        assert resumed.status_code == 200
        assert resumed.json()["status"] in {"RUNNING", "COMPLETED"}
        ended = await wait(client, execution["id"])
        assert ended["status"] == "COMPLETED"
        refused = await client.post(f"/api/executions/{execution['id']}/pause")
        assert refused.status_code == 409
    assert len(web.requests) == 2


async def test_an_idempotency_key_starts_once(server: ServerProcess) -> None:
    async with server.client() as client:
        graph_id = await save(client, sums(3))
        headers = {"Idempotency-Key": "the-same"}
        url = f"/api/graphs/{graph_id}/execute"
        first = await client.post(url, json={"inputs": {}}, headers=headers)
        second = await client.post(url, json={"inputs": {}}, headers=headers)
        other = await client.post(url, json={"inputs": {}, "budget": 5}, headers=headers)
    assert first.status_code == second.status_code == 200
    assert first.json()["id"] == second.json()["id"]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert other.status_code == 422


async def test_a_transient_web_failure_is_tried_again_with_the_same_key(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        execution = await start(client, await save(client, requests(web.url, "/flaky/2")))
        ended = await wait(client, execution["id"])
        (row,) = (await nodes_of(client, execution["id"]))["r0"]
    assert ended["status"] == "COMPLETED", ended["error"]
    assert row["attempt"] == 3
    assert ended["stats"]["retries"] == 2


async def test_the_event_stream_follows_an_execution_to_its_end_and_resumes(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        execution = await start(client, await save(client, requests(web.url, "/delay/0.5", "/echo")))
        streamed = await _stream(client, execution["id"])
        logged = await assert_whole_log(client, execution["id"])
        assert [event["seq"] for event in streamed] == [event["seq"] for event in logged]
        assert [event["type"] for event in streamed] == [event["type"] for event in logged]
        resumed = await _stream(client, execution["id"], last_event_id=2)
        assert [event["seq"] for event in resumed] == [event["seq"] for event in logged[2:]]


async def _stream(
    client: httpx.AsyncClient, execution_id: str, *, last_event_id: int | None = None
) -> list[dict[str, Any]]:
    headers = {"Accept": "text/event-stream"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = str(last_event_id)
    events: list[dict[str, Any]] = []
    async with (
        asyncio.timeout(30),
        client.stream("GET", f"/api/executions/{execution_id}/events", headers=headers) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        seq, kind = 0, ""
        async for line in response.aiter_lines():
            if line.startswith("id:"):
                seq = int(line[3:])
            elif line.startswith("event:"):
                kind = line[6:].strip()
            elif line.startswith("data:"):
                events.append({"seq": seq, "type": kind, "data": json.loads(line[5:])})
    return events


async def test_another_users_execution_looks_like_none(server: ServerProcess) -> None:
    async with server.client("owner@example.com") as mine, server.client("other@example.com") as theirs:
        execution = await start(mine, await save(mine, sums(2)), wait=30)
        missing = "00000000-0000-4000-8000-000000000000"
        for method, path in [
            ("GET", ""),
            ("GET", "/results"),
            ("GET", "/nodes"),
            ("GET", "/events"),
            ("POST", "/stop"),
            ("POST", "/pause"),
            ("POST", "/resume"),
            ("DELETE", ""),
        ]:
            hers = await theirs.request(method, f"/api/executions/{execution['id']}{path}")
            none = await theirs.request(method, f"/api/executions/{missing}{path}")
            assert hers.status_code == none.status_code == 404, path
            assert _essence(hers) == _essence(none)


def _essence(response: httpx.Response) -> dict[str, Any]:
    error = dict(response.json()["error"])
    del error["timestamp"], error["request_id"]
    return error


async def test_an_unhandled_failure_names_its_node(server: ServerProcess, web: WebStub) -> None:
    body = graph(
        [
            node("find", "find_in_dictionary_block", input="{", key="k"),
            node("sum", "calculator_block", operation="Add", a=1, b=1),
            node("out", "agent_output_block", name="sum"),
            node("convert", "remove_from_dictionary_block", dictionary={"a": 1}, key="b"),
        ],
        ["sum.result -> out.value"],
    )
    async with server.client() as client:
        execution = await start(client, await save(client, body), wait=30)
    assert execution["status"] == "FAILED"
    assert execution["error"]["node_id"] in {"convert", "find"}
    assert execution["outputs"] == {"sum": [2.0]}


async def test_a_graph_of_a_thousand_pure_nodes_completes_at_once(server: ServerProcess) -> None:
    async with server.client() as client:
        execution = await start(client, await save(client, sums(1_000)), wait=60)
    assert execution["status"] == "COMPLETED"
    assert execution["outputs"] == {"sum": [1000.0]}


async def test_one_block_is_executed_on_its_own(server: ServerProcess) -> None:
    async with server.client() as client:
        good = await client.post(
            "/api/blocks/calculator_block/execute", json={"inputs": {"operation": "Add", "a": 1, "b": 2}}
        )
        unknown = await client.post("/api/blocks/no_such_block/execute", json={"inputs": {}})
        bad = await client.post("/api/blocks/calculator_block/execute", json={"inputs": {"operation": "?"}})
    assert good.status_code == 200, good.text
    assert good.json()["outputs"] == {"result": [3.0]}
    assert unknown.status_code == 404
    assert bad.status_code == 400
