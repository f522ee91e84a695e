"""Analyses and estimates over REST, against what executions really cost."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from app.blocks.base import BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.context import BlockContext
from app.blocks.registry import BlockRegistry
from app.graph.costs import Cost
from tests.credentials import keep
from tests.e2e.rest import graph, link, node, save, start, sums, wait
from tests.engine import Engine
from tests.rest_api import run_api
from tests.stubs import LanguageModelStub


@pytest.fixture
async def worker(engine: Engine, language_model: LanguageModelStub) -> AsyncIterator[None]:
    """A worker that asks the stub."""
    async with engine.worker(llm_base_url=language_model.url):
        yield


async def analyze(client: httpx.AsyncClient, graph_id: str, **params: Any) -> dict[str, Any]:
    response = await client.get(f"/api/graphs/{graph_id}/analysis", params=params)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def estimate(client: httpx.AsyncClient, graph_id: str, **body: Any) -> dict[str, Any]:
    response = await client.post(f"/api/graphs/{graph_id}/estimate", json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def asking_twice() -> dict[str, Any]:
    """Return a graph whose input decides which model is asked, twice."""
    nodes = [
        node("model", "agent_short_text_input_block", name="model", value="gpt-4o-mini"),
        node("first", "ai_text_generator_block", prompt="p"),
        node("second", "ai_text_generator_block"),
        node("out", "agent_output_block", name="answer"),
    ]
    links = ["model.result -> first.model", "model.result -> second.model", "first.response -> second.prompt"]
    return graph(nodes, [*links, "second.response -> out.value"])


async def test_the_shape_of_a_graph_is_told(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(3))

    found = await analyze(alice, graph_id)

    assert (found["node_count"], found["link_count"], found["max_depth"]) == (4, 3, 4)
    assert found["batches"] == [["n0"], ["n1"], ["n2"], ["out"]]
    assert found["critical_path"] == ["n0", "n1", "n2", "out"]
    assert (found["loops"], found["bottlenecks"], found["optimization_suggestions"]) == ([], [], [])
    await alice.put(f"/api/graphs/{graph_id}", json=sums(12))
    assert [each["code"] for each in (await analyze(alice, graph_id))["optimization_suggestions"]] == [
        "ADD_PARALLEL_BRANCHES"
    ]
    assert (await analyze(alice, graph_id, version=1))["max_depth"] == 4
    assert (await alice.get(f"/api/graphs/{graph_id}/analysis?version=3")).status_code == 404
    assert (await alice.post(f"/api/graphs/{graph_id}/estimate", json={"version": 3})).status_code == 404


async def test_a_graph_of_free_blocks_costs_nothing_and_nothing_is_executed(alice: httpx.AsyncClient) -> None:
    found = await estimate(alice, await save(alice, sums(3)))

    assert found["total_credits"] == {"min": 0, "expected": 0, "max": 0}
    assert found["is_bounded"] is True
    assert found["node_costs"]["n0"]["executions"] == 1
    assert found["critical_path_time"] == found["estimated_time"] > 0
    assert [each["code"] for each in found["warnings"]] == ["NO_HISTORY"]
    assert (await alice.get("/api/executions")).json()["items"] == []


async def test_inputs_are_checked_as_when_a_graph_is_executed(alice: httpx.AsyncClient) -> None:
    path = f"/api/graphs/{await save(alice, asking_twice())}"
    bodies: list[dict[str, Any]] = [
        {"inputs": {"nonsense": 1}},
        {"inputs": {"model": {}}},
        {"credentials_inputs": {"x": "y"}},
    ]
    for body in bodies:
        executed = await alice.post(f"{path}/execute", json=body)
        estimated = await alice.post(f"{path}/estimate", json=body)
        assert (executed.status_code, estimated.status_code) == (400, 400)
        assert estimated.json()["error"]["details"] == executed.json()["error"]["details"]


async def test_the_price_goes_by_the_inputs_and_by_whose_key_is_used(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, asking_twice())
    key = await keep(alice, "api_key", "a key of one's own", provider="openai")
    (name,) = (await alice.get(f"/api/graphs/{graph_id}")).json()["credentials_input_schema"]["properties"]

    cheap = await estimate(alice, graph_id)
    dear = await estimate(alice, graph_id, inputs={"model": "gpt-4o"})
    own = await estimate(alice, graph_id, inputs={"model": "gpt-4o"}, credentials_inputs={name: key})

    assert cheap["total_credits"]["expected"] == 1 + cheap["node_costs"]["first"]["credits"]
    assert dear["node_costs"]["first"]["credits"] == 3
    assert dear["total_credits"]["max"] is None
    assert {"COST_BY_USE", "NO_HISTORY"} == {each["code"] for each in dear["warnings"]}
    assert own["total_credits"] == {"min": 0, "expected": 0, "max": 0}


@pytest.mark.usefixtures("worker")
async def test_after_an_execution_the_estimate_is_what_it_cost(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, asking_twice())
    before = await estimate(alice, graph_id)
    ended = await wait(alice, (await start(alice, graph_id))["id"])
    assert ended["status"] == "COMPLETED", ended["error"]
    after = await estimate(alice, graph_id)

    for each in (before, after):
        assert each["total_credits"]["min"] <= ended["cost"]
    assert ended["cost"] > 0
    assert after["total_credits"]["expected"] == ended["cost"]
    assert (before["executions_recorded"], after["executions_recorded"]) == (0, 1)
    assert after["estimated_time"] == pytest.approx(ended["stats"]["duration"], abs=0.01)
    assert "first" in after["critical_path"]
    assert (await analyze(alice, graph_id))["executions_recorded"] == 1


class Errand(RemoteBlock):
    """Runs an errand at a price that is known before."""

    id = "6b2f7b5e-55d1-4b62-8a6b-3f8b0d0e7a11"
    costs = (Cost(credits=5, filter={"is_far": True}), Cost(credits=2))

    class Input(BlockInput):
        """Where to."""

        is_far: bool = False
        begin: Any = None

    class Output(BlockOutput):
        """What came of it."""

        done: bool

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Run it."""
        yield "done", True


