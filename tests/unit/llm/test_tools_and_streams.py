from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.blocks.credentials import ApiKey
from app.errors import BlockError, BlockUnavailable
from app.llm.language_models import LanguageModels, Message, Tool, ToolCall
from app.llm.model_clients import MAX_STREAMS
from app.llm.models import Provider
from tests.stack import eventually
from tests.unit.blocks.model_server import (
    ANTHROPIC_MESSAGES,
    CHAT,
    calls,
    fails,
    says,
    says_as_anthropic,
    writes,
)
from tests.unit.blocks.stub_server import Answer, StubServer

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1}},
    "required": ["city"],
}
WEATHER = Tool("weather", "What the weather will be.", SCHEMA)


@pytest.fixture
async def models(server: StubServer) -> AsyncIterator[LanguageModels]:
    models = LanguageModels(
        base_url=f"{server.url}/v1", api_keys={Provider.OPENAI: "sk-workers"}, timeout_seconds=20
    )
    yield models
    await models.aclose()


@pytest.fixture
async def openai(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LanguageModels]:
    """Models that are asked at their providers, of which one is here."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    models = LanguageModels(api_keys={Provider.OPENAI: "sk-workers"}, timeout_seconds=20)
    yield models
    await models.aclose()


async def test_a_model_is_offered_tools_and_may_call_several(
    server: StubServer, models: LanguageModels
) -> None:
    server.answers[CHAT] = calls(("c1", "weather", '{"city": "Oslo"}'), ("c2", "weather", "{broken"))
    completion = await models.complete("m", HELLO, tools=[WEATHER])

    told = server.asked[0].json()
    assert told["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": WEATHER.description, "parameters": SCHEMA},
        }
    ]
    assert completion.text == ""
    assert completion.tool_calls == [
        ToolCall("c1", "weather", '{"city": "Oslo"}'),
        ToolCall("c2", "weather", "{broken"),
    ]
    assert completion.message["content"] is None


async def test_a_conversation_with_tool_calls_goes_on_as_it_was(
    server: StubServer, models: LanguageModels
) -> None:
    server.answers[CHAT] = calls(
        ("c1", "weather", '{"city":"Oslo"}'), ("c2", "weather", '{"city":"Rome"}'), text="Let me look"
    )
    asked = await models.complete("m", HELLO, tools=[WEATHER])
    server.answers[CHAT] = says("Rain")
    sent: list[Message] = [
        *HELLO,
        asked.message,
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
        {"role": "tool", "content": "sun", "tool_call_id": "c2"},
        {"role": "user", "content": "So?"},
    ]
    assert (await models.complete("m", sent)).text == "Rain"
    assert server.asked[1].json()["messages"] == sent


async def test_an_answer_may_be_forced_to_be_json(server: StubServer, models: LanguageModels) -> None:
    server.answers[CHAT] = says("{}")
    await models.complete("m", HELLO, force_json=True)
    told = server.asked[0].json()
    assert told["response_format"] == {"type": "json_object"}
    assert told["messages"] == HELLO


async def test_somebodys_own_key_is_used_for_their_call_only(
    server: StubServer, openai: LanguageModels
) -> None:
    server.answers[CHAT] = says("Hi")
    await openai.complete("gpt-4o", HELLO, api_key=ApiKey("openai", "sk-own"))
    assert openai.meter.microcredits == 0
    await openai.complete("gpt-4o", HELLO)
    assert openai.meter.microcredits == 11 * 375 + 7 * 1500
    assert [asked.headers["authorization"] for asked in server.asked] == [
        "Bearer sk-own",
        "Bearer sk-workers",
    ]


@pytest.mark.parametrize(("own", "model"), [("openai", "gpt-4o"), ("anthropic", "gpt-4o"), ("github", "m")])
async def test_the_server_of_all_models_sees_nobodys_own_key_and_its_answer_costs(
    server: StubServer, models: LanguageModels, own: str, model: str
) -> None:
    server.answers[CHAT] = says("Hi")
    await models.complete(model, HELLO, api_key=ApiKey(own, "sk-own"))
    (asked,) = server.asked
    assert "sk-own" not in str(asked.headers)
    assert models.meter.microcredits > 0


async def test_a_refusal_does_not_quote_somebodys_own_key(server: StubServer, openai: LanguageModels) -> None:
    server.answers[CHAT] = fails(400, message="Odd: sk-own and sk-workers")
    with pytest.raises(BlockError, match=r"Odd: \*\*\* and \*\*\*"):
        await openai.complete("gpt-4o", HELLO, api_key=ApiKey("openai", "sk-own"))


async def test_a_text_is_given_piece_by_piece_and_then_whole(
    server: StubServer, models: LanguageModels
) -> None:
    server.answers[CHAT] = writes("Once ", "upon ", "a time")
    pieces: list[str] = []

    async def take(piece: str) -> None:
        pieces.append(piece)

    completion = await models.complete("m", HELLO, stream=take)
    assert "".join(pieces) == completion.text == "Once upon a time"
    assert len(pieces) == 3
    assert (completion.input_tokens, completion.output_tokens) == (11, 7)
    assert server.asked[0].json()["stream"] is True


async def test_a_stream_is_closed_when_the_call_is_cancelled(
    server: StubServer, models: LanguageModels
) -> None:
    server.answers[CHAT] = writes("Once", hangs=True)
    begun = asyncio.Event()

    async def take(_: str) -> None:
        begun.set()

    call = asyncio.create_task(models.complete("m", HELLO, stream=take))
    await asyncio.wait_for(begun.wait(), 60)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(server.left.wait(), 60)


async def test_a_server_that_knows_no_streams_is_taken_as_it_is(
    server: StubServer, models: LanguageModels
) -> None:
    server.answers[CHAT] = calls(("c1", "weather", json.dumps({"city": "Oslo"})), text="Whole")
    pieces: list[str] = []

    async def take(piece: str) -> None:
        pieces.append(piece)

    completion = await models.complete("m", HELLO, tools=[WEATHER], stream=take)
    assert completion.text == "Whole" == "".join(pieces)
    assert [call.id for call in completion.tool_calls] == ["c1"]
    assert (completion.input_tokens, completion.output_tokens) == (11, 7)
    assert len(server.asked) == 1


@pytest.fixture
async def anthropic(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LanguageModels]:
    """Anthropic's models, with its own address replaced by the stub's."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    models = LanguageModels(api_keys={Provider.ANTHROPIC: "sk-workers"}, timeout_seconds=20)
    yield models
    await models.aclose()


