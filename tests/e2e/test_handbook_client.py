"""The handbook's own client and example, word for word, against the real server and a stand-in language model."""

from __future__ import annotations

from typing import Any

import httpx

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
