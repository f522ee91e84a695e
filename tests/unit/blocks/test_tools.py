"""How a model sees nodes, and what it is sent of a conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.blocks.base import Block
from app.blocks.conversing import MAX_RESULT_CHARACTERS, answer, answer_with, list_pending, shorten
from app.blocks.library.agents import AgentExecutorBlock
from app.blocks.library.calculation import CalculatorBlock
from app.blocks.library.dictionaries import AddToDictionaryBlock
from app.blocks.tools import Callee, ToolNode, ToolResult, make_tools


def the_tool(block: Block, *pins: str, constants: dict[str, Any] | None = None, **words: Any) -> ToolNode:
    (tool,) = make_tools([Callee("n", block, constants or {}, pins, **words)])
    return tool


def test_a_tool_is_called_as_its_node_is_called_and_described_as_its_block() -> None:
    tool = the_tool(CalculatorBlock(), "a", "b", title="Add two: números!")
    assert tool.name == "add_two__n_meros_"
    assert tool.description == CalculatorBlock().description
    assert tool.parameters["properties"].keys() == {"a", "b"}
    assert tool.parameters["properties"]["a"]["type"] == "number"


def test_without_a_name_a_tool_is_called_as_its_block() -> None:
    assert the_tool(CalculatorBlock(), "a").name == "calculatorblock"


def test_no_two_tools_have_one_name_and_none_a_long_one() -> None:
    callees = [Callee(str(k), CalculatorBlock(), {}, ["a"], title="x" * 100) for k in range(3)]
    names = [tool.name for tool in make_tools(callees)]
    assert len(set(names)) == 3
    assert {len(name) for name in names} == {64}


def test_what_leads_into_a_value_is_an_argument_of_its_own() -> None:
    tool = the_tool(AddToDictionaryBlock(), "entries_#_first name", "entries_$_0", "dictionary")
    assert tool.pins == {
        "first_name": "entries_#_first name",
        "entries_0": "entries_$_0",
        "dictionary": "dictionary",
    }
    assert (
        tool.pin_of("entries_#_first name") == tool.pin_of("entries___first_name") == "entries_#_first name"
    )
    assert tool.pin_of("nothing") is None


def test_only_what_the_node_lacks_is_required() -> None:
    tool = the_tool(CalculatorBlock(), "a", "b", constants={"operation": "Add", "b": 1})
    assert tool.parameters["required"] == ["a"]


def test_a_nested_graph_is_seen_by_its_own_words() -> None:
    schema = {
        "properties": {"City name": {"type": "string", "description": "Where", "secret": False}, "days": {}},
        "required": ["City name", "days"],
    }
    constants = {"graph_id": "g", "inputs": {"days": 3}}
    tool = the_tool(
        AgentExecutorBlock(),
        "City name",
        constants=constants,
        name="Forecast",
        description="Tells the weather",
        input_schema=schema,
    )
    assert (tool.name, tool.description) == ("forecast", "Tells the weather")
    assert tool.parameters["properties"] == {"City_name": {"type": "string", "description": "Where"}}
    assert tool.parameters["required"] == ["City_name"]
    assert tool.pin_of("City_name") == tool.pin_of("City name") == "City name"


def calling(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"id": call_id} for call_id in ids]}


def test_what_no_message_answers_is_pending() -> None:
    said = [calling("a", "b"), answer("a", 1)]
    assert list_pending(said) == ["b"]
    assert list_pending([*said, answer("b", 2), calling("a")]) == ["a"]


@pytest.mark.parametrize(
    ("result", "content"),
    [
        (ToolResult("c", [("out", 1)]), {"out": 1}),
        (ToolResult("c", [("item", 1), ("item", 2), ("n", 2)]), {"item": [1, 2], "n": 2}),
        (ToolResult("c", [], error="It broke"), {"error": "It broke"}),
        (ToolResult("c", [("out", 1)], error="It broke"), {"error": "It broke", "output": {"out": 1}}),
    ],
)
def test_a_model_is_told_what_a_tool_gave(result: ToolResult, content: Any) -> None:
    message = answer_with(result)
    assert message["tool_call_id"] == "c"
    assert json.loads(message["content"]) == content


def test_a_very_long_result_is_cut_off_and_the_model_is_told() -> None:
    content = answer("c", "x" * (MAX_RESULT_CHARACTERS + 5))["content"]
    assert content.endswith("[5 more characters are left out]")


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    for turn, count in enumerate(draw(st.lists(st.integers(1, 3), max_size=12))):
        ids = [f"{turn}.{k}" for k in range(count)]
        said += [calling(*ids), *(answer(each, "x" * draw(st.integers(0, 400))) for each in ids)]
    return said


@given(conversations(), st.integers(100, 4_000))
def test_a_shortened_conversation_keeps_its_task_and_no_answer_without_its_call(
    said: list[dict[str, Any]], room: int
) -> None:
    sent = shorten(said, room)
    assert sent[:2] == said[:2]
    assert sent[-1] == said[-1]
    called = {call["id"] for message in sent for call in message.get("tool_calls") or ()}
    answered = {message["tool_call_id"] for message in sent if message["role"] == "tool"}
    assert called == answered
    if sum(len(json.dumps(message, ensure_ascii=False)) for message in said) <= room:
        assert sent == said
