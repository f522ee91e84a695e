"""Reruns over REST: what is taken over, what is called again, what is refused."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from tests.e2e.rest import assert_whole_log, graph, node, nodes_of, save, start, wait
from tests.processes import ServerProcess
from tests.stack import eventually
from tests.stubs import WebStub

ONE_TRY = {"timeout_seconds": 1, "retry": {"max_attempts": 1}}


def chain(url: str, size: int = 5, *, method: str = "GET", **constants: Any) -> dict[str, Any]:
    """Return a graph of requests that follow each other, `r3` to `/hangs/r3`."""
    nodes = [
        node(f"r{k}", "send_web_request_block", url=f"{url}/hangs/r{k}", method=method, metadata=ONE_TRY)
        for k in range(1, size + 1)
    ]
    for one in nodes:
        one["input_default"] |= constants.get(one["id"], {})
    nodes.append(node("out", "agent_output_block", name="last"))
    links = [f"r{k}.response -> r{k + 1}.body" for k in range(1, size)]
    return graph(nodes, [*links, f"r{size}.response -> out.value"])


def called(web: WebStub) -> list[str]:
    """Return which nodes called, and forget it."""
    names = [request["path"].rsplit("/", 1)[1] for request in web.requests]
    web.requests.clear()
    return names


async def run_failing(client: httpx.AsyncClient, web: WebStub, name: str, **options: Any) -> dict[str, Any]:
    """Execute a chain that fails at a node, and mend that node."""
    web.hanging.add(name)
    started = await start(client, await save(client, chain(web.url, **options)))
    ended = await wait(client, started["id"])
    assert ended["status"] == "FAILED"
    web.hanging.clear()
    web.requests.clear()
    return ended


async def rerun(client: httpx.AsyncClient, execution: Mapping[str, Any], **body: Any) -> httpx.Response:
    return await client.post(f"/api/executions/{execution['id']}/rerun", json=body)


async def run_again(client: httpx.AsyncClient, execution: Mapping[str, Any], **body: Any) -> dict[str, Any]:
    response = await rerun(client, execution, **body)
    assert response.status_code == 200, response.text
    return await wait(client, response.json()["id"])


def counts(listed: list[dict[str, Any]]) -> dict[str, int]:
    return {one["node_id"]: one["count"] for one in listed}


async def test_from_what_failed_only_the_rest_is_called_as_the_dry_run_has_said(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        original = await run_failing(client, web, "r3")
        preview = (await rerun(client, original, dry_run=True)).json()
        assert called(web) == []

        ended = await run_again(client, original)

        assert ended["status"] == "COMPLETED"
        assert called(web) == ["r3", "r4", "r5"]
        assert ended["trigger"] == "rerun"
        assert ended["parent_id"] == original["id"]
        assert ended["stats"]["node_executions"] == 6
        assert ended["stats"]["retries"] == 0
        rows = await nodes_of(client, ended["id"])
        reused = {name: len(of_node) for name, of_node in rows.items() if of_node[0]["reused"]}
        ran = {name: len(of_node) for name, of_node in rows.items() if not of_node[0]["reused"]}
        assert reused == counts(preview["reused"]) == {"r1": 1, "r2": 1}
        assert ran == counts(preview["to_run"]) == {"r3": 1, "r4": 1, "r5": 1, "out": 1}
        assert preview["unkeyed"] == []
        assert preview["estimated_credits"] == 0
        old = await nodes_of(client, original["id"])
        for name in ("r1", "r2"):
            for shown in ("inputs", "outputs", "started_at", "ended_at", "attempt", "status"):
                assert rows[name][0][shown] == old[name][0][shown]
        events = await assert_whole_log(client, ended["id"])
        taken_over = next(event for event in events if event["type"] == "execution_reused")
        assert taken_over["data"] == {
            "execution_id": original["id"],
            "node_executions": 2,
            "nodes": {"r1": 1, "r2": 1},
        }
        assert [event for event in events if event["data"].get("node_id") in ("r1", "r2")] == []
        unchanged = await wait(client, original["id"])
        assert unchanged == original


async def test_what_changes_something_in_the_world_is_done_again_only_when_confirmed(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        original = await run_failing(client, web, "r4", method="POST")
        refused = await rerun(client, original, from_nodes=["r2"])
        assert refused.status_code == 409
        assert refused.json()["error"]["error_code"] == "CONFLICT"
        assert refused.json()["error"]["details"]["nodes"] == ["r2", "r3"]
        preview = (await rerun(client, original, from_nodes=["r2"], dry_run=True)).json()
        assert counts(preview["unkeyed"]) == {"r2": 1, "r3": 1}
        assert called(web) == []

        ended = await run_again(client, original, from_nodes=["r2"], confirm=True)
        assert ended["status"] == "COMPLETED"
        assert called(web) == ["r2", "r3", "r4", "r5"]

        # What failed has not been done: to do it needs no confirmation.
        assert (await run_again(client, original))["status"] == "COMPLETED"
        assert called(web) == ["r4", "r5"]


async def test_a_repeat_with_the_same_key_starts_nothing_new(server: ServerProcess, web: WebStub) -> None:
    async with server.client() as client:
        original = await run_failing(client, web, "r2", size=2)
        path, key = f"/api/executions/{original['id']}/rerun", {"Idempotency-Key": str(uuid.uuid4())}
        first, second = await asyncio.gather(
            client.post(path, json={}, headers=key), client.post(path, json={}, headers=key)
        )
        assert first.status_code == second.status_code == 200
        assert first.json()["id"] == second.json()["id"]
        await wait(client, first.json()["id"])
        third = await client.post(path, json={}, headers=key)
        assert third.json()["id"] == first.json()["id"]
        assert third.headers["Idempotent-Replayed"] == "true"
        assert (await client.post(path, json={"budget": 5}, headers=key)).status_code == 422
    assert called(web) == ["r2"]


async def test_another_version_takes_over_what_it_has_not_changed(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        original = await run_failing(client, web, "r3", size=3)
        mended = chain(web.url, 3, r3={"url": f"{web.url}/hangs/mended"})
        path = f"/api/graphs/{original['graph_id']}"
        assert (await client.put(path, json=mended)).status_code == 200

        ended = await run_again(client, original, graph_version=2)

        assert ended["graph_version"] == 2
        assert called(web) == ["mended"]
        whole = await run_again(client, ended, graph_version=1, from_nodes=["r2"])
        assert whole["graph_version"] == 1
        assert called(web) == ["r2", "r3"]


async def test_other_inputs_are_merged_with_those_before(server: ServerProcess) -> None:
    nodes = [
        *(node(name, "agent_number_input_block", name=name) for name in ("a", "b")),
        node("sum", "calculator_block", operation="Add"),
        node("out", "agent_output_block", name="sum"),
    ]
    links = ["a.result -> sum.a", "b.result -> sum.b", "sum.result -> out.value"]
    async with server.client() as client:
        original = await wait(
            client, (await start(client, await save(client, graph(nodes, links)), {"a": 1, "b": 2}))["id"]
        )
        assert (await rerun(client, original)).status_code == 409
        assert (await rerun(client, original, inputs={"c": 1})).status_code == 400
        assert (await rerun(client, original, inputs={"b": "many"})).status_code == 400
        ended = await run_again(client, original, inputs={"b": 5})
        assert ended["inputs"] == {"a": 1, "b": 5}
        assert ended["outputs"] == {"sum": [6]}
        rows = await nodes_of(client, ended["id"])
        assert {name for name, of_node in rows.items() if of_node[0]["reused"]} == {"a"}


async def test_what_cannot_be_run_again_is_refused(server: ServerProcess, web: WebStub) -> None:
    async with server.client() as client, server.client("somebody@example.com") as stranger:
        graph_id = await save(client, chain(web.url, 2))
        web.hanging.add("r1")
        running = await start(client, graph_id)
        refused = await rerun(client, running)
        assert refused.status_code == 409
        assert refused.json()["error"]["error_code"] == "CONFLICT"
        original = await wait(client, running["id"])
        assert (await rerun(client, original, from_nodes=["nobody"])).status_code == 422
        assert (await rerun(client, original, from_nodes=[])).status_code == 422
        assert (await rerun(client, original, from_node=["r1"])).status_code == 422
        assert (await rerun(client, original, graph_version=9)).status_code == 404
        assert (await rerun(stranger, original)).status_code == 404
        assert (await rerun(client, {"id": uuid.uuid4()})).status_code == 404
        assert (await client.delete(f"/api/executions/{original['id']}")).status_code == 204
        assert (await rerun(client, original)).status_code == 404


async def test_a_stopped_execution_goes_on_where_it_was_stopped(server: ServerProcess, web: WebStub) -> None:
    nodes = [
        node("first", "send_web_request_block", url=f"{web.url}/echo", method="GET"),
        node("timer", "countdown_timer_block", seconds=3600),
        node("out", "agent_output_block", name="y"),
    ]
    links = ["first.response -> timer.input_message", "timer.output_message -> out.value"]
    async with server.client() as client:
        started = await start(client, await save(client, graph(nodes, links)))

        async def waits() -> bool:
            return "timer" in await nodes_of(client, started["id"])

        await eventually(waits)
        stopped = (await client.post(f"/api/executions/{started['id']}/stop")).json()
        assert stopped["status"] == "CANCELLED"
        again = (await rerun(client, stopped)).json()

        async def waits_again() -> bool:
            return "timer" in await nodes_of(client, again["id"])

        await eventually(waits_again)
        await client.post(f"/api/executions/{again['id']}/stop")
        rows = await nodes_of(client, again["id"])
        assert [rows[name][0]["reused"] for name in ("first", "timer")] == [True, False]
    assert len(web.requests) == 1


async def test_many_are_run_again_at_once_and_once(server: ServerProcess, web: WebStub) -> None:
    async with server.client(f"{uuid.uuid4()}@example.com") as client:
        failed = [await run_failing(client, web, "r2", size=2) for _ in range(3)]
        fine = await wait(client, (await start(client, failed[0]["graph_id"]))["id"])
        web.requests.clear()
        body, key = {"status": "FAILED"}, {"Idempotency-Key": str(uuid.uuid4())}
        dry = (await client.post("/api/executions/rerun", json=body | {"dry_run": True})).json()
        assert (dry["matched"], dry["started"], dry["refused"]) == (3, 3, [])
        assert called(web) == []

        first = (await client.post("/api/executions/rerun", json=body, headers=key)).json()
        assert (first["matched"], first["started"], first["refused"]) == (3, 3, [])
        reruns = (await client.get("/api/executions", params={"trigger": "rerun"})).json()["items"]
        assert {row["parent_id"] for row in reruns} == {row["id"] for row in failed}
        for row in reruns:
            assert (await wait(client, row["id"]))["status"] == "COMPLETED"
        assert called(web) == ["r2", "r2", "r2"]

        # What fails later is not among what the first call named.
        await run_failing(client, web, "r2", size=2)
        second = (await client.post("/api/executions/rerun", json=body, headers=key)).json()
        assert (second["matched"], second["started"]) == (3, 3)
        listed = (await client.get("/api/executions", params={"trigger": "rerun"})).json()["items"]
        assert len(listed) == 3

        named = [failed[0]["id"], fine["id"], str(uuid.uuid4()), "nonsense"]
        mixed = (await client.post("/api/executions/rerun", json={"ids": named})).json()
        assert (mixed["matched"], mixed["started"]) == (4, 1)
        assert {one["id"]: one["code"] for one in mixed["refused"]} == {
            fine["id"]: "CONFLICT",
            named[2]: "NOT_FOUND",
            "nonsense": "NOT_FOUND",
        }
        assert (await client.post("/api/executions/rerun", json={})).status_code == 422
        running = await client.post("/api/executions/rerun", json={"status": "RUNNING"})
        assert running.status_code == 422