@pytest.fixture
async def carol(engine: Engine, client: Client) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that knows errands, with a worker that runs them."""
    registry = engine.registry = BlockRegistry([*engine.registry, Errand()])

    async def connect() -> Client:
        return client

    async with (
        run_api(engine.database_url, connect, task_queue=engine.task_queue, registry=registry) as api,
        engine.worker(),
        api.caller() as caller,
    ):
        yield caller


def errands() -> dict[str, Any]:
    """Return a graph that may run two of three errands."""
    nodes = [
        node("first", "errand"),
        node("far", "errand", is_far=True),
        node("if", "condition_block", operator="==", value2=True),
        node("never", "errand"),
        node("out", "agent_output_block", name="done"),
    ]
    links = ["first.done -> far.begin", "far.done -> if.value1", "if.no_output -> never.begin"]
    return graph(nodes, [*links, "far.done -> out.value"])


async def test_what_it_costs_lies_between_the_least_and_the_most(carol: httpx.AsyncClient) -> None:
    graph_id = await save(carol, errands())
    total = (await estimate(carol, graph_id))["total_credits"]
    ended = await wait(carol, (await start(carol, graph_id))["id"])

    assert ended["status"] == "COMPLETED", ended["error"]
    assert total == {"min": 2, "expected": 9, "max": 9}
    assert ended["cost"] == 7
    assert (await estimate(carol, graph_id))["total_credits"] == {"min": 2, "expected": 7, "max": 9}


async def test_nested_graphs_are_part_of_the_estimate(carol: httpx.AsyncClient) -> None:
    inner = await save(carol, errands())
    body = graph([node(name, "agent_executor_block", graph_id=inner) for name in ("a", "b")], [])
    outer = await save(carol, body)

    found = await estimate(carol, outer)
    ended = await wait(carol, (await start(carol, outer))["id"])

    assert found["total_credits"] == {"min": 4, "expected": 18, "max": 18}
    assert found["node_costs"]["a"]["credits"] == 9
    assert found["node_costs"]["a"]["time"] > 0
    assert (ended["status"], ended["cost"]) == ("COMPLETED", 14)


async def test_what_goes_round_or_comes_in_any_number_has_no_most(carol: httpx.AsyncClient) -> None:
    loop = graph([node("start", "errand"), node("again", "errand")], [])
    loop["links"] = [link("start.done -> again.begin"), link("again.done -> again.begin")]
    items = graph(
        [node("each", "step_through_items_block", items=[1, 2, 3]), node("errand", "errand")],
        ["each.item -> errand.begin"],
    )
    graph_id = ""
    for body, node_id in ((loop, "again"), (items, "errand")):
        graph_id = await save(carol, body)
        found = await estimate(carol, graph_id)
        assert found["total_credits"]["max"] is None
        assert found["is_bounded"] is False
        assert found["node_costs"][node_id]["is_unbounded"] is True
        assert ["UNBOUNDED", [node_id]] in [[each["code"], each["node_ids"]] for each in found["warnings"]]
    ended = await wait(carol, (await start(carol, graph_id))["id"])
    assert ended["cost"] == 6
    assert (await estimate(carol, graph_id))["node_costs"]["errand"]["executions"] == 3


async def test_a_stranger_learns_nothing(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(1))
    for missing in (graph_id, str(uuid.uuid4())):
        assert (await bob.get(f"/api/graphs/{missing}/analysis")).status_code == 404
        assert (await bob.post(f"/api/graphs/{missing}/estimate", json={})).status_code == 404
