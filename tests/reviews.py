"""Graphs that ask a person, and the few calls that every test of reviews makes."""

from __future__ import annotations

from typing import Any

import httpx

from tests.e2e.rest import events_of, graph, node, save, start
from tests.stack import eventually

PINS = ("approved_data", "rejected_data", "review_message", "timed_out")
LETTER = {"to": "a@example.org", "text": "Hello"}


def asking(data: Any, *, unlinked: str = "", **constants: Any) -> dict[str, Any]:
    """Return a graph that asks about a value, with one output for each pin of the review but one."""
    linked = [pin for pin in PINS if pin != unlinked]
    review = node("review", "human_in_the_loop_block", **{"data": data, "name": "Send it?", **constants})
    outputs = [node(pin, "agent_output_block", name=pin) for pin in linked]
    return graph([review, *outputs], [f"review.{pin} -> {pin}.value" for pin in linked])


async def reviews_of(client: httpx.AsyncClient, execution_id: str) -> list[dict[str, Any]]:
    """Return the reviews of an execution, newest first."""
    response = await client.get(f"/api/executions/{execution_id}/reviews")
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def asked(client: httpx.AsyncClient, execution_id: str) -> dict[str, Any]:
    """Wait until an execution asks; return its review."""
    items = await eventually(lambda: reviews_of(client, execution_id), timeout_seconds=30)
    assert len(items) == 1
    review: dict[str, Any] = items[0]
    return review


async def answer(client: httpx.AsyncClient, review: dict[str, Any], **body: Any) -> httpx.Response:
    """Answer a review over REST."""
    path = f"/api/executions/{review['execution_id']}/reviews/{review['node_execution_id']}"
    return await client.post(path, json=body)


async def ask(client: httpx.AsyncClient, data: Any = 1, **constants: Any) -> dict[str, Any]:
    """Start an execution that asks; return its review."""
    execution = await start(client, await save(client, asking(data, **constants)))
    return await asked(client, execution["id"])


async def types_of(client: httpx.AsyncClient, execution_id: str) -> list[str]:
    """Return what has happened in an execution."""
    return [event["type"] for event in await events_of(client, execution_id)]
