"""Graphs that are called by a name: published, called like functions, and documented as such."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import httpx
import pytest

from tests.api_keys import holding, make_key
from tests.e2e.rest import graph, node, save
from tests.engine import Engine
from tests.rest_api import RestApi
from tests.stack import eventually


def adder() -> dict[str, Any]:
    """Return a graph that adds `a` and `b`, of which `b` has a default."""
    nodes = [
        node("a", "agent_number_input_block", name="a", title="First", description="The first summand."),
        node("b", "agent_number_input_block", name="b", value=1),
        node("add", "calculator_block", operation="Add"),
        node("out", "agent_output_block", name="sum"),
    ]
    return graph(nodes, ["a.result -> add.a", "b.result -> add.b", "add.result -> out.value"])


def dividing() -> dict[str, Any]:
    """Return a graph that fails for `b` of zero."""
    body = adder()
    body["nodes"][2]["input_default"]["operation"] = "Divide"
    return body


def waiting_for_a_person() -> dict[str, Any]:
    return graph([node("ask", "human_in_the_loop_block", data={}, name="x")], [])


async def publish(client: httpx.AsyncClient, body: dict[str, Any], slug: str, **more: Any) -> str:
    """Save a graph and publish it; return its id."""
    graph_id = await save(client, body)
    response = await client.put(f"/api/graphs/{graph_id}/publication", json={"slug": slug, **more})
    assert response.status_code == 200, response.text
    return graph_id


def code_of(response: httpx.Response) -> str:
    code: str = response.json()["error"]["error_code"]
    return code


@pytest.mark.usefixtures("worker")
async def test_a_published_graph_is_called_like_a_function(alice: httpx.AsyncClient) -> None:
    graph_id = await publish(alice, adder(), "add-two")
    answer = await alice.post("/api/run/add-two", json={"a": 2, "b": 3})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["outputs"]) == ("COMPLETED", {"sum": [5]})
    execution = (await alice.get(answer.headers["Location"])).json()
    assert execution["id"] == answer.headers["X-Perdure-Execution-Id"] == answer.json()["execution_id"]
    assert (execution["graph_id"], execution["trigger"]) == (graph_id, "api")
    refused = await alice.post("/api/run/add-two", json={"a": "no number"})
    assert (refused.status_code, code_of(refused)) == (400, "GRAPH_VALIDATION_ERROR")
    assert (await alice.post("/api/run/add-two", json=[1])).status_code == 422


@pytest.mark.usefixtures("worker")
async def test_what_fails_is_told_by_the_status_of_the_answer(alice: httpx.AsyncClient) -> None:
    await publish(alice, dividing(), "divide")
    failed = await alice.post("/api/run/divide", json={"a": 1, "b": 0})
    assert (failed.status_code, code_of(failed)) == (424, "EXECUTION_FAILED")
    details = failed.json()["error"]["details"]
    assert details["status"] == "FAILED"
    assert details["error"]["node_id"] == "add"
    assert (await alice.get(f"/api/executions/{details['execution_id']}")).json()["status"] == "FAILED"
