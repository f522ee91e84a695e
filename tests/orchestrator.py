"""Graphs in which a language model uses nodes as tools, and a model that says what it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from temporalio.client import WorkflowHandle

from app.graph.definition import GraphDefinition
from tests.engine import (
    Engine,
    Record,
    limited,
    make_graph,
)
from tests.stubs import LanguageModelStub

ORCHESTRATOR = "orchestrator_block"
PROBE = "probe"
ADD = "calculator_block"
OUTPUT = "agent_output_block"
ADDER = (ADD, {"operation": "Add", "metadata": {"customized_name": "add"}})
CALM = limited(heartbeat_seconds=60)
"""The first question to a model loads a large library, during which a busy machine may be silent for long."""
TO_ADDER = ["boss.tools -> adder.a", "boss.tools -> adder.b"]


def calls(*wanted: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a model's message that calls tools, with ids of its own."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{k}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(given)},
            }
            for k, (name, given) in enumerate(wanted)
        ],
    }


def says(*answers: str | dict[str, Any]) -> Callable[[dict[str, Any]], str | dict[str, Any]]:
    """Return a model that gives these answers, each when the conversation has come so far."""

    def answer(asked: dict[str, Any]) -> str | dict[str, Any]:
        turn: int = sum(message["role"] == "assistant" for message in asked["messages"])
        return answers[turn]

    return answer


def boss(**constants: Any) -> tuple[str, dict[str, Any]]:
    return ORCHESTRATOR, {"prompt": "What is 1 + 2?", "agent_mode_max_iterations": -1, **constants}


def a_graph(links: Sequence[str], tools: Mapping[str, tuple[str, Any]], **constants: Any) -> GraphDefinition:
    """Return a graph of an orchestrator, some tools, and an output of its answer."""
    nodes = {"boss": boss(**constants), **tools, "out": (OUTPUT, {"name": "answer"})}
    return make_graph(nodes, [*links, "boss.finished -> out.value"])


async def start(engine: Engine, graph: GraphDefinition, **changes: Any) -> WorkflowHandle[Any, int]:
    """Start an execution, with some limits changed."""
    return await engine.start(graph, limits=limited(CALM, **changes))


async def run(engine: Engine, graph: GraphDefinition, **changes: Any) -> Record:
    """Execute a graph to its end, with some limits changed."""
    return await engine.end(await start(engine, graph, **changes))


def told(stub: LanguageModelStub, turn: int) -> list[Any]:
    """Return what the model was told by tools before a turn."""
    return [
        message["content"] for message in stub.requests[turn - 1]["messages"] if message["role"] == "tool"
    ]


def callers(record: Record, node_id: str) -> set[Any]:
    return {row["called_by"] for row in record.of(node_id)}
