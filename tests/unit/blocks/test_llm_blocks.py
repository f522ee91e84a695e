from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from app.blocks.base import RemoteBlock
from app.blocks.credentials import ApiKey, CredentialsMissing, UserPassword
from app.blocks.library.llm import AIConversationBlock, AITextGeneratorBlock, PerplexityBlock
from app.blocks.library.llm_condition import AIConditionBlock
from app.blocks.library.llm_structured import AIListGeneratorBlock, AIStructuredResponseGeneratorBlock
from app.blocks.library.llm_summary import AITextSummarizerBlock, cut
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded, BlockUnavailable
from app.llm.language_models import LanguageModels
from app.llm.models import Provider
from tests.unit.blocks.contexts import GivenCredentials, MemorySteps, make_context
from tests.unit.blocks.model_server import CHAT, fails, says
from tests.unit.blocks.stub_server import Answer, Asked, StubServer, running_server

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


async def run(
    block: RemoteBlock,
    models: LanguageModels,
    *,
    steps: MemorySteps | None = None,
    credentials: GivenCredentials | None = None,
    **given: Any,
) -> list[tuple[str, Any]]:
    context = make_context(language_models=models, steps=steps, credentials=credentials)
    return [emitted async for emitted in block.run(block.Input(**given), context)]


def answers(server: StubServer, *texts: str) -> None:
    """Have the model say one text after the other, the last one for ever."""
    left = list(texts)

    def say(_: Asked) -> Answer:
        return says(left.pop(0) if len(left) > 1 else left[0])

    server.answers[CHAT] = say


def sent(server: StubServer, number: int = -1) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = server.asked[number].json()["messages"]
    return messages


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


