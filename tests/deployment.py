"""An API whose reconciler runs all the time, and what it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.rest import graph, node, save, start
from tests.engine import Engine
from tests.stack import eventually


@dataclass(frozen=True)
class Deployment:
    """An API over a database of its own, whose reconciler runs every second."""

    engine: Engine
    caller: httpx.AsyncClient

    async def listed(self, execution_id: str) -> dict[str, Any]:
        """Return what the list says of an execution: reading it by its id would have it judged."""
        for params in ({}, {"trigger": "subgraph"}):
            rows = (await self.caller.get("/api/executions", params={**params, "limit": 200})).json()["items"]
            for row in rows:
                if row["id"] == execution_id:
                    return dict(row)
        return {}

    async def has_status(self, execution_id: str, status: str) -> bool:
        return (await self.listed(execution_id)).get("status") == status

    async def start_waiting(self) -> str:
        """Start an execution that waits on a timer; return its id when it does."""
        execution = await start(self.caller, await save(self.caller, timer()))

        async def is_waiting() -> bool:
            return bool(
                await self.engine.pool.fetchval(
                    "SELECT count(*) FROM node_executions WHERE execution_id = $1", execution["id"]
                )
            )

        await eventually(is_waiting)
        execution_id: str = execution["id"]
        return execution_id


def timer(seconds: float = 600) -> dict[str, Any]:
    """Return a graph that waits on a timer."""
    nodes = [
        node("timer", "countdown_timer_block", input_message="done", seconds=seconds),
        node("out", "agent_output_block", name="result"),
    ]
    return graph(nodes, ["timer.output_message -> out.value"])
