"""The orchestrator by itself: what it asks, and what it makes of the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from app.blocks.calling import prepare
from app.blocks.conversing import answer
from app.blocks.library.calculation import CalculatorBlock
from app.blocks.library.orchestrator import LEAST_ROOM_CHARACTERS, SYSTEM_PROMPT, OrchestratorBlock
from app.blocks.tools import Callee, Calls, Conversation, ToolResult, make_tools
from app.errors import BlockError
from app.llm.language_models import LanguageModels
from tests.stubs import LanguageModelStub
from tests.unit.blocks.contexts import make_context

block = OrchestratorBlock()
TOOLS = make_tools(
    [Callee("adder", CalculatorBlock(), {"operation": "Add"}, ["a", "b", "round_result"], title="add")]
)


@pytest.fixture
async def models(language_model: LanguageModelStub) -> AsyncIterator[LanguageModels]:
    models = LanguageModels(base_url=language_model.url)
    yield models
    await models.aclose()


async def run(
    models: LanguageModels, conversation: Conversation | None = None, **given: Any
) -> list[tuple[str, Any]]:
    context = make_context(language_models=models)
    context = replace(context, conversation=conversation or Conversation(TOOLS))
    prepared = prepare(block, {"prompt": "Add 1 and 2", **given}, {})
    assert isinstance(prepared, OrchestratorBlock.Input)
    return [emitted async for emitted in block.run(prepared, context)]


def calling(*calls: tuple[str, Any]) -> dict[str, Any]:
    functions = [
        {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)}
        for name, given in calls
    ]
    tool_calls = [{"id": f"c{k}", "type": "function", "function": each} for k, each in enumerate(functions)]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}


ONE_CALL = calling(("add", {"a": 1, "b": 2}))


async def test_arguments_go_out_on_pins_of_their_own_and_those_left_out_are_null(
    models: LanguageModels, language_model: LanguageModelStub
) -> None:
    language_model.answer = lambda _: ONE_CALL
    emitted = await run(models)
    assert emitted[:3] == [
        ("tools_^_adder_~_a", 1),
        ("tools_^_adder_~_b", 2),
        ("tools_^_adder_~_round_result", None),
    ]
    ((pin, said),) = emitted[3:]
    assert pin == "conversations"
    assert [message["role"] for message in said] == ["system", "user", "assistant"]
    (asked,) = language_model.requests
    assert asked["messages"][0]["content"].startswith(SYSTEM_PROMPT)
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["add"]


async def test_an_answer_without_calls_is_all_that_is_emitted(
    models: LanguageModels, language_model: LanguageModelStub
) -> None:
    language_model.answer = "Three."
    assert await run(models) == [("finished", "Three.")]


async def test_a_conversation_with_nothing_pending_is_gone_on_with_by_the_prompt(
    models: LanguageModels, language_model: LanguageModelStub
) -> None:
    before = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    await run(models, conversation_history=before, sys_prompt="")
    assert language_model.requests[0]["messages"] == [*before, {"role": "user", "content": "Add 1 and 2"}]


@pytest.mark.parametrize(
    ("given", "told"), [("three", "three"), (3, "3"), (None, "null"), ({"x": 1}, '{"x": 1}')]
)
async def test_a_tools_output_answers_the_first_call_that_waits(
    models: LanguageModels, language_model: LanguageModelStub, given: Any, told: str
) -> None:
    history = [{"role": "user", "content": "Add"}, calling(("add", {}), ("add", {}))]
    emitted = await run(
        models, conversation_history=[*history, answer("c0", 1)], last_tool_output=given, sys_prompt=""
    )
    assert emitted == [("finished", "A short answer.")]
    assert [message["content"] for message in language_model.requests[0]["messages"][2:]] == ["1", told]


async def test_the_model_is_not_asked_while_a_call_is_pending(
    models: LanguageModels, language_model: LanguageModelStub
) -> None:
    history = [{"role": "user", "content": "Add"}, calling(("add", {}), ("add", {}))]
    emitted = await run(models, conversation_history=history, last_tool_output=1, sys_prompt="")
    assert emitted == [("conversations", [*history, answer("c0", 1)])]
    assert language_model.requests == []


async def test_in_agent_mode_a_turn_ends_with_calls_and_the_next_one_tells_what_they_gave(
    models: LanguageModels, language_model: LanguageModelStub
) -> None:
    language_model.answer = lambda _: ONE_CALL
    ((pin, calls),) = await run(models, agent_mode_max_iterations=3)
    assert pin == "tools"
    assert isinstance(calls, Calls)
    assert [(call.node_id, call.values) for call in calls.calls] == [("adder", {"a": 1, "b": 2})]

    language_model.answer = "Three."
    conversation = Conversation(TOOLS, 2, tuple(calls.messages), (ToolResult("c0", [("result", 3)]),))
    emitted = await run(models, conversation, agent_mode_max_iterations=3)

    told = answer("c0", {"result": 3})
    said = [*calls.messages, told, {"role": "assistant", "content": "Three."}]
    assert emitted == [("finished", "Three."), ("conversations", said)]


async def test_the_last_turn_is_said_to_be_the_last(
    models: LanguageModels, language_model: LanguageModelStub
) -> None:
    await run(models, agent_mode_max_iterations=1)
    await run(models, agent_mode_max_iterations=2)
    last, first = (asked["messages"][0]["content"] for asked in language_model.requests)
    assert "last" in last
    assert last.startswith(first)


DEEP = '{"a": ' + "[" * 160 + "]" * 160 + "}"


@pytest.mark.parametrize("arguments", ["no json", "[1]", '{"c": 1}', "{}", DEEP])
async def test_arguments_that_cannot_be_used_are_told_to_the_model(
    models: LanguageModels, language_model: LanguageModelStub, arguments: str
) -> None:
    language_model.answer = lambda _: (
        calling(("add", arguments)) if len(language_model.requests) == 1 else ONE_CALL
    )
    emitted = await run(models)
    assert emitted[0] == ("tools_^_adder_~_a", 1)
    assert [message["role"] for message in language_model.requests[1]["messages"][2:]] == [
        "assistant",
        "tool",
    ]
    assert [message["role"] for message in emitted[-1][1]] == ["system", "user", "assistant"]
    assert len(set(language_model.keys)) == 2


async def test_it_gives_up_after_so_many_answers(
    models: LanguageModels, language_model: LanguageModelStub
) -> None:
    language_model.answer = lambda _: calling(("subtract", {}))
    with pytest.raises(BlockError, match="There is no tool 'subtract'"):
        await run(models, retry=2)
    assert len(language_model.requests) == 2


async def test_a_long_conversation_is_sent_without_its_middle_unless_that_is_not_wanted(
    models: LanguageModels, language_model: LanguageModelStub
) -> None:
    long = [{"role": "user", "content": "x" * 10_000} for _ in range(60)]
    await run(models, conversation_history=long)
    await run(models, conversation_history=long, conversation_compaction=False)
    short, whole = (asked["messages"] for asked in language_model.requests)
    assert len(whole) == 62
    assert LEAST_ROOM_CHARACTERS < sum(len(message["content"]) for message in short) < 400_000
    assert any("left out" in message["content"] for message in short)
