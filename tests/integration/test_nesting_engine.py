"""Executions of graphs that execute other graphs, on a real Temporal and a real Postgres."""

from __future__ import annotations

import uuid
from typing import Any

from temporalio.client import WorkflowUpdateFailedError

from app.activities.contracts import Release
from app.graph.definition import GraphDefinition
from tests.engine import Engine, Many, Record, limited, make_graph, refuses
from tests.stack import eventually

PROBE = "probe"
ADD = "calculator_block"
INPUT = "agent_input_block"
OUTPUT = "agent_output_block"
AGENT = "agent_executor_block"
STEPS = "step_through_items_block"


def doubling(**behaviour: Any) -> GraphDefinition:
    """Return a graph that gives back its input twice: first at `once`, then, through a probe, at `again`."""
    return make_graph(
        {
            "in": (INPUT, {"name": "x"}),
            "probe": (PROBE, behaviour),
            "once": (OUTPUT, {"name": "once"}),
            "again": (OUTPUT, {"name": "again"}),
        },
        ["in.result => probe.value", "in.result => once.value", "probe.out -> again.value"],
    )


def nesting(graph_id: str, *links: str, **constants: Any) -> GraphDefinition:
    """Return a graph that executes another one, with an output each for what may come out of it."""
    nodes = {
        "agent": (AGENT, {"graph_id": graph_id, "inputs": constants}),
        "a": (OUTPUT, {"name": "a"}),
        "b": (OUTPUT, {"name": "b"}),
    }
    return make_graph(nodes, links)


async def nested_of(engine: Engine, parent_id: str) -> list[dict[str, Any]]:
    """Return the rows of the executions nested in one, in the order of their node executions."""
    rows = await engine.pool.fetch(
        "SELECT * FROM executions WHERE parent_id = $1 ORDER BY parent_node, parent_n", parent_id
    )
    return [dict(row) for row in rows]


async def only_nested(engine: Engine, parent_id: str) -> str:
    """Return the id of the one execution nested in another, once there is one and it has begun."""

    async def begun() -> str | None:
        rows = await nested_of(engine, parent_id)
        return str(rows[0]["id"]) if rows and rows[0]["status"] == "RUNNING" else None

    found = await eventually(begun)
    assert found
    return found


async def test_a_nested_graph_gives_its_outputs_in_their_order(engine: Engine) -> None:
    graph_id, _ = await engine.save(doubling())
    graph = nesting(graph_id, "agent.once -> a.value", "agent.again -> b.value", x=21)
    async with engine.worker():
        handle = await engine.start(graph)
        record = await engine.end(handle)

    assert record.status == "COMPLETED"
    assert record.outputs == {"a": [21], "b": [21]}
    [agent] = record.of("agent")
    assert [pin for pin, _ in agent["outputs"]] == ["once", "again"]
    [nested] = await nested_of(engine, handle.id)
    assert (nested["trigger"], nested["status"]) == ("subgraph", "COMPLETED")
    inner = await engine.record(str(nested["id"]))
    assert inner.outputs == {"once": [21], "again": [21]}
    assert inner.events[-1][1] == "execution_completed"
