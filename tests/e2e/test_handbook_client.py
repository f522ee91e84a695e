"""The handbook's own client and example, word for word, and the same with the client of ours.

Against the real server and a stand-in language model.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from perdure import ApiError, AsyncClient, Client
from tests.e2e.rest import wait
from tests.processes import ServerProcess
from tests.stubs import LanguageModelStub


class AutoGPTClient:
    """The handbook's client."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url = base_url
        self.headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

    async def create_graph(self, graph_data: dict[str, Any]) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            response = await client.post(f"{self.base_url}/api/graphs", json=graph_data, headers=self.headers)
            response.raise_for_status()
            created: dict[str, Any] = response.json()
            return created

    async def execute_graph(self, graph_id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            response = await client.post(
                f"{self.base_url}/api/graphs/{graph_id}/execute",
                json={"inputs": inputs, "credentials_inputs": {}},
                headers=self.headers,
            )
            response.raise_for_status()
            execution: dict[str, Any] = response.json()
            return execution


GRAPH: dict[str, Any] = {
    "name": "Text summary",
    "description": "Summarises a text",
    "nodes": [
        {
            "id": "text_input",
            "block_id": "text_input_block",
            "input_default": {},
            "metadata": {"position": {"x": 100, "y": 100}},
        },
        {
            "id": "summarize",
            "block_id": "llm_call_block",
            "input_default": {
                "model": "gpt-4",
                "prompt": "Please summarise this text:\n\n{input_text}",
                "max_tokens": 150,
            },
            "metadata": {"position": {"x": 400, "y": 100}},
        },
    ],
    "links": [
        {
            "source_id": "text_input",
            "sink_id": "summarize",
            "source_name": "text",
            "sink_name": "input_text",
        }
    ],
}


async def test_the_handbooks_client_works_word_for_word(
    equipped: ServerProcess, model: LanguageModelStub
) -> None:
    model.answer = "In short: it works."
    client = AutoGPTClient(equipped.run_info.api_url, equipped.token())

    graph = await client.create_graph(GRAPH)
    execution = await client.execute_graph(graph["id"], {"text": "A long story."})

    async with equipped.client() as rest:
        ended = await wait(rest, execution["id"])
    assert ended["status"] == "COMPLETED", ended["error"]
    assert ended["outputs"]["response"] == ["In short: it works."]
    (asked,) = model.requests
    assert asked["model"] == "gpt-4"
    assert "A long story." in str(asked["messages"][-1]["content"])
    assert 150 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))


async def test_the_same_with_the_client_of_ours(equipped: ServerProcess, model: LanguageModelStub) -> None:
    model.answer = "In short: it works."
    async with AsyncClient(equipped.run_info.api_url, equipped.token()) as perdure:
        graph = await perdure.graphs.create(GRAPH)
        execution = await perdure.executions.start(graph["id"], {"text": "A long story."})
        ended = await perdure.executions.wait(execution["id"])
        events = [event async for event in perdure.executions.events(execution["id"])]
        fired = [row["node_id"] async for row in perdure.executions.nodes(execution["id"])]
        results = await perdure.executions.results(execution["id"])

        with pytest.raises(ApiError) as caught:
            await perdure.graphs.create({**GRAPH, "links": [{**GRAPH["links"][0], "sink_id": "nowhere"}]})
    assert ended["status"] == results["status"] == "COMPLETED", ended["error"]
    assert ended["outputs"]["response"] == results["outputs"]["response"] == ["In short: it works."]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "execution_completed"
    assert sorted(fired) == ["summarize", "text_input"]
    assert (caught.value.code, caught.value.status) == ("GRAPH_VALIDATION_ERROR", 400)
    assert caught.value.node_errors


async def test_the_same_without_asyncio(equipped: ServerProcess, model: LanguageModelStub) -> None:
    model.answer = "In short: it works."

    def run() -> tuple[str, list[Any], str]:
        with Client(equipped.run_info.api_url, equipped.token()) as perdure:
            graph = perdure.graphs.create(GRAPH)
            execution = perdure.executions.start(graph["id"], {"text": "A long story."}, wait_seconds=30)
            *_, last = perdure.executions.events(execution["id"])
            again = perdure.executions.rerun(execution["id"], from_nodes=["summarize"], confirm=True)
            stopped = perdure.executions.wait(again["id"])
            perdure.executions.delete(again["id"])
            perdure.graphs.delete(graph["id"])
            return last["type"], execution["outputs"]["response"], stopped["trigger"]

    assert await asyncio.to_thread(run) == ("execution_completed", ["In short: it works."], "rerun")
