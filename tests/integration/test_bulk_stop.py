"""Stopping many executions at once."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import httpx
import pytest

from tests.e2e.rest import graph, node, save, start, sums, wait
from tests.stack import eventually


def timer() -> dict[str, Any]:
    nodes = [
        node("timer", "countdown_timer_block", input_message="done", seconds=600),
        node("out", "agent_output_block", name="result"),
    ]
    return graph(nodes, ["timer.output_message -> out.value"])


async def start_many(caller: httpx.AsyncClient, graph_id: str, count: int) -> list[str]:
    started = await asyncio.gather(*(start(caller, graph_id) for _ in range(count)))
    return [execution["id"] for execution in started]


async def stop(caller: httpx.AsyncClient, **named: Any) -> dict[str, int]:
    response = await caller.post("/api/executions/stop", json=named)
    assert response.status_code == 200, response.text
    counts: dict[str, int] = response.json()
    return counts


async def statuses(caller: httpx.AsyncClient, graph_id: str) -> set[str]:
    page = (await caller.get("/api/executions", params={"graph_id": graph_id, "limit": 200})).json()
    return {row["status"] for row in page["items"]}


async def test_everything_open_of_a_graph_is_stopped_and_nothing_else(
    alice: httpx.AsyncClient, worker: None
) -> None:
    graph_id, other_id = await save(alice, timer()), await save(alice, timer())
    await start_many(alice, graph_id, 20)
    (other,) = await start_many(alice, other_id, 1)

    counts = await stop(alice, graph_id=graph_id)

    assert counts == {
        "matched": 20, "requested": 20, "stopped": 20, "failed": 0, "ended": 0, "not_found": 0,
    }  # fmt: skip
    assert await statuses(alice, graph_id) == {"CANCELLED"}
    assert await statuses(alice, other_id) <= {"QUEUED", "RUNNING", "WAITING"}
    assert (await stop(alice, graph_id=graph_id))["matched"] == 0
    assert (await stop(alice, ids=[other]))["stopped"] == 1


async def test_what_is_somebody_elses_is_not_found_and_not_stopped(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, worker: None
) -> None:
    graph_id = await save(bob, timer())
    (bobs,) = await start_many(bob, graph_id, 1)
    ended = await start(alice, await save(alice, sums(2)), wait=20)

    counts = await stop(alice, ids=[bobs, str(uuid.uuid4()), "no id at all", ended["id"]])

    assert counts == {
        "matched": 0, "requested": 0, "stopped": 0, "failed": 0, "ended": 1, "not_found": 3,
    }  # fmt: skip
    assert (await stop(alice, graph_id=graph_id))["matched"] == 0
    assert await statuses(bob, graph_id) <= {"QUEUED", "RUNNING", "WAITING"}
    assert (await wait(alice, ended["id"]))["status"] == "COMPLETED"


@pytest.mark.parametrize("stop_deadline_seconds", [0.5])
async def test_what_is_queued_without_a_worker_is_stopped(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, timer())
    ids = await start_many(alice, graph_id, 50)
    began = time.monotonic()

    counts = await stop(alice, status="QUEUED", ids=ids)

    assert time.monotonic() - began < 60
    assert (counts["matched"], counts["stopped"]) == (50, 50)
    for execution_id in ids:
        assert (await wait(alice, execution_id))["status"] == "CANCELLED"


async def test_paused_executions_are_stopped(alice: httpx.AsyncClient, worker: None) -> None:
    graph_id = await save(alice, timer())
    (execution_id,) = await start_many(alice, graph_id, 1)
    assert (await alice.post(f"/api/executions/{execution_id}/pause")).json()["status"] == "PAUSED"

    assert (await stop(alice, status="PAUSED"))["stopped"] == 1

    await eventually(lambda: _is(alice, graph_id, "CANCELLED"))


async def _is(caller: httpx.AsyncClient, graph_id: str, status: str) -> bool:
    return await statuses(caller, graph_id) == {status}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": [1]},
        {"status": "WHATEVER"},
        {"graph_id": "none"},
        {"everything": True},
        {"ids": None},
    ],
    ids=str,
)
async def test_a_stop_must_name_what(alice: httpx.AsyncClient, body: dict[str, Any]) -> None:
    response = await alice.post("/api/executions/stop", json=body)

    assert response.status_code == 422
    assert response.json()["error"]["error_code"] == "INVALID_REQUEST"