class TestStructured:
    async def test_it_emits_the_object_and_then_the_messages(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        answers(server, '{"name": "Ada", "age": 36, "more": 1}')
        emitted = await run(
            structured,
            models,
            prompt="Who is {{x}}?",
            sys_prompt="Be exact",
            prompt_values={"x": "she"},
            expected_format=PERSON,
            conversation_history=[{"role": "user", "content": "Before"}],
        )
        messages = sent(server)
        assert emitted == [("response", {"name": "Ada", "age": 36, "more": 1}), ("prompt", messages)]
        assert [message["role"] for message in messages] == ["system", "system", "user", "user"]
        assert messages[0]["content"] == "Be exact"
        assert all(word in messages[1]["content"] for word in ("JSON", *PERSON, *PERSON.values()))
        assert [message["content"] for message in messages[2:]] == ["Before", "Who is she?"]

    @pytest.mark.parametrize(
        "text",
        [
            '```json\n{"name": "Ada", "age": 36}\n```',
            'Here you are: {"name": "Ada", "age": 36} I hope {that} helps.',
            '[{"name": "Ada", "age": 36}]',
            'The form {"a": 1} is filled in:\n{"name": "Ada",\n "age": 36}',
        ],
    )
    async def test_the_object_is_found_among_other_words(
        self, server: StubServer, models: LanguageModels, text: str
    ) -> None:
        answers(server, text)
        emitted = await run(structured, models, prompt="p", expected_format=PERSON)
        assert emitted[0] == ("response", {"name": "Ada", "age": 36})
        assert len(server.asked) == 1

    async def test_an_answer_of_another_form_is_sent_back_with_what_is_wrong(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        answers(server, "I do not know", '{"name": "Ada"}', '{"name": "Ada", "age": 36}')
        emitted = await run(structured, models, prompt="p", expected_format=PERSON, retry=3)
        assert emitted[0] == ("response", {"name": "Ada", "age": 36})
        assert [len(sent(server, number)) for number in range(3)] == [2, 4, 6]
        assert sent(server)[2] == {"role": "assistant", "content": "I do not know"}
        assert '"age"' in sent(server)[5]["content"]
        assert emitted[1] == ("prompt", sent(server))
        keys = [asked.headers["idempotency-key"] for asked in server.asked]
        assert len(set(keys)) == 3

    async def test_it_fails_when_no_answer_had_the_form(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        with pytest.raises(BlockError, match="form"):
            await run(structured, models, prompt="p", expected_format=PERSON, retry=2)
        assert len(server.asked) == 2

    async def test_without_a_form_any_text_will_do(self, server: StubServer, models: LanguageModels) -> None:
        emitted = await run(structured, models, prompt="p", expected_format={}, force_json_output=True)
        assert emitted == [
            ("response", {"response": "Hi"}),
            ("prompt", [{"role": "user", "content": "p"}]),
        ]
        assert "response_format" not in server.asked[0].json()

    @pytest.mark.parametrize("text", ['[{"name": 1, "age": 2}]', '{"list": [{"name": 1, "age": 2}]}'])
    async def test_a_list_of_objects_may_be_asked_for(
        self, server: StubServer, models: LanguageModels, text: str
    ) -> None:
        answers(server, '[{"name": 1}]', text)
        emitted = await run(structured, models, prompt="p", expected_format=PERSON, list_result=True)
        assert emitted[0] == ("response", [{"name": 1, "age": 2}])
        assert len(server.asked) == 2

    async def test_the_provider_may_see_to_it_that_it_is_json(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        answers(server, '{"name": 1, "age": 2}')
        await run(structured, models, prompt="p", expected_format=PERSON, force_json_output=True)
        assert server.asked[0].json()["response_format"] == {"type": "json_object"}

    async def test_what_was_answered_is_not_asked_again_in_the_next_attempt(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        steps = MemorySteps()
        left: list[Answer] = [says("no"), fails(503), says('{"name": 1, "age": 2}')]
        server.answers[CHAT] = lambda _: left.pop(0)
        given: dict[str, Any] = {"prompt": "p", "expected_format": PERSON}
        with pytest.raises(BlockUnavailable):
            await run(structured, models, steps=steps, **given)
        emitted = await run(structured, models, steps=steps, **given)
        assert emitted[0] == ("response", {"name": 1, "age": 2})
        assert len(server.asked) == 3

    async def test_a_prompt_that_is_too_long_loses_its_middle(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        answers(server, '{"name": 1, "age": 2}')
        given: dict[str, Any] = {
            "prompt": "a" * 30_000 + "b" * 30_000,
            "expected_format": PERSON,
            "model": "gpt-4",
        }
        await run(structured, models, **given)
        content = sent(server)[-1]["content"]
        assert len(content) < 13_000
        assert content.startswith("aaa")
        assert content.endswith("bbb")
        await run(structured, models, compress_prompt_to_fit=False, **given)
        assert len(sent(server)[-1]["content"]) == 60_000


class TestLists:
    async def test_it_emits_the_list_the_messages_and_then_each_item(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        answers(server, '["a", "b"]')
        emitted = await run(lists, models, focus="letters", source_data="abc")
        assert emitted == [
            ("generated_list", ["a", "b"]),
            ("prompt", sent(server)),
            ("list_item", "a"),
            ("list_item", "b"),
        ]
        assert "letters" in sent(server)[-1]["content"]
        assert "abc" in sent(server)[-1]["content"]

    @pytest.mark.parametrize(
        ("text", "items"),
        [
            ("```\n['it''s', 'b']\n```", ["its", "b"]),
            ("['a', \"it's\", 3]", ["a", "it's", "3"]),
            ('{"items": ["a"]}', ["a"]),
            ('Sure! ["a", {"b": 1}, null]', ["a", '{"b": 1}', "null"]),
            ("[]", []),
        ],
    )
    async def test_a_list_is_found_as_models_write_it(
        self, server: StubServer, models: LanguageModels, text: str, items: Sequence[str]
    ) -> None:
        answers(server, text)
        emitted = await run(lists, models)
        assert emitted[0] == ("generated_list", items)

    async def test_it_asks_again_and_fails_in_the_end(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        with pytest.raises(BlockError, match="list"):
            await run(lists, models, focus="x", max_retries=2)
        assert len(server.asked) == 2


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


class TestSummarizer:
    async def test_a_short_text_is_summarized_at_once(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        emitted = await run(summarizer, models, text="one two", focus="numbers", style="bullet points")
        assert emitted == [("summary", "Hi"), ("prompt", sent(server))]
        (asked,) = server.asked
        assert asked.json()["max_tokens"] == 4096
        assert "numbers" in sent(server)[0]["content"]
        assert "bullet points" in sent(server)[0]["content"]
        assert sent(server)[1] == {"role": "user", "content": "one two"}

    async def test_the_parts_of_a_long_text_are_summarized_and_then_their_summaries(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        answers(server, "s1", "s2", "s3", "all")
        words = [f"w{number}" for number in range(24)]
        emitted = await run(summarizer, models, text=" ".join(words), max_tokens=10, chunk_overlap=2)
        assert [sent(server, number)[1]["content"].split() for number in range(3)] == [
            words[0:10],
            words[8:18],
            words[16:24],
        ]
        assert sent(server, 3)[1]["content"] == "s1\n\ns2\n\ns3"
        assert emitted[0] == ("summary", "all")
        assert len(server.asked) == 4

    async def test_parts_that_are_done_are_not_paid_for_again(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        steps, left = MemorySteps(), [says("s1"), fails(503), says("s2"), says("all")]
        server.answers[CHAT] = lambda _: left.pop(0)
        given: dict[str, Any] = {"text": "a b c d", "max_tokens": 2, "chunk_overlap": 0}
        with pytest.raises(BlockUnavailable):
            await run(summarizer, models, steps=steps, **given)
        assert (await run(summarizer, models, steps=steps, **given))[0] == ("summary", "all")
        assert len(server.asked) == 4

    async def test_summaries_that_never_end_are_a_failure(
        self, server: StubServer, models: LanguageModels
    ) -> None:
        answers(server, "as long as before")
        with pytest.raises(BlockLimitExceeded):
            await run(summarizer, models, text="a b c d", max_tokens=2, chunk_overlap=0)

    @pytest.mark.parametrize(("text", "size"), [("", 10), (" \n", 10), ("a", 0)])
    async def test_nothing_to_summarize_is_refused(
        self, models: LanguageModels, text: str, size: int
    ) -> None:
        with pytest.raises(BlockInputInvalid):
            await run(summarizer, models, text=text, max_tokens=size)

    def test_there_are_a_hundred_parts_at_most_and_nothing_is_lost(self) -> None:
        words = [str(number) for number in range(10_007)]
        chunks = cut(words, size=10, overlap=3)
        assert len(chunks) <= 100
        assert {word for chunk in chunks for word in chunk.split()} == set(words)

    def test_parts_may_not_share_all_of_their_words(self) -> None:
        assert len(cut([str(number) for number in range(50)], size=10, overlap=100)) == 50


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
        self, server: StubServer, models: LanguageModels, block: RemoteBlock, given: dict[str, Any]
    ) -> None:
        answers(server, '["true"]' if block is lists else "true")
        own = GivenCredentials(credentials=ApiKey("openai", "sk-own"))
        await run(block, models, credentials=own, **given)
        assert server.asked[0].headers["authorization"] == "Bearer sk-own"

        plain = block.Input(**given).model_dump()
        assert block.cost_of(plain) > 0
        assert block.cost_of(plain | {"credentials": {"id": "c"}}) == 0
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
