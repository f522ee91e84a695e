"""Nodes that a language model uses as tools, on a real Temporal: each call is a node execution of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest

from app.graph.definition import GraphDefinition
from tests.engine import Engine, Record, limited, make_graph, refuses, unavailable_until
from tests.stubs import LanguageModelStub

ORCHESTRATOR = "orchestrator_block"
PROBE = "probe"
ADD = "calculator_block"
OUTPUT = "agent_output_block"
ADDER = (ADD, {"operation": "Add", "metadata": {"customized_name": "add"}})
TO_ADDER = ["boss.tools -> adder.a", "boss.tools -> adder.b"]


@pytest.fixture
async def worker(engine: Engine, language_model: LanguageModelStub) -> AsyncIterator[None]:
    """A worker that asks the stub."""
    async with engine.worker(llm_base_url=language_model.url):
        yield


def calls(*wanted: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a model's message that calls tools, with ids of its own."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"call_{k}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for k, (name, given) in enumerate(wanted)
        ],
    }


def says(*answers: str | dict[str, Any]) -> Callable[[dict[str, Any]], str | dict[str, Any]]:
    """Return a model that gives these answers, each when the conversation has come so far."""

    def answer(asked: dict[str, Any]) -> str | dict[str, Any]:
        turn = sum(message["role"] == "assistant" for message in asked["messages"])
        return answers[turn]

    return answer


def boss(**constants: Any) -> tuple[str, dict[str, Any]]:
    return ORCHESTRATOR, {"prompt": "What is 1 + 2?", "agent_mode_max_iterations": -1, **constants}


def a_graph(
    links: Sequence[str], tools: Mapping[str, tuple[str, Mapping[str, Any]]], **constants: Any
) -> GraphDefinition:
    """Return a graph of an orchestrator, some tools, and an output of its answer."""
    nodes = {"boss": boss(**constants), **tools, "out": (OUTPUT, {"name": "answer"})}
    return make_graph(nodes, [*links, "boss.finished -> out.value"])


def told(stub: LanguageModelStub, turn: int) -> list[Any]:
    """Return what the model was told by tools before a turn."""
    return [message["content"] for message in stub.requests[turn - 1]["messages"] if message["role"] == "tool"]


def callers(record: Record, node_id: str) -> set[Any]:
    return {row["called_by"] for row in record.of(node_id)}


async def test_a_model_calls_a_node_and_hears_what_it_gave(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("add", {"a": 1, "b": 2})), "It is 3.")

    record = await engine.run(a_graph(TO_ADDER, {"adder": ADDER}))

    assert record.outputs == {"answer": ["It is 3."]}
    (asked,) = record.of("boss")
    assert callers(record, "adder") == {asked["id"]}
    assert [row["outputs"] for row in record.of("adder")] == [[["result", [3.0]]]]
    assert told(language_model, 2) == ['{"result": 3.0}']
    assert [pin for pin, _ in asked["outputs"]] == ["finished", "conversations"]
    assert asked["cost"] == 2
