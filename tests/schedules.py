"""Schedules as tests make and watch them. They do not fire by themselves unless a test says otherwise."""

from __future__ import annotations

from typing import Any

import httpx

from tests.e2e.rest import graph, node
from tests.stack import eventually

YEARLY = {"cron": "0 0 1 1 *"}


async def schedule(client: httpx.AsyncClient, graph_id: str, **body: Any) -> dict[str, Any]:
    """Make a schedule that does not fire by itself unless the body says otherwise."""
    response = await client.post(f"/api/graphs/{graph_id}/schedules", json={**YEARLY, **body})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def shown(client: httpx.AsyncClient, schedule_id: str) -> dict[str, Any]:
    response = await client.get(f"/api/schedules/{schedule_id}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def trigger(client: httpx.AsyncClient, schedule_id: str, **body: Any) -> None:
    response = await client.post(f"/api/schedules/{schedule_id}/trigger", json=body)
    assert response.status_code == 200, response.text


async def started(client: httpx.AsyncClient, schedule_id: str, count: int, *statuses: str) -> list[Any]:
    """Wait until a schedule has started so many executions, all of them in one of the statuses; newest first."""

    async def are_there() -> list[Any]:
        rows = (await client.get("/api/executions", params={"trigger_id": schedule_id})).json()["items"]
        is_so = len(rows) == count and (not statuses or {row["status"] for row in rows} <= set(statuses))
        return rows if is_so else []

    return await eventually(are_there)


def echo() -> dict[str, Any]:
    """Return a graph that gives back its input `x`."""
    nodes = [node("in", "agent_input_block", name="x"), node("out", "agent_output_block", name="y")]
    return graph(nodes, ["in.result -> out.value"])
