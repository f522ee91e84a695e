"""The blocks that ask a language model for an answer of a certain form, and ask again when it has another."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted
from app.blocks.credentials import CredentialsRef
from app.blocks.json_answers import NoJson, find_json, find_list
from app.blocks.model_block import (
    ModelBlock,
    as_plain,
    ask_in_step,
    fill,
    fit,
    make_messages,
    read_messages,
)
from app.errors import BlockError
from app.json_values import to_json
from app.llm.language_models import Message
from app.llm.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

MAX_QUESTIONS = 20
"""However often a node may ask again."""

T = TypeVar("T")


class AIStructuredResponseGeneratorBlock(ModelBlock):
    """Have a language model answer with an object that has certain keys, or with a list of such objects.

    An answer of another form is sent back with what is wrong with it. Answers that were given are not asked for again
    when the node is tried again.
    """

    id = "ed55ac19-356e-4243-a6cb-bc599e9b716f"
    slug = "ai_structured_response_generator_block"

    class Input(BlockInput):
        """The prompt, the form of the answer, and who answers."""

        prompt: str
        """What the model is asked. May hold `{{name}}` expressions, filled from `prompt_values`."""
        expected_format: dict[str, str]
        """The keys that the answer has to have, each with a word about what stands there. Empty for any text."""
        list_result: bool = False
        """Whether the answer is to be a list of such objects."""
        model: str = DEFAULT_MODEL
        """The model's name."""
        force_json_output: bool = False
        """Whether the provider sees to it that the answer is JSON, where it can."""
        credentials: CredentialsRef | None = None
        """Your own key for the model's provider; the server's is used when there is none."""
        sys_prompt: str = ""
        """What the model is told before. May hold expressions as `prompt` does."""
        conversation_history: list[dict[str, Any]] | None = Field(default=[])
        """What was said before."""
        retry: int = 3
        """How often the model is asked at most until its answer has the form."""
        prompt_values: dict[str, str] = Field(default={})
        """The values of the expressions; the prompts are taken as they are when there are none."""
        max_tokens: int | None = None
        """The most that the model may answer."""
        compress_prompt_to_fit: bool = True
        """Whether messages are cut in their middle when the model cannot read all of them."""
        ollama_host: str = "localhost:11434"
        """Not used: local models are served through the server's setting `PERDURE_LLM_BASE_URL`."""

    class Output(BlockOutput):
        """The answer, then the conversation."""

        response: dict[str, Any] | list[dict[str, Any]]
        """What the model gave."""
        prompt: list[Any]
        """The messages that were sent, each with `role` and `content`."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Ask until the answer has the form.

        Raises:
            BlockUnavailable: The provider cannot answer now.
            BlockError: No answer had the form, the provider refuses, or an expression is wrong.
        """
        values = given.prompt_values
        messages = make_messages(fill(given.sys_prompt, values), fill(given.prompt, values))
        if given.expected_format:
            messages.insert(-1, {"role": "system", "content": _describe(given)})
        messages[-1:-1] = read_messages(given.conversation_history or ())
        if given.compress_prompt_to_fit:
            messages = fit(messages, given.model, answer_tokens=given.max_tokens)
        answer, sent = await _ask_until(
            context,
            given.model,
            messages,
            read=lambda text: _read_response(text, given),
            times=given.retry,
            max_tokens=given.max_tokens,
            force_json=given.force_json_output and bool(given.expected_format),
        )
        yield "response", answer
        yield "prompt", as_plain(sent)


