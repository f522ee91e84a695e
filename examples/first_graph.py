"""Save a graph, execute it and print what comes out."""

import asyncio
import os

import httpx

BASE_URL = os.environ.get("PERDURE_API_URL", "http://localhost:8000")
API_KEY = os.environ["PERDURE_API_KEY"]

GRAPH = {
    "name": "Greeting",
    "description": "Greet somebody by name.",
    "nodes": [
        {
            "id": "name",
            "block_id": "agent_input_block",
            "input_default": {"name": "name"},
            "metadata": {"position": {"x": 0, "y": 0}},
        },
        {
            "id": "greet",
            "block_id": "fill_text_template_block",
            "input_default": {"format": "Hello, {{name}}!"},
            "metadata": {"position": {"x": 300, "y": 0}},
        },
        {
            "id": "greeting",
            "block_id": "agent_output_block",
            "input_default": {"name": "greeting"},
            "metadata": {"position": {"x": 600, "y": 0}},
        },
    ],
    "links": [
        {
            "source_id": "name",
            "source_name": "result",
            "sink_id": "greet",
            "sink_name": "values_#_name",
        },
        {
            "source_id": "greet",
            "source_name": "output",
            "sink_id": "greeting",
            "sink_name": "value",
        },
    ],
}


async def main() -> None:
    """Do it once."""
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=BASE_URL, headers=headers, timeout=60) as client:
        response = await client.post("/api/graphs", json=GRAPH)
        response.raise_for_status()
        graph = response.json()

        response = await client.post(
            f"/api/graphs/{graph['id']}/execute",
            params={"wait": 30},
            json={"inputs": {"name": "world"}, "credentials_inputs": {}},
        )
        response.raise_for_status()
        execution = response.json()

        response = await client.get(f"/api/executions/{execution['id']}/results")
        response.raise_for_status()
        print(response.json())


if __name__ == "__main__":
    asyncio.run(main())
