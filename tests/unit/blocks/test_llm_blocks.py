from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from app.blocks.base import RemoteBlock
from app.blocks.credentials import ApiKey, CredentialsMissing, UserPassword
from app.blocks.library.llm import AIConversationBlock, AITextGeneratorBlock, PerplexityBlock
from app.blocks.library.llm_condition import AIConditionBlock
from app.blocks.library.llm_structured import AIListGeneratorBlock, AIStructuredResponseGeneratorBlock
from app.blocks.library.llm_summary import AITextSummarizerBlock
from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.graph.costs import Use
from app.llm.language_models import LanguageModels
from app.llm.models import SERVICES, Provider
from tests.unit.blocks.contexts import GivenCredentials
from tests.unit.blocks.model_calls import answers, run, sent
from tests.unit.blocks.model_server import CHAT, fails, says
from tests.unit.blocks.stub_server import Answer, StubServer, running_server

conversation = AIConversationBlock()
structured = AIStructuredResponseGeneratorBlock()
lists = AIListGeneratorBlock()
condition = AIConditionBlock()
summarizer = AITextSummarizerBlock()
perplexity = PerplexityBlock()
PERSON = {"name": "who it is", "age": "in years"}


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    async with running_server() as stub:
        stub.answers[CHAT] = says("Hi")
        yield stub


@pytest.fixture
async def models(server: StubServer) -> AsyncIterator[LanguageModels]:
    models = LanguageModels(base_url=f"{server.url}/v1", api_keys={Provider.OPENAI: "sk-workers"})
    yield models
    await models.aclose()