class AIListGeneratorBlock(ModelBlock):
    """Have a language model make a list of texts, about a subject or out of a text."""

    id = "9c0b0450-d199-458b-a731-072189dd6593"
    slug = "ai_list_generator_block"
    categories = (BlockCategory.AI, BlockCategory.TEXT)
    emits_many = True

    class Input(BlockInput):
        """What the list is about, and who makes it."""

        focus: str | None = None
        """What the list is to hold."""
        source_data: str | None = None
        """The text that it is taken from; made up when there is none."""
        model: str = DEFAULT_MODEL
        """The model's name."""
        credentials: CredentialsRef | None = None
        """Your own key for the model's provider; the server's is used when there is none."""
        max_retries: int = 3
        """How often the model is asked at most until it gives a list."""
        force_json_output: bool = False
        """Whether the provider sees to it that the answer is JSON, where it can."""
        max_tokens: int | None = None
        """The most that the model may answer."""
        ollama_host: str = "localhost:11434"
        """Not used: local models are served through the server's setting `PERDURE_LLM_BASE_URL`."""

    class Output(BlockOutput):
        """The list, the conversation, then each item by itself."""

        generated_list: list[str]
        """The whole list."""
        list_item: str
        """One item; emitted once for each."""
        prompt: list[Any]
        """The messages that were sent, each with `role` and `content`."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Ask until the answer is a list.

        Raises:
            BlockUnavailable: The provider cannot answer now.
            BlockError: No answer was a list, or the provider refuses.
        """
        items, sent = await _ask_until(
            context,
            given.model,
            make_messages(_LIST_SYSTEM_PROMPT, _list_prompt(given)),
            read=_read_items,
            times=given.max_retries,
            max_tokens=given.max_tokens,
            force_json=given.force_json_output,
        )
        yield "generated_list", items
        yield "prompt", as_plain(sent)
        for item in items:
            yield "list_item", item


_LIST_SYSTEM_PROMPT = (
    "You make lists. Answer with a JSON array of texts and with nothing else, for example "
    '["first", "second"]. Every item is one text; say nothing before or after the array.'
)


def _describe(given: AIStructuredResponseGeneratorBlock.Input) -> str:
    form = json.dumps(given.expected_format, ensure_ascii=False, indent=2)
    if not given.list_result:
        return (
            "Answer with one JSON object and nothing else. It has these keys; what stands next to each says what "
            f"to put there:\n{form}"
        )
    # Where the provider insists on an object, the list has to stand in one.
    outer = (
        'one JSON object {"list": [...]} whose list' if given.force_json_output else "one JSON array which"
    )
    return (
        f"Answer with {outer} holds objects, and with nothing else. Each object has these keys; what stands next "
        f"to each says what to put there:\n{form}"
    )


def _list_prompt(given: AIListGeneratorBlock.Input) -> str:
    about = (
        f"The list is to hold: {given.focus}"
        if given.focus
        else "Choose what belongs into the list yourself."
    )
    if given.source_data:
        return f"{about}\n\nTake the items from this text and from nowhere else:\n{given.source_data}"
    return f"{about}\n\nThere is no text to take the items from: make them up so that they are of use."


async def _ask_until(
    context: BlockContext,
    model: str,
    messages: list[Message],
    *,
    read: Callable[[str], T],
    times: int,
    **how: Any,
) -> tuple[T, list[Message]]:
    """Ask until an answer can be read, and return what was read and what was sent for it.

    Raises:
        BlockError: No answer could be read.
    """
    sent = messages
    problem = ""
    for number in range(1, min(max(times, 1), MAX_QUESTIONS) + 1):
        text = await ask_in_step(context, f"question {number}", model, sent, **how)
        try:
            return read(text), sent
        except NoJson as error:
            problem = str(error)
        told = (
            f"This answer cannot be used. {problem} "
            "Answer again, in the form that was asked for and with nothing else."
        )
        sent = [*sent, {"role": "assistant", "content": text}, {"role": "user", "content": told}]
    raise BlockError(f"The model did not answer in the form that was asked for: {problem}")


def _read_response(text: str, given: AIStructuredResponseGeneratorBlock.Input) -> Any:
    if not given.expected_format:
        return {"response": text}
    if given.list_result:
        items = find_list(text)
        for number, item in enumerate(items, 1):
            _require_keys(item, given.expected_format, f"Item {number} of the list")
        return items
    value = find_json(text)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    _require_keys(value, given.expected_format, "The answer")
    return value


def _require_keys(value: Any, expected: dict[str, str], what: str) -> None:
    if not isinstance(value, dict):
        raise NoJson(f"{what} is no JSON object.")
    missing = [key for key in expected if key not in value]
    if missing:
        raise NoJson(f"{what} lacks the keys {', '.join(map(json.dumps, missing))}.")


def _read_items(text: str) -> list[str]:
    return [
        item if isinstance(item, str) else json.dumps(to_json(item), ensure_ascii=False)
        for item in find_list(text)
    ]
