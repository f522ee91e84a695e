"""The blocks over REST: listed, searched, described, and turned off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from app.blocks.choice import BlockChoice
from app.blocks.registry import BLOCK_CLASSES, BlockRegistry
from tests.e2e.nesting import nested_in, nesting
from tests.e2e.rest import graph, link, node, nodes_of, save, start, wait
from tests.engine import Engine
from tests.rest_api import RestApi, run_api
from tests.stubs import LanguageModelStub

AGENTS = Path(__file__).parents[1] / "fixtures/agents"
OFF = "CalculatorBlock"
CALL = {"inputs": {"operation": "Add", "a": 1, "b": 2}}


@pytest.fixture
async def strict(engine: Engine, client: Client) -> AsyncIterator[RestApi]:
    """A second API for the same users, on which one block is turned off."""

    async def connect() -> Client:
        return client

    choice = BlockChoice(disabled=frozenset({OFF}))
    async with run_api(engine.database_url, connect, task_queue=engine.task_queue, blocks=choice) as running:
        yield running


@pytest.fixture
async def strict_alice(strict: RestApi, alice: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """The same user at the second API."""
    token = alice.headers["Authorization"].removeprefix("Bearer ")
    async with strict.caller(token=token) as caller:
        yield caller


@pytest.fixture
async def strict_worker(engine: Engine) -> AsyncIterator[None]:
    """A worker that has the block turned off, whatever an API says."""
    engine.registry = BlockRegistry([engine.probe, *(make() for make in BLOCK_CLASSES)], disabled=[OFF])
    async with engine.worker():
        yield


async def blocks(caller: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    response = await caller.get("/api/blocks", params=params)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def names(caller: httpx.AsyncClient, **params: Any) -> list[str]:
    return [block["name"] for block in await blocks(caller, **params)]


class TestTheList:
    async def test_every_block_is_described_in_full(self, alice: httpx.AsyncClient) -> None:
        every = await blocks(alice)

        assert len(every) == len(BLOCK_CLASSES)
        for block in every:
            pins = block["input_schema"].get("properties", {}) | block["output_schema"].get("properties", {})
            assert all(pin["title"] for pin in pins.values()), block["name"]
            assert set(block["credentials"]) <= set(block["input_schema"].get("properties", {}))
            assert block["lane"] in {"local", "remote", "timer", "hold"}
            assert block["effect"] in {"pure", "keyed", "unkeyed"}
            assert block["is_enabled"] is (block["disabled_reason"] is None)
            assert ("error" in block["output_schema"].get("properties", {})) is (
                block["kind"] not in {"input", "output"}
            )

    async def test_the_best_fitting_block_comes_first(self, alice: httpx.AsyncClient) -> None:
        assert (await names(alice, q="condition"))[0] == "ConditionBlock"
        assert (await names(alice, q="agent output"))[0] == "AgentOutputBlock"
        assert (await names(alice, q="template text"))[0] == "FillTextTemplateBlock"

    async def test_a_block_is_found_by_a_pin(self, alice: httpx.AsyncClient) -> None:
        assert "IfInputMatchesBlock" in await names(alice, q="no_value")
        assert await names(alice, q="no_such_pin_at_all") == []

    async def test_every_word_has_to_fit_and_so_does_the_category(self, alice: httpx.AsyncClient) -> None:
        assert await names(alice, q="calculator nonsense") == []
        assert "CalculatorBlock" in await names(alice, q="calculator", category="logic")
        assert "CalculatorBlock" not in await names(alice, q="calculator", category="ai")

    @pytest.mark.parametrize("q", ["", "list"])
    async def test_pages_are_the_list_in_pieces(self, alice: httpx.AsyncClient, q: str) -> None:
        pieces: list[str] = []
        params: dict[str, Any] = {"q": q, "limit": 7}
        while params.get("cursor", "first") is not None:
            page = (await alice.get("/api/blocks", params=params)).json()
            assert len(page["items"]) <= 7
            pieces += [block["name"] for block in page["items"]]
            params["cursor"] = page["next_cursor"]

        assert pieces == await names(alice, q=q)
        assert len(pieces) > 7

    @pytest.mark.parametrize(
        "params", [{"limit": 0}, {"limit": 201}, {"cursor": "nonsense"}, {"cursor": "WzFd"}]
    )
    async def test_what_leads_to_no_page_is_refused(
        self, alice: httpx.AsyncClient, params: dict[str, Any]
    ) -> None:
        assert (await alice.get("/api/blocks", params=params)).status_code == 422

    async def test_a_list_that_has_not_changed_is_not_sent_again(self, alice: httpx.AsyncClient) -> None:
        first = await alice.get("/api/blocks")
        again = await alice.get("/api/blocks", headers={"If-None-Match": first.headers["ETag"]})
        other = await alice.get(
            "/api/blocks", params={"q": "list"}, headers={"If-None-Match": first.headers["ETag"]}
        )

        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
        assert other.status_code == 200
        assert other.headers["ETag"] != first.headers["ETag"]


class TestABlockOnItsOwn:
    async def test_inputs_that_do_not_fit_are_named(self, alice: httpx.AsyncClient, worker: None) -> None:
        response = await alice.post(
            "/api/blocks/calculator_block/execute", json={"inputs": {"operation": "Guess", "a": 1}}
        )

        error = response.json()["error"]
        assert (response.status_code, error["error_code"]) == (400, "INVALID_INPUT")
        assert set(error["details"]["fields"]) == {"operation", "b"}

    async def test_a_remote_block_is_executed(self, alice: httpx.AsyncClient, worker: None) -> None:
        response = await alice.post(
            "/api/blocks/get_current_date_block/execute", json={"inputs": {"trigger": "now"}}
        )

        assert response.status_code == 200, response.text
        assert len(response.json()["outputs"]["date"]) == 1


class TestABlockThatIsOff:
    async def test_it_is_listed_with_the_reason(
        self, alice: httpx.AsyncClient, strict_alice: httpx.AsyncClient
    ) -> None:
        assert (await alice.get(f"/api/blocks/{OFF}")).json()["is_enabled"] is True
        block = next(block for block in await blocks(strict_alice) if block["name"] == OFF)
        assert block["is_enabled"] is False
        assert block["disabled_reason"] == f"{OFF} is turned off on this server"
        assert (await strict_alice.get(f"/api/blocks/{OFF}")).json() == block

    async def test_it_is_not_executed_on_its_own(self, strict_alice: httpx.AsyncClient, worker: None) -> None:
        response = await strict_alice.post(f"/api/blocks/{OFF}/execute", json=CALL)

        assert response.status_code == 403
        assert response.json()["error"]["error_code"] == "BLOCK_DISABLED"

    async def test_the_worker_refuses_it_too(self, alice: httpx.AsyncClient, strict_worker: None) -> None:
        response = await alice.post(f"/api/blocks/{OFF}/execute", json=CALL)

        assert response.status_code == 403
        assert response.json()["error"]["error_code"] == "BLOCK_DISABLED"

    async def test_no_graph_with_it_is_saved(
        self, alice: httpx.AsyncClient, strict_alice: httpx.AsyncClient
    ) -> None:
        graph_id = await save(alice, sum_and_text())
        created = await strict_alice.post("/api/graphs", json=sum_and_text())
        changed = await strict_alice.put(f"/api/graphs/{graph_id}", json=sum_and_text())
        checked = await strict_alice.post("/api/graphs/validate", json=sum_and_text())

        assert created.status_code == changed.status_code == 400
        for node_errors in (
            created.json()["error"]["details"]["node_errors"],
            changed.json()["error"]["details"]["node_errors"],
            checked.json()["node_errors"],
        ):
            assert node_errors == {"sum": {"block_id": f"{OFF} is turned off on this server"}}

    async def test_in_a_graph_of_before_its_node_fails_and_the_rest_runs(
        self, alice: httpx.AsyncClient, strict_alice: httpx.AsyncClient, strict_worker: None
    ) -> None:
        graph_id = await save(alice, sum_and_text())

        ended = await wait(strict_alice, (await start(strict_alice, graph_id))["id"])

        assert ended["status"] == "FAILED"
        assert ended["error"]["code"] == "BLOCK_DISABLED"
        assert ended["outputs"] == {"text": ["b"]}
        (failed,) = (await nodes_of(strict_alice, ended["id"]))["sum"]
        assert failed["error"] == {"code": "BLOCK_DISABLED", "message": f"{OFF} is turned off on this server"}
        again = await strict_alice.post(f"/api/executions/{ended['id']}/rerun", json={})
        assert again.status_code == 200
        repeated = await wait(strict_alice, again.json()["id"])
        assert repeated["error"]["code"] == "BLOCK_DISABLED"

    async def test_its_failure_leads_on_over_error_links(
        self, alice: httpx.AsyncClient, strict_worker: None
    ) -> None:
        body = sum_and_text()
        body["nodes"].append(node("why", "agent_output_block", name="why"))
        body["links"].append(link("sum.error -> why.value"))

        ended = await wait(alice, (await start(alice, await save(alice, body)))["id"])

        assert ended["status"] == "COMPLETED"
        assert ended["outputs"]["why"] == [f"{OFF} is turned off on this server"]

    async def test_it_is_not_executed_in_a_nested_graph(
        self, alice: httpx.AsyncClient, strict_worker: None
    ) -> None:
        child = await save(alice, sum_and_text())
        parent = await save(alice, nesting(child, "agent.error -> why.value"))

        ended = await wait(alice, (await start(alice, parent))["id"])

        assert (await nested_in(alice, ended["id"]))["error"]["code"] == "BLOCK_DISABLED"
        assert "sum" not in ended["outputs"]

    async def test_a_model_that_calls_it_as_a_tool_is_told_that_it_is_off(
        self, alice: httpx.AsyncClient, engine: Engine, language_model: LanguageModelStub
    ) -> None:
        def model(asked: dict[str, Any]) -> str | dict[str, Any]:
            told = [message["content"] for message in asked["messages"] if message["role"] == "tool"]
            if told:
                return f"It says: {told[0]}"
            called = {"name": asked["tools"][0]["function"]["name"], "arguments": '{"a": 1, "b": 2}'}
            return {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": called}],
            }

        language_model.answer = model
        nodes = [
            node("boss", "orchestrator_block", prompt="Add 1 and 2", agent_mode_max_iterations=-1),
            node("sum", OFF, operation="Add"),
            node("out", "agent_output_block", name="answer"),
        ]
        links = ["boss.tools -> sum.a", "boss.tools -> sum.b", "boss.finished -> out.value"]
        graph_id = await save(alice, graph(nodes, links))
        engine.registry = BlockRegistry([engine.probe, *(make() for make in BLOCK_CLASSES)], disabled=[OFF])

        async with engine.worker(llm_base_url=language_model.url):
            ended = await wait(alice, (await start(alice, graph_id))["id"])

        assert ended["status"] == "COMPLETED", ended["error"]
        assert f"{OFF} is turned off on this server" in ended["outputs"]["answer"][0]
        (called,) = (await nodes_of(alice, ended["id"]))["sum"]
        assert called["error"]["code"] == "BLOCK_DISABLED"

    async def test_an_agent_file_with_it_comes_in_with_a_warning(
        self, strict_alice: httpx.AsyncClient, strict_worker: None
    ) -> None:
        file = json.loads((AGENTS / "counts_for_each.json").read_text())

        response = await strict_alice.post("/api/graphs/import", json=file)

        assert response.status_code == 201, response.text
        codes = [change["code"] for change in response.json()["report"]["changes"]]
        assert "block_disabled" in codes
        ended = await wait(strict_alice, (await start(strict_alice, response.json()["graph"]["id"]))["id"])
        assert (ended["status"], ended["outputs"].get("counted")) == ("FAILED", None)


def sum_and_text() -> dict[str, Any]:
    """Return a graph of two parts: one with the block, one without."""
    nodes = [
        node("sum", OFF, operation="Add", a=1, b=2),
        node("text", "text_replace_block", text="a", old="a", new="b"),
        node("sum_out", "agent_output_block", name="sum"),
        node("text_out", "agent_output_block", name="text"),
    ]
    return graph(nodes, ["sum.result -> sum_out.value", "text.output -> text_out.value"])