@pytest.fixture
async def providers(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LanguageModels]:
    """Models that are asked at their providers, all of which are the stub."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    for provider, service in SERVICES.items():
        monkeypatch.setitem(SERVICES, provider, replace(service, base_url=f"{server.url}/v1"))
    models = LanguageModels()
    yield models
    await models.aclose()


class TestConversation:
    async def test_it_goes_on_with_what_was_said(self, server: StubServer, models: LanguageModels) -> None:
        said = [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Yes?"},
        ]
        emitted = await run(conversation, models, messages=said, prompt="Bye", max_tokens=9)
        whole = [*said, {"role": "user", "content": "Bye"}]
        assert emitted == [("response", "Hi"), ("prompt", whole)]
        assert sent(server) == whole

    async def test_a_text_alone_was_said_by_the_user(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        await run(
            conversation, models, messages=["Hello", {"role": "human", "content": ["a", {"text": "b"}]}]
        )
        assert sent(server) == [{"role": "user", "content": "Hello"}, {"role": "user", "content": "a\nb"}]

    async def test_nothing_said_cannot_be_answered(self, server: StubServer, models: LanguageModels) -> None:
        with pytest.raises(BlockInputInvalid):
            await run(conversation, models, messages=[], prompt="")
        assert server.asked == []

    @pytest.mark.parametrize("message", [3, {"role": "user"}, [1]])
    async def test_a_message_that_is_none_is_refused(self, models: LanguageModels, message: Any) -> None:
        with pytest.raises(BlockInputInvalid):
            await run(conversation, models, messages=[message])


class TestCondition:
    @pytest.mark.parametrize("text", ["true", "True.", "**yes**", '"true"', "Yes, it is."])
    async def test_it_holds(self, server: StubServer, models: LanguageModels, text: str) -> None:
        answers(server, text)
        emitted = await run(condition, models, input_value={"a": 1}, condition="it is an object")
        assert emitted == [("result", True), ("yes_output", {"a": 1})]
        assert "it is an object" in sent(server)[-1]["content"]
        assert '{"a": 1}' in sent(server)[-1]["content"]

    @pytest.mark.parametrize("text", ["false", "No", "`false`"])
    async def test_it_does_not_hold(self, server: StubServer, models: LanguageModels, text: str) -> None:
        answers(server, text)
        emitted = await run(condition, models, input_value=1, condition="c", yes_value="y", no_value="n")
        assert emitted == [("result", False), ("no_output", "n")]

    @pytest.mark.parametrize("text", ["maybe", "", "truethful"])
    async def test_neither_is_a_failure(self, server: StubServer, models: LanguageModels, text: str) -> None:
        answers(server, text)
        with pytest.raises(BlockError, match="neither"):
            await run(condition, models, input_value=1, condition="c")


class TestPerplexity:
    async def test_it_emits_the_answer_and_its_sources(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        source = {
            "type": "url_citation",
            "url_citation": {
                "url": "https://e.org",
                "title": "E",
                "start_index": 0,
                "end_index": 2,
                "content": "x",
            },
        }
        answer = json.loads(says("Hi").body)
        answer["choices"][0]["message"]["annotations"] = [source]
        server.answers[CHAT] = Answer.of_json(answer)
        emitted = await run(perplexity, models, prompt="p", system_prompt="s", max_tokens=5)
        assert emitted[0] == ("response", "Hi")
        assert emitted[1][0] == "annotations"
        assert emitted[1][1][0]["url_citation"]["url"] == "https://e.org"
        told = server.asked[0].json()
        assert (told["model"], told["max_tokens"]) == ("perplexity/sonar", 5)
        assert [message["content"] for message in sent(server)] == ["s", "p"]

    async def test_it_has_no_sources_when_none_are_named(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        emitted = await run(perplexity, models, prompt="p", model="perplexity/sonar-pro")
        assert emitted == [("response", "Hi"), ("annotations", [])]


CALLS: list[tuple[RemoteBlock, dict[str, Any]]] = [
    (AITextGeneratorBlock(), {"prompt": "p"}),
    (conversation, {"messages": ["p"]}),
    (structured, {"prompt": "p", "expected_format": {}}),
    (lists, {"focus": "p"}),
    (condition, {"input_value": 1, "condition": "c"}),
    (summarizer, {"text": "t"}),
    (perplexity, {"prompt": "p"}),
]


@pytest.mark.parametrize(("block", "given"), CALLS, ids=lambda value: getattr(value, "name", ""))
class TestEveryBlock:
    async def test_it_uses_the_owners_own_key_and_is_free_with_it(
        self, server: StubServer, providers: LanguageModels, block: RemoteBlock, given: dict[str, Any]
    ) -> None:
        answers(server, '["true"]' if block is lists else "true")
        own = ApiKey("open_router" if block is perplexity else "openai", "sk-own")
        await run(block, providers, credentials=GivenCredentials(credentials=own), **given)
        assert server.asked[0].headers["authorization"] == "Bearer sk-own"

        plain = block.Input(**given).model_dump()
        assert block.cost_of(plain) > 0
        with_own = plain | {"credentials": {"id": "c"}}
        used = Use(microcredits=2_500_001)
        assert (block.cost_of(with_own), block.charge_of(with_own, used)) == (0, 0)
        assert block.charge_of(plain, used) == 3
        assert not block.credentials["credentials"].is_required

    async def test_it_refuses_credentials_that_are_no_key(
        self, server: StubServer, models: LanguageModels, block: RemoteBlock, given: dict[str, Any]
    ) -> None:
        wrong = GivenCredentials(credentials=UserPassword("openai", "u", "p"))
        with pytest.raises(CredentialsMissing):
            await run(block, models, credentials=wrong, **given)
        assert server.asked == []

    async def test_it_leaves_trying_again_to_the_engine(
        self, server: StubServer, models: LanguageModels, block: RemoteBlock, given: dict[str, Any]
    ) -> None:
        server.answers[CHAT] = fails(429, retry_after="7")
        with pytest.raises(BlockUnavailable) as failure:
            await run(block, models, **given)
        assert failure.value.retry_after_seconds == 7
        assert len(server.asked) == 1
