from __future__ import annotations

import asyncio
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator

import pytest

from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.llm.language_models import Completion, LanguageModels, Message
from app.llm.models import Provider
from tests.unit.blocks.model_server import ANTHROPIC_MESSAGES, CHAT, fails, says, says_as_anthropic
from tests.unit.blocks.stub_server import Answer, StubServer, running_server

KEY = "sk-canary-0123456789"
HELLO: list[Message] = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    async with running_server() as stub:
        stub.answers[CHAT] = says("Hi")
        stub.answers[ANTHROPIC_MESSAGES] = says_as_anthropic("Hi")
        yield stub


@pytest.fixture
async def models(server: StubServer) -> AsyncIterator[LanguageModels]:
    models = LanguageModels(base_url=f"{server.url}/v1", api_keys={Provider.OPENAI: KEY}, timeout_seconds=20)
    yield models
    await models.aclose()


@pytest.fixture
async def providers(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LanguageModels]:
    """The models as they are without a base URL, with the providers' own addresses replaced by the stub's."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    models = LanguageModels(api_keys={Provider.OPENAI: KEY, Provider.ANTHROPIC: KEY})
    yield models
    await models.aclose()


async def test_a_model_answers(server: StubServer, models: LanguageModels) -> None:
    sent: list[Message] = [{"role": "system", "content": "Be brief"}, *HELLO]
    completion = await models.complete(
        "any-model", sent, max_tokens=20, temperature=0, idempotency_key="e:ü:1"
    )

    assert completion == Completion(
        text="Hi", input_tokens=11, output_tokens=7, messages=sent, model="any-model"
    )
    (asked,) = server.asked
    told = asked.json()
    assert told["model"] == "any-model"
    assert told["messages"] == sent
    assert (told["max_tokens"], told["temperature"]) == (20, 0)
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["idempotency-key"] == "e:%C3%BC:1"


async def test_what_is_not_asked_for_is_left_to_the_provider(
    server: StubServer, models: LanguageModels
) -> None:
    await models.complete("m", HELLO)
    told = server.asked[0].json()
    assert not {"max_tokens", "max_completion_tokens", "temperature"} & set(told)
    assert "idempotency-key" not in server.asked[0].headers


async def test_a_conversation_keeps_its_order(server: StubServer, models: LanguageModels) -> None:
    sent: list[Message] = [
        *HELLO,
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Bye"},
    ]
    await models.complete("m", sent)
    assert [message["content"] for message in server.asked[0].json()["messages"]] == ["Hello", "Yes?", "Bye"]


@pytest.mark.parametrize("model", ["gpt-4", "claude-haiku-4-5", "vendor/thing:free"])
async def test_every_name_goes_to_the_base_url_as_it_is(
    server: StubServer, models: LanguageModels, model: str
) -> None:
    await models.complete(model, HELLO)
    assert server.asked[0].json()["model"] == model


async def test_a_server_without_keys_is_asked_without_one(server: StubServer) -> None:
    models = LanguageModels(base_url=f"{server.url}/v1")
    assert (await models.complete("m", HELLO)).text == "Hi"
    await models.aclose()


@pytest.mark.parametrize("model", ["gpt-4o", "openai/gpt-4o"])
async def test_a_model_of_openai_is_asked_there(
    server: StubServer, providers: LanguageModels, model: str
) -> None:
    assert (await providers.complete(model, HELLO, max_tokens=5)).text == "Hi"
    (asked,) = server.asked
    assert (asked.target, asked.json()["model"]) == (CHAT, "gpt-4o")
    assert asked.json()["max_completion_tokens"] == 5


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "anthropic/claude-haiku-4-5"])
async def test_a_model_of_anthropic_is_asked_there(
    server: StubServer, providers: LanguageModels, model: str
) -> None:
    sent: list[Message] = [{"role": "system", "content": "Be brief"}, *HELLO]
    completion = await providers.complete(model, sent, max_tokens=9, idempotency_key="k")
    assert (completion.text, completion.input_tokens, completion.output_tokens) == ("Hi", 5, 3)
    (asked,) = server.asked
    told = asked.json()
    assert (asked.target, told["model"], told["max_tokens"]) == (ANTHROPIC_MESSAGES, "claude-haiku-4-5", 9)
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["idempotency-key"] == "k"
    assert "Be brief" in str(told["system"])


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        ("gpt-4", "OPENAI_API_KEY"),
        ("claude-haiku-4-5", "ANTHROPIC_API_KEY"),
        ("llama3", "PERDURE_LLM_BASE_URL"),
    ],
)
async def test_a_model_that_nobody_serves_names_the_setting_that_is_missing(model: str, setting: str) -> None:
    with pytest.raises(BlockError, match=setting) as failure:
        await LanguageModels().complete(model, HELLO)
    assert not failure.value.is_transient


@pytest.mark.parametrize("model", ["", "m" * 201])
async def test_a_name_that_can_be_none_is_refused(models: LanguageModels, model: str) -> None:
    with pytest.raises(BlockInputInvalid):
        await models.complete(model, HELLO)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_a_failure_that_may_pass_is_left_to_the_engine(
    server: StubServer, models: LanguageModels, status: int
) -> None:
    server.answers[CHAT] = fails(status, retry_after="7")
    with pytest.raises(BlockUnavailable, match=str(status)) as failure:
        await models.complete("m", HELLO)
    assert failure.value.retry_after_seconds == 7
    assert len(server.asked) == 1, "the client library tried again by itself"


async def test_a_failure_of_anthropic_is_left_to_the_engine_too(
    server: StubServer, providers: LanguageModels
) -> None:
    server.answers[ANTHROPIC_MESSAGES] = Answer.of_json(
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 529
    )
    with pytest.raises(BlockUnavailable, match="529"):
        await providers.complete("claude-haiku-4-5", HELLO)
    assert len(server.asked) == 1, "the client library tried again by itself"


@pytest.mark.parametrize("header", ["99999999", "Fri, 01 Jan 2100 00:00:00 GMT"])
async def test_no_provider_puts_a_call_off_for_ever(
    server: StubServer, models: LanguageModels, header: str
) -> None:
    server.answers[CHAT] = fails(429, retry_after=header)
    with pytest.raises(BlockUnavailable) as failure:
        await models.complete("m", HELLO)
    assert failure.value.retry_after_seconds == 3_600


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (fails(400, message="max_tokens is too large"), "max_tokens is too large"),
        (fails(401, message=f"Incorrect key {KEY}"), "does not accept the key"),
        (fails(403), "does not accept the key"),
        (fails(404), "does not know the model"),
        (fails(422, message=f"Odd: {KEY}"), r"Odd: \*\*\*"),
        (fails(429, code="insufficient_quota"), "used up"),
        (Answer(400, b"<html>"), "refuses"),
        (says("Hi", finish_reason="content_filter"), "content filter"),
        (says(None, finish_reason="length"), "max_tokens"),
    ],
)
async def test_a_failure_that_stays_says_what_it_is_and_no_secret(
    server: StubServer, models: LanguageModels, answer: Answer, words: str
) -> None:
    server.answers[CHAT] = answer
    with pytest.raises(BlockError, match=words) as failure:
        await models.complete("m", HELLO)
    assert not failure.value.is_transient
    assert KEY not in "".join(traceback.format_exception(failure.value))
    assert failure.value.__cause__ is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer(breaks_off=True),
        Answer(200, b"<html>", {"content-type": "text/html"}),
        Answer(200, b"{", {"content-type": "application/json"}),
        Answer.of_json({}),
        Answer.of_json({"choices": []}),
    ],
)
async def test_an_answer_that_is_none_may_be_one_next_time(
    server: StubServer, models: LanguageModels, answer: Answer
) -> None:
    server.answers[CHAT] = answer
    with pytest.raises(BlockUnavailable):
        await models.complete("m", HELLO)


async def test_a_model_that_keeps_silent_is_unavailable(server: StubServer) -> None:
    server.answers[CHAT] = Answer(hangs=True)
    models = LanguageModels(base_url=f"{server.url}/v1", timeout_seconds=0.2)
    with pytest.raises(BlockUnavailable):
        await models.complete("m", HELLO)
    await models.aclose()


async def test_a_cancelled_call_leaves_at_once(server: StubServer, models: LanguageModels) -> None:
    server.answers[CHAT] = Answer(hangs=True)
    call = asyncio.create_task(models.complete("m", HELLO))
    await asyncio.wait_for(server.reached.wait(), 60)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(server.left.wait(), 60)


def test_the_client_libraries_are_not_loaded_before_a_model_is_asked_that_needs_them() -> None:
    program = (
        "import sys, app.blocks.library.llm; "
        "assert not {'pydantic_ai', 'openai', 'anthropic'} & set(sys.modules); "
        "import app.llm.model_clients; "
        "assert 'anthropic' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
