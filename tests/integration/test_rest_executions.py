"""Executions over REST: started, read, followed, stopped, paused, deleted."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from tests.e2e.rest import get, graph, node, save, start, sums, wait
from tests.engine import Engine
from tests.stack import eventually


def slow(seconds: float = 60) -> dict[str, Any]:
    """Return a graph that waits on a timer."""
    nodes = [
        node("timer", "countdown_timer_block", input_message="done", seconds=seconds),
        node("out", "agent_output_block", name="result"),
    ]
    return graph(nodes, ["timer.output_message -> out.value"])


def echo() -> dict[str, Any]:
    """Return a graph that gives its input back."""
    nodes = [node("in", "agent_input_block", name="text"), node("out", "agent_output_block", name="text")]
    return graph(nodes, ["in.result -> out.value"])


async def test_an_execution_runs_to_its_end(alice: httpx.AsyncClient, worker: None) -> None:
    started = await start(alice, await save(alice, sums(5)))
    assert started["status"] == "QUEUED"
    assert started["outputs"] == {}

    ended = await wait(alice, started["id"])

    assert ended["status"] == "COMPLETED"
    assert ended["outputs"] == {"sum": [5]}
    assert ended["stats"]["node_executions"] == 6
    assert ended["stats"]["completed"] == 6
    assert ended["temporal"]["workflow_id"] == started["id"]
    assert ended["temporal"]["run_id"]
    assert ended["temporal"]["web_url"].startswith("http://ui.test/namespaces/default/workflows/")
    assert started["created_at"] == ended["created_at"]


async def test_a_call_that_waits_answers_with_the_end(alice: httpx.AsyncClient, worker: None) -> None:
    ended = await start(alice, await save(alice, sums(3)), wait=20)

    assert ended["status"] == "COMPLETED"
    results = (await alice.get(f"/api/executions/{ended['id']}/results")).json()
    assert results == {"status": "COMPLETED", "outputs": {"sum": [3]}, "error": None}


async def test_large_values_come_back_whole(alice: httpx.AsyncClient, worker: None) -> None:
    text = "wörd\n" * 20_000
    ended = await start(alice, await save(alice, echo()), {"text": text}, wait=20)

    assert ended["inputs"] == {"text": text}
    assert ended["outputs"] == {"text": [text]}
    rows = (await alice.get(f"/api/executions/{ended['id']}/nodes", params={"node_id": "out"})).json()[
        "items"
    ]
    assert rows[0]["inputs"]["value"] == text


async def test_an_execution_is_visible_before_any_worker_is_up(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(2))
    started = await start(alice, graph_id)

    assert (await get(alice, started["id"]))["status"] == "QUEUED"
    listed = (await alice.get("/api/executions", params={"graph_id": graph_id})).json()["items"]
    assert [row["id"] for row in listed] == [started["id"]]
    assert (await alice.get(f"/api/executions/{started['id']}/results")).status_code == 409


async def test_an_execution_whose_row_was_never_written_is_found(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    started = await start(alice, await save(alice, sums(2)))
    await engine.pool.execute("DELETE FROM executions WHERE id = $1", started["id"])

    found = await get(alice, started["id"])

    assert found == {**started, "temporal": found["temporal"]}
    assert found["temporal"]["run_id"]


async def test_a_repeat_under_the_same_key_finds_the_first_execution(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, echo())
    path, headers = f"/api/graphs/{graph_id}/execute", {"Idempotency-Key": "once"}

    first = await alice.post(path, json={"inputs": {"text": "a"}}, headers=headers)
    second = await alice.post(path, json={"inputs": {"text": "a"}}, headers=headers)
    other = await alice.post(path, json={"inputs": {"text": "b"}}, headers=headers)

    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.json() == first.json()
    assert other.status_code == 422


async def test_a_repeat_is_recognised_although_the_row_was_never_written(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    path, headers = f"/api/graphs/{await save(alice, sums(2))}/execute", {"Idempotency-Key": "once"}
    first = await alice.post(path, json={}, headers=headers)
    await engine.pool.execute("DELETE FROM executions WHERE id = $1", first.json()["id"])

    second = await alice.post(path, json={}, headers=headers)
    await engine.pool.execute("DELETE FROM executions WHERE id = $1", first.json()["id"])
    other = await alice.post(path, json={"budget": 3}, headers=headers)

    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.json()["id"] == first.json()["id"]
    assert other.status_code == 422


async def test_two_users_may_use_the_same_key(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "shared"}
    ids = set()
    for caller in (alice, bob):
        path = f"/api/graphs/{await save(caller, sums(2))}/execute"
        ids.add((await caller.post(path, json={}, headers=headers)).json()["id"])
    assert len(ids) == 2


async def test_the_event_log_is_streamed_to_its_end(alice: httpx.AsyncClient, worker: None) -> None:
    started = await start(alice, await save(alice, sums(3)))
    path = f"/api/executions/{started['id']}/events"

    stream = await alice.get(path, headers={"Accept": "text/event-stream"})

    frames = [frame for frame in stream.text.split("\n\n") if frame.startswith("id:")]
    assert [int(frame.split("\n")[0][4:]) for frame in frames] == list(range(1, len(frames) + 1))
    assert frames[-1].split("\n")[1] == "event: execution_completed"
    last = json.loads(frames[-1].split("\n")[2].removeprefix("data: "))
    assert last["seq"] == len(frames)

    again = await alice.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": "2"})
    assert [frame for frame in again.text.split("\n\n") if frame.startswith("id:")] == frames[2:]
    page = (await alice.get(path, params={"after": 1, "limit": 1})).json()
    assert [event["seq"] for event in page["items"]] == [2]
    assert page["next_cursor"] == "2"


async def test_a_stop_ends_a_running_execution(alice: httpx.AsyncClient, worker: None) -> None:
    started = await start(alice, await save(alice, slow()))
    await _running(alice, started["id"])

    stopped = await alice.post(f"/api/graphs/{started['graph_id']}/executions/{started['id']}/stop")
    again = await alice.post(f"/api/executions/{started['id']}/stop")

    assert stopped.status_code == again.status_code == 200
    assert stopped.json()["status"] == again.json()["status"] == "CANCELLED"
    assert stopped.json()["ended_at"]
    wrong = await alice.post(f"/api/graphs/{uuid.uuid4()}/executions/{started['id']}/stop")
    assert wrong.status_code == 404


@pytest.mark.parametrize("stop_deadline_seconds", [0.5])
async def test_a_stop_needs_no_worker(alice: httpx.AsyncClient, engine: Engine) -> None:
    started = await start(alice, await save(alice, slow()))

    stopped = (await alice.post(f"/api/executions/{started['id']}/stop")).json()

    assert stopped["status"] == "CANCELLED"
    assert stopped["ended_at"]
    assert (await get(alice, started["id"]))["status"] == "CANCELLED"
    async with engine.worker():
        await eventually(lambda: _is_recorded(engine, started["id"], "CANCELLED"))


@pytest.mark.parametrize("has_worker", [True, False])
async def test_an_execution_terminated_from_outside_has_failed(
    alice: httpx.AsyncClient, client: Client, engine: Engine, has_worker: bool
) -> None:
    started = await start(alice, await save(alice, slow()))
    if has_worker:
        async with engine.worker():
            await _running(alice, started["id"])
            await client.get_workflow_handle(started["id"]).terminate(reason="an operator")
            found = await get(alice, started["id"])
            await eventually(lambda: _is_recorded(engine, started["id"], "FAILED"))
    else:
        await client.get_workflow_handle(started["id"]).terminate(reason="an operator")
        found = await get(alice, started["id"])

    assert found["status"] == "FAILED"
    assert found["error"]["code"] == "TERMINATED"
    assert found["ended_at"]


async def test_an_execution_is_paused_and_resumed(alice: httpx.AsyncClient, worker: None) -> None:
    started = await start(alice, await save(alice, slow(1)))
    path = f"/api/executions/{started['id']}"

    paused = await alice.post(f"{path}/pause")
    assert paused.status_code == 200
    assert paused.json()["status"] == "PAUSED"
    assert (await get(alice, started["id"]))["status"] == "PAUSED"
    resumed = await alice.post(f"{path}/resume")

    assert resumed.json()["status"] in {"RUNNING", "COMPLETED"}
    assert (await wait(alice, started["id"]))["outputs"] == {"result": ["done"]}
    assert (await alice.post(f"{path}/pause")).status_code == 409
    assert (await alice.post(f"{path}/resume")).status_code == 409


async def test_only_an_ended_execution_is_deleted(alice: httpx.AsyncClient, worker: None) -> None:
    graph_id = await save(alice, sums(2))
    ended = await start(alice, graph_id, wait=20)
    running = await start(alice, await save(alice, slow()))

    assert (await alice.delete(f"/api/executions/{running['id']}")).status_code == 409
    assert (await alice.delete(f"/api/executions/{ended['id']}")).status_code == 204

    for path in ("", "/results", "/nodes", "/events"):
        assert (await alice.get(f"/api/executions/{ended['id']}{path}")).status_code == 404
    assert (await alice.get("/api/executions", params={"graph_id": graph_id})).json()["items"] == []
    assert (await alice.delete(f"/api/executions/{ended['id']}")).status_code == 404
    await alice.post(f"/api/executions/{running['id']}/stop")


async def test_lists_go_on_where_the_page_before_ended(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(2))
    ids = [(await start(alice, graph_id))["id"] for _ in range(5)]

    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await alice.get("/api/executions", params=params)).json()
        seen += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert seen == ids[::-1]
    for bad in ("x", "W10", "%00", "WyIyMDI2IiwgIjEiXQ", "WzEsMl0", "W" * 600):
        assert (await alice.get("/api/executions", params={"cursor": bad})).status_code == 422
    assert (await alice.get("/api/executions", params={"status": "COMPLETED"})).json()["items"] == []
    assert (await alice.get("/api/executions", params={"status": "NONSENSE"})).status_code == 422
    assert (await alice.get("/api/executions", params={"limit": 201})).status_code == 422


async def test_without_credits_nothing_is_started(alice: httpx.AsyncClient, engine: Engine) -> None:
    graph_id = await save(alice, sums(2))
    user_id = (await alice.get("/api/user")).json()["id"]
    await engine.pool.execute("UPDATE users SET credits = 0 WHERE id = $1", user_id)

    refused = await alice.post(f"/api/graphs/{graph_id}/execute", json={"inputs": {}})

    assert refused.status_code == 402
    assert refused.json()["error"]["error_code"] == "INSUFFICIENT_CREDITS"
    assert refused.json()["error"]["details"] == {"required_credits": 1, "available_credits": 0}
    assert (await alice.get("/api/executions")).json()["items"] == []


async def test_a_block_is_tried_on_its_own(alice: httpx.AsyncClient, worker: None) -> None:
    path = "/api/blocks/calculator_block/execute"
    good = await alice.post(path, json={"inputs": {"operation": "Add", "a": 2, "b": 3}})
    bad = await alice.post(path, json={"inputs": {"operation": "Nonsense", "a": 2, "b": 3}})

    assert good.json() == {"outputs": {"result": [5]}, "cost": 0}
    assert bad.status_code == 400
    assert bad.json()["error"]["error_code"] == "INVALID_INPUT"
    assert (await alice.post("/api/blocks/no_such/execute", json={"inputs": {}})).status_code == 404


async def _running(caller: httpx.AsyncClient, execution_id: str) -> None:
    async def is_running() -> bool:
        return bool((await get(caller, execution_id))["status"] == "RUNNING")

    await eventually(is_running)


async def _is_recorded(engine: Engine, execution_id: str, status: str) -> bool:
    return await engine.find_status(execution_id) == status
