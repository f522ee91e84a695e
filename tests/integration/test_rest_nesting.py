"""Graphs that execute other graphs, over REST: what may be saved, what is shown, what is listed."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from tests.e2e.rest import graph, node, nodes_of, save, start, wait

AGENT = "e189baac-8c20-45a1-94a7-55177ea42565"


def adding() -> dict[str, Any]:
    """Return a graph that adds 1 to its input `x`, with another input that may be left out."""
    nodes = [
        node("in", "agent_number_input_block", name="x"),
        node("spare", "agent_input_block", name="spare", value=""),
        node("add", "calculator_block", operation="Add", b=1),
        node("out", "agent_output_block", name="y"),
    ]
    return graph(nodes, ["in.result -> add.a", "add.result -> out.value"])


def nesting(graph_id: str, *links: str, **constants: Any) -> dict[str, Any]:
    """Return a graph that executes another one and has an output `y`."""
    nodes = [
        node("agent", AGENT, graph_id=graph_id, **constants),
        node("out", "agent_output_block", name="y"),
    ]
    return graph(nodes, list(links) or ["agent.y -> out.value"])


async def problems_of(client: httpx.AsyncClient, body: dict[str, Any], graph_id: str = "") -> Any:
    """Return the node errors with which a graph is refused."""
    url = f"/api/graphs/{graph_id}" if graph_id else "/api/graphs"
    response = await client.request("PUT" if graph_id else "POST", url, json=body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["error_code"] == "GRAPH_VALIDATION_ERROR"
    return response.json()["error"]["details"]["node_errors"]


async def test_a_graph_shows_all_that_is_nested_in_it(alice: httpx.AsyncClient) -> None:
    lowest = await save(alice, adding())
    middle = await save(alice, nesting(lowest, inputs={"x": 1}, graph_version=1))
    twice = nesting(middle)
    twice["nodes"].append(node("again", AGENT, graph_id=lowest, inputs={"x": 2}))
    top = await save(alice, twice)

    saved = (await alice.get(f"/api/graphs/{top}")).json()
    listed = (await alice.get("/api/graphs")).json()["items"]

    assert [(nested["id"], nested["version"]) for nested in saved["sub_graphs"]] == [(middle, 1), (lowest, 1)]
    assert saved["sub_graphs"][1]["input_schema"]["required"] == ["x"]
    assert {each["id"]: len(each["sub_graphs"]) for each in listed} == {lowest: 0, middle: 1, top: 2}


async def test_a_node_names_a_graph_and_version_of_its_owner(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    own, theirs = await save(alice, adding()), await save(bob, adding())

    unknown = await problems_of(alice, nesting(str(uuid.uuid4()), inputs={"x": 1}))
    assert "You have no graph" in unknown["agent"]["graph_id"]
    foreign = await problems_of(alice, nesting(theirs, inputs={"x": 1}))
    assert foreign["agent"]["graph_id"] == unknown["agent"]["graph_id"].replace(
        unknown["agent"]["graph_id"].split("'")[1], theirs
    )
    assert "graph_id" in (await problems_of(alice, nesting("nonsense", inputs={"x": 1})))["agent"]
    assert "graph_id" in (await problems_of(alice, graph([node("agent", AGENT)], [])))["agent"]
    version = await problems_of(alice, nesting(own, graph_version=2, inputs={"x": 1}))
    assert version == {"agent": {"graph_version": "The graph 'test' has no version '2'"}}
    validated = await alice.post("/api/graphs/validate", json=nesting(theirs, inputs={"x": 1}))
    assert validated.json()["node_errors"] == foreign


async def test_pins_are_the_inputs_and_outputs_of_the_nested_graph(alice: httpx.AsyncClient) -> None:
    own = await save(alice, adding())
    body = nesting(own, "agent.z -> out.value", inputs={"w": 1}, text="stray")
    body["nodes"].append(node("value", "store_value_block", input=1))
    body["links"] += graph([], ["value.output -> agent.graph_id", "value.output -> agent.spare"])["links"]

    found = await problems_of(alice, body)

    assert set(found) == {"agent"}
    assert set(found["agent"]) == {"z", "inputs.w", "text", "graph_id", "x"}
    assert found["agent"]["z"] == "The graph 'test' has no output 'z'; it has 'y'"
    assert found["agent"]["x"] == "'x' is required: link it or give it a value in 'inputs'"


async def test_a_graph_that_contains_itself_is_refused(alice: httpx.AsyncClient) -> None:
    lowest = await save(alice, adding())
    middle = await save(alice, nesting(lowest, inputs={"x": 1}))
    top = await save(alice, nesting(middle))
    refusal = {"agent": {"graph_id": "The graph would contain itself"}}

    assert await problems_of(alice, nesting(lowest, inputs={"x": 1}), lowest) == refusal
    assert await problems_of(alice, nesting(lowest, inputs={"x": 1}, graph_version=1), lowest) == refusal
    assert await problems_of(alice, nesting(top), lowest) == refusal
    assert await problems_of(alice, nesting(top, graph_version=1), middle) == refusal


async def test_a_version_by_which_a_graph_would_contain_itself_is_not_made_active(
    alice: httpx.AsyncClient,
) -> None:
    first = await save(alice, adding())
    second = await save(alice, nesting(first, inputs={"x": 1}))
    plain = await alice.put(f"/api/graphs/{second}", json=adding())
    assert plain.status_code == 200
    changed = await alice.put(f"/api/graphs/{first}", json=nesting(second, inputs={"x": 1}))
    assert changed.status_code == 200, changed.text

    response = await alice.put(f"/api/graphs/{second}/versions/active", json={"active_graph_version": 1})

    assert response.status_code == 400
    assert response.json()["error"]["details"]["node_errors"] == {
        "agent": {"graph_id": "The graph would contain itself"}
    }


async def test_graphs_are_nested_no_deeper_than_they_may_be(alice: httpx.AsyncClient) -> None:
    below = await save(alice, nesting(await save(alice, adding()), inputs={"x": 1}))
    for _ in range(7):
        below = await save(alice, nesting(below))

    found = await problems_of(alice, nesting(below))

    assert found == {"agent": {"graph_id": "Graphs can be nested 8 deep; this is deeper"}}


@pytest.mark.usefixtures("worker")
async def test_a_nested_execution_has_a_record_of_its_own(alice: httpx.AsyncClient) -> None:
    inner = await save(alice, adding())
    execution = await start(alice, await save(alice, nesting(inner, inputs={"x": 41})), wait=30)

    assert execution["outputs"] == {"y": [42]}
    [agent] = (await nodes_of(alice, execution["id"]))["agent"]
    nested = (await alice.get(f"/api/executions/{agent['nested_execution_id']}")).json()
    assert (nested["parent_id"], nested["trigger"]) == (execution["id"], "subgraph")
    assert (nested["graph_id"], nested["inputs"], nested["outputs"]) == (inner, {"x": 41}, {"y": [42]})
    assert agent["outputs"] == {"y": [42]}
    plain = (await alice.get("/api/executions")).json()["items"]
    assert [row["id"] for row in plain] == [execution["id"]]
    for wanted in ({"trigger": "subgraph"}, {"parent_id": execution["id"]}):
        listed = (await alice.get("/api/executions", params=wanted)).json()["items"]
        assert [row["id"] for row in listed] == [nested["id"]]


@pytest.mark.usefixtures("worker")
async def test_the_version_that_is_active_when_the_node_fires_is_executed(alice: httpx.AsyncClient) -> None:
    inner = await save(alice, adding())
    floating = await save(alice, nesting(inner, inputs={"x": 1}))
    fixed = await save(alice, nesting(inner, inputs={"x": 1}, graph_version=1))
    changed = adding()
    changed["nodes"][2]["input_default"]["b"] = 100
    assert (await alice.put(f"/api/graphs/{inner}", json=changed)).status_code == 200

    assert (await start(alice, floating, wait=30))["outputs"] == {"y": [101]}
    assert (await start(alice, fixed, wait=30))["outputs"] == {"y": [2]}


@pytest.mark.usefixtures("worker")
async def test_a_deleted_graph_is_executed_by_those_that_nest_it_and_by_no_others(
    alice: httpx.AsyncClient,
) -> None:
    inner = await save(alice, adding())
    outer = await save(alice, nesting(inner, inputs={"x": 1}))
    assert (await alice.delete(f"/api/graphs/{inner}")).status_code == 204

    assert (await start(alice, outer, wait=30))["outputs"] == {"y": [2]}
    assert "graph_id" in (await problems_of(alice, nesting(inner, inputs={"x": 1})))["agent"]


@pytest.mark.usefixtures("worker")
async def test_a_block_that_executes_a_graph_is_not_tried_alone(alice: httpx.AsyncClient) -> None:
    response = await alice.post(f"/api/blocks/{AGENT}/execute", json={"inputs": {}})
    assert response.json()["error"]["error_code"] == "NOT_SUPPORTED"


@pytest.mark.usefixtures("worker")
async def test_a_graph_that_is_executed_by_a_stranger_is_not_found(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    execution = await start(alice, await save(alice, nesting(await save(alice, adding()), inputs={"x": 1})))
    await wait(alice, execution["id"])
    listed = (await bob.get("/api/executions", params={"parent_id": execution["id"]})).json()
    assert listed["items"] == []
