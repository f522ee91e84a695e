from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from app.blocks.library.llm_structured import AIListGeneratorBlock, AIStructuredResponseGeneratorBlock
from app.blocks.library.llm_summary import AITextSummarizerBlock, cut
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded, BlockUnavailable
from app.llm.language_models import LanguageModels
from tests.unit.blocks.contexts import MemorySteps
from tests.unit.blocks.model_calls import answers, run, sent
from tests.unit.blocks.model_server import CHAT, fails, says
from tests.unit.blocks.stub_server import Answer, StubServer, running_server

structured = AIStructuredResponseGeneratorBlock()
lists = AIListGeneratorBlock()
summarizer = AITextSummarizerBlock()
PERSON = {"name": "who it is", "age": "in years"}


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
