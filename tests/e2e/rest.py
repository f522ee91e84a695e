"""Small graphs, and the few REST calls that every end-to-end test makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from tests.stack import eventually

TERMINAL = {"COMPLETED", "FAILED", "CANCELLED"}


def node(name: str, block: str, /, **constants: Any) -> dict[str, Any]:
    """Return a node; `metadata` is its metadata, everything else a constant."""
    metadata = constants.pop("metadata", {})
    return {"id": name, "block_id": block, "input_default": constants, "metadata": metadata}


def link(text: str) -> dict[str, Any]:
    """Return a link from `a.out -> b.in`, or a static one from `a.out => b.in`."""
    arrow = "=>" if "=>" in text else "->"
    (source_id, source_name), (sink_id, sink_name) = (end.strip().split(".", 1) for end in text.split(arrow))
    return {
        "source_id": source_id,
        "source_name": source_name,
        "sink_id": sink_id,
        "sink_name": sink_name,
        **({"is_static": True} if arrow == "=>" else {}),
    }


def graph(nodes: list[dict[str, Any]], links: list[str]) -> dict[str, Any]:
    """Return the body of `POST /api/graphs`."""
    return {"name": "test", "description": "", "nodes": nodes, "links": [link(text) for text in links]}


def sums(size: int = 5) -> dict[str, Any]:
    """Return a graph that counts to its size."""
    nodes = [node("n0", "calculator_block", operation="Add", a=0, b=1)]
    nodes += [node(f"n{k}", "calculator_block", operation="Add", b=1) for k in range(1, size)]
    nodes.append(node("out", "agent_output_block", name="sum"))
    links = [f"n{k}.result -> n{k + 1}.a" for k in range(size - 1)]
    return graph(nodes, [*links, f"n{size - 1}.result -> out.value"])


def requests(url: str, *paths: str) -> dict[str, Any]:
    """Return a graph that makes web requests one after the other, each set off by the one before."""
    nodes = [node("r0", "send_web_request_block", url=url + paths[0], method="GET")]
    links = []
    for number, path in enumerate(paths[1:], 1):
        nodes.append(node(f"r{number}", "send_web_request_block", url=url + path, method="GET"))
        links.append(f"r{number - 1}.response -> r{number}.body")
    nodes.append(node("out", "agent_output_block", name="last"))
    return graph(nodes, [*links, f"r{len(paths) - 1}.response -> out.value"])


async def save(client: httpx.AsyncClient, body: Mapping[str, Any]) -> str:
    """Save a graph; return its id."""
    response = await client.post("/api/graphs", json=body)
    assert response.status_code == 201, response.text
    graph_id: str = response.json()["id"]
    return graph_id


async def start(
    client: httpx.AsyncClient, graph_id: str, inputs: Mapping[str, Any] | None = None, **params: Any
) -> dict[str, Any]:
    """Execute a graph; return the execution. A Temporal that another test has killed may need a moment to be there."""
    answers: list[httpx.Response] = []

    async def is_answered() -> bool:
        path = f"/api/graphs/{graph_id}/execute"
        answers.append(await client.post(path, json={"inputs": dict(inputs or {})}, params=params))
        return answers[-1].status_code != 503

    await eventually(is_answered)
    response = answers[-1]
    assert response.status_code == 200, response.text
    execution: dict[str, Any] = response.json()
    return execution


async def get(client: httpx.AsyncClient, execution_id: str) -> dict[str, Any]:
    """Return an execution as it now stands."""
    response = await client.get(f"/api/executions/{execution_id}")
    assert response.status_code == 200, response.text
    execution: dict[str, Any] = response.json()
    return execution


async def wait(client: httpx.AsyncClient, execution_id: str, timeout_seconds: float = 60) -> dict[str, Any]:
    """Wait until an execution has ended; return it."""

    async def ended() -> dict[str, Any]:
        execution = await get(client, execution_id)
        return execution if execution["status"] in TERMINAL else {}

    return await eventually(ended, timeout_seconds=timeout_seconds)


async def nodes_of(client: httpx.AsyncClient, execution_id: str) -> dict[str, list[dict[str, Any]]]:
    """Return the node executions by node."""
    response = await client.get(f"/api/executions/{execution_id}/nodes", params={"limit": 200})
    assert response.status_code == 200, response.text
    by_node: dict[str, list[dict[str, Any]]] = {}
    for row in response.json()["items"]:
        by_node.setdefault(row["node_id"], []).append(row)
    return by_node


async def events_of(client: httpx.AsyncClient, execution_id: str) -> list[dict[str, Any]]:
    """Return the whole event log."""
    events: list[dict[str, Any]] = []
    while True:
        after = events[-1]["seq"] if events else 0
        response = await client.get(f"/api/executions/{execution_id}/events", params={"after": after})
        assert response.status_code == 200, response.text
        page = response.json()["items"]
        events += page
        if not page:
            return events


async def assert_whole_log(client: httpx.AsyncClient, execution_id: str) -> list[dict[str, Any]]:
    """Check that the event log has neither hole nor double and ends with the end; return it."""
    events = await events_of(client, execution_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] in {"execution_completed", "execution_failed", "execution_cancelled"}
    return events