def says_in_blocks(*blocks: dict[str, Any]) -> Answer:
    answer = json.loads(says_as_anthropic("").body)
    answer["content"] = list(blocks)
    return Answer.of_json(answer)


async def test_anthropic_is_offered_tools_and_told_what_they_gave(
    server: StubServer, anthropic: LanguageModels
) -> None:
    server.answers[ANTHROPIC_MESSAGES] = says_in_blocks(
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}}
    )
    asked = await anthropic.complete("claude-haiku-4-5", HELLO, tools=[WEATHER], force_json=True)
    (call,) = asked.tool_calls
    assert (call.id, call.name, json.loads(call.arguments)) == ("c1", "weather", {"city": "Oslo"})

    server.answers[ANTHROPIC_MESSAGES] = says_as_anthropic("Rain")
    sent: list[Message] = [*HELLO, asked.message, {"role": "tool", "content": "rain", "tool_call_id": "c1"}]
    assert (await anthropic.complete("claude-haiku-4-5", sent)).text == "Rain"
    told = server.asked[1].json()["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "user"]
    assert told[2]["content"][0]["tool_use_id"] == "c1"


async def test_an_answer_of_anthropic_that_is_no_stream_is_taken_as_it_is(
    server: StubServer, anthropic: LanguageModels
) -> None:
    server.answers[ANTHROPIC_MESSAGES] = says_in_blocks(
        {"type": "text", "text": "Whole"},
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}},
    )
    pieces: list[str] = []

    async def take(piece: str) -> None:
        pieces.append(piece)

    completion = await anthropic.complete("claude-haiku-4-5", HELLO, tools=[WEATHER], stream=take)
    assert completion.text == "Whole" == "".join(pieces)
    assert [json.loads(call.arguments) for call in completion.tool_calls] == [{"city": "Oslo"}]
    assert (completion.input_tokens, completion.output_tokens) == (5, 3)


async def take_nothing(_: str) -> None:
    pass


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b'data: {"id"', {"content-type": "text/event-stream"}),
        Answer(200, b"data: {\n\n", {"content-type": "text/event-stream"}),
        Answer(200, b"", {"content-type": "text/event-stream"}),
        Answer(200, b"<html>", {"content-type": "text/html"}),
        Answer(200, b"[]", {"content-type": "application/json"}),
        Answer(200, b'data: {"id": "c"}\n\n', {"content-type": "text/event-stream", "content-length": "900"}),
        fails(503),
    ],
)
async def test_a_stream_that_breaks_may_be_whole_next_time(
    server: StubServer, models: LanguageModels, answer: Answer
) -> None:
    server.answers[CHAT] = answer
    with pytest.raises(BlockUnavailable):
        await models.complete("m", HELLO, stream=take_nothing)
    assert len(server.asked) == 1


async def test_a_stream_that_is_too_slow_is_given_up(server: StubServer) -> None:
    server.answers[CHAT] = writes("Once", hangs=True)
    models = LanguageModels(base_url=f"{server.url}/v1", timeout_seconds=1)
    with pytest.raises(BlockUnavailable):
        await models.complete("m", HELLO, stream=take_nothing)
    await models.aclose()


async def test_only_some_answers_are_read_piece_by_piece_at_once(
    server: StubServer, models: LanguageModels
) -> None:
    server.answers[CHAT] = Answer(hangs=True)
    calls = [
        asyncio.create_task(models.complete("m", HELLO, stream=take_nothing)) for _ in range(MAX_STREAMS + 2)
    ]
    await eventually(lambda: len(server.asked) == len(calls))
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert sum(asked.json()["stream"] for asked in server.asked) == MAX_STREAMS

    server.answers[CHAT] = writes("Hi")
    await models.complete("m", HELLO, stream=take_nothing)
    assert server.asked[-1].json()["stream"] is True
