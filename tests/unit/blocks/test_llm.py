from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.blocks.base import RemoteBlock
from app.blocks.library.llm import AITextGeneratorBlock, LlmCallBlock
from app.errors import BlockError, BlockUnavailable
from app.llm.language_models import LanguageModels
from app.llm.models import DEFAULT_MODEL, find_credits
from tests.unit.blocks.contexts import make_context
from tests.unit.blocks.model_server import CHAT, fails, says
from tests.unit.blocks.stub_server import StubServer, running_server

generator = AITextGeneratorBlock()
caller = LlmCallBlock()


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    async with running_server() as stub:
        stub.answers[CHAT] = says("Hi")
        yield stub


@pytest.fixture
async def models(server: StubServer) -> AsyncIterator[LanguageModels]:
    models = LanguageModels(base_url=f"{server.url}/v1")
    yield models
    await models.aclose()


async def run(block: RemoteBlock, models: LanguageModels, **given: Any) -> list[tuple[str, Any]]:
    context = make_context(language_models=models)
    return [emitted async for emitted in block.run(block.Input(**given), context)]


def told(server: StubServer) -> list[str]:
    return [message["content"] for message in server.asked[-1].json()["messages"]]


async def test_the_text_generator_emits_the_answer_and_then_the_messages(
    server: StubServer, models: LanguageModels
) -> None:
    emitted = await run(generator, models, prompt="Say hi", sys_prompt="Be brief", max_tokens=9, model="m")
    sent = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Say hi"}]
    assert emitted == [("response", "Hi"), ("prompt", sent)]
    (asked,) = server.asked
    assert asked.json()["messages"] == sent
    assert (asked.json()["model"], asked.json()["max_tokens"]) == ("m", 9)
    assert asked.headers["idempotency-key"] == "e:n:1"


async def test_prompt_values_fill_both_prompts(server: StubServer, models: LanguageModels) -> None:
    await run(
        generator, models, prompt="Hi {{ a }}", sys_prompt="As {{b}}", prompt_values={"a": "x", "b": "y"}
    )
    assert told(server) == ["As y", "Hi x"]


async def test_prompts_are_taken_as_they_are_without_values(
    server: StubServer, models: LanguageModels
) -> None:
    await run(generator, models, prompt="Hi {{ a }} {% broken")
    assert told(server) == ["Hi {{ a }} {% broken"]


async def test_an_expression_that_is_wrong_is_an_error_before_the_model_is_asked(
    server: StubServer, models: LanguageModels
) -> None:
    with pytest.raises(BlockError):
        await run(generator, models, prompt="{% broken", prompt_values={"a": "x"})
    assert server.asked == []


async def test_the_text_generator_takes_what_exported_agents_bring(
    server: StubServer, models: LanguageModels
) -> None:
    await run(
        generator,
        models,
        prompt="p",
        credentials={"id": "c", "provider": "openai", "type": "api_key", "title": "t"},
        retry=3,
        ollama_host="localhost:11434",
        max_tokens=None,
    )
    assert server.asked[0].json()["model"] == DEFAULT_MODEL


async def test_the_llm_call_fills_its_inputs_into_the_prompts(
    server: StubServer, models: LanguageModels
) -> None:
    emitted = await run(
        caller,
        models,
        model="gpt-4",
        prompt="Summarize:\n\n{input_text} {{input_text}} {other}",
        system_prompt="You know {input_text}",
        max_tokens=150,
        temperature=0.5,
        input_text="a {other} b",
    )
    assert emitted == [
        ("response", "Hi"),
        ("usage", {"model": "gpt-4", "input_tokens": 11, "output_tokens": 7}),
    ]
    assert told(server) == ["You know a {other} b", "Summarize:\n\na {other} b a {other} b {other}"]
    asked = server.asked[0].json()
    assert (asked["max_tokens"], asked["temperature"]) == (150, 0.5)


async def test_the_system_prompt_may_be_called_by_its_other_name(
    server: StubServer, models: LanguageModels
) -> None:
    await run(caller, models, prompt="p", sys_prompt="s")
    assert told(server) == ["s", "p"]


async def test_the_blocks_leave_trying_again_to_the_engine(
    server: StubServer, models: LanguageModels
) -> None:
    server.answers[CHAT] = fails(503)
    for block in (generator, caller):
        with pytest.raises(BlockUnavailable):
            await run(block, models, prompt="p", retry=5)
    assert len(server.asked) == 2


def test_the_text_generator_is_known_by_its_id_and_pins() -> None:
    signature = generator.signature
    assert signature.id == "1f292d4a-41a4-4977-9684-7c8d560b9f91"
    assert signature.slug == "ai_text_generator_block"
    assert set(signature.inputs) == {
        "prompt",
        "model",
        "credentials",
        "sys_prompt",
        "retry",
        "prompt_values",
        "ollama_host",
        "max_tokens",
    }
    assert signature.required == {"prompt"}
    assert signature.outputs == {"response", "prompt", "error"}


def test_the_llm_call_is_known_by_its_slug_and_takes_any_input() -> None:
    signature = caller.signature
    assert signature.slug == "llm_call_block"
    assert signature.takes_any_input
    assert signature.required == {"prompt"}
    assert signature.outputs == {"response", "usage", "error"}


@pytest.mark.parametrize(
    ("model", "amount"),
    [
        ("gpt-4o-mini", 1),
        ("gpt-4o", 3),
        ("gpt-4o-2024-08-06", 3),
        ("openai/gpt-4o", 3),
        ("gpt-5", 2),
        ("gpt-5-mini", 1),
        ("gpt-5.2", 6),
        ("o1", 16),
        ("claude-sonnet-4-5-20250929", 9),
        ("claude-sonnet-4-20250514", 5),
        ("claude-opus-4-1-20250805", 21),
        ("claude-opus-4-5", 14),
        ("llama3", 1),
        (None, 1),
    ],
)
def test_a_call_costs_what_its_model_costs(model: str | None, amount: int) -> None:
    assert find_credits(model) == amount
    assert generator.cost_of({"model": model}) == amount


@pytest.mark.parametrize(
    ("model", "characters", "amount"),
    [
        ("claude-opus-4", 600, 21),
        ("claude-opus-4", 599_000, 225),
        ("openai/gpt-4o", 600_000, 38),
        # No model reads more than it can.
        ("claude-opus-4", 10**8, 450),
        ("gpt-4", 10**7, 37),
        # Nobody knows what they cost.
        ("llama3", 600_000, 1),
        ("unheard-of", 600_000, 1),
    ],
)
def test_as_much_is_reserved_as_it_takes_to_read_what_is_given(
    model: str, characters: int, amount: int
) -> None:
    text = "x" * (characters // 2)
    generator = AITextGeneratorBlock()
    given = {"model": model, "prompt": text, "prompt_values": {"a": [text]}}
    assert generator.cost_of(given) == amount
    assert generator.cost_of({**given, "credentials": {"id": "somebodys-own"}}) == 0


def test_the_listed_costs_are_those_that_are_charged() -> None:
    for cost in caller.costs:
        assert caller.cost_of({"model": cost.filter.get("model", "unheard-of")}) == cost.credits
