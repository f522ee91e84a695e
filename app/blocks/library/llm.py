"""The blocks that ask a language model for a text. Who serves a model is decided in `app.llm.routing`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted
from app.blocks.credentials import CredentialsRef
from app.blocks.model_block import ModelBlock, as_plain, ask, fill, make_messages, read_messages
from app.errors import BlockInputInvalid
from app.graph.costs import Cost
from app.graph.credentials import CredentialsNeed
from app.llm.models import DEFAULT_MODEL, find_credits
from app.templating.templates import fill_placeholders

if TYPE_CHECKING:
    from app.blocks.context import BlockContext


class AITextGeneratorBlock(ModelBlock):
    """Let a language model write a text, given a prompt.

    A call that fails for a passing reason is tried again by the engine, as the node's retry policy says.
    """

    id = "1f292d4a-41a4-4977-9684-7c8d560b9f91"
    slug = "ai_text_generator_block"

    class Input(BlockInput):
        """The prompt, and who answers it."""

        prompt: str
        """What the model is asked. May hold `{{name}}` expressions, filled from `prompt_values`."""
        model: str = DEFAULT_MODEL
        """The model's name."""
        credentials: CredentialsRef | None = None
        """Your own key for the model's provider; the server's is used when there is none."""
        sys_prompt: str = ""
        """What the model is told before. May hold expressions as `prompt` does."""
        retry: int = 3
        """Not used: the engine tries again, as often as the node's `metadata.retry` says."""
        prompt_values: dict[str, str] = Field(default={})
        """The values of the expressions; the prompts are taken as they are when there are none."""
        ollama_host: str = "localhost:11434"
        """Not used: local models are served through the server's setting `PERDURE_LLM_BASE_URL`."""
        max_tokens: int | None = None
        """The most that the model may answer."""

    class Output(BlockOutput):
        """The answer, then the conversation."""

        response: str
        """What the model wrote."""
        prompt: list[Any]
        """The messages that were sent, each with `role` and `content`."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Ask the model.

        Raises:
            BlockUnavailable: The provider cannot answer now.
            BlockError: The provider refuses, none is configured, or an expression is wrong.
        """
        system, prompt = fill(given.sys_prompt, given.prompt_values), fill(given.prompt, given.prompt_values)
        messages = make_messages(system, prompt)
        completion = await ask(context, given.model, messages, max_tokens=given.max_tokens, is_shown=True)
        yield "response", completion.text
        yield "prompt", as_plain(completion.messages)


class AIConversationBlock(ModelBlock):
    """Let a language model go on with a conversation."""

    id = "32a87eab-381e-4dd4-bdb8-4c47151be35a"
    slug = "ai_conversation_block"

    class Input(BlockInput):
        """What was said so far, and who answers."""

        prompt: str = ""
        """What is said last; nothing when it is empty."""
        messages: list[Any]
        """Objects with `role` (`system`, `user`, `assistant`) and `content`, or texts of the user."""
        model: str = DEFAULT_MODEL
        """The model's name."""
        credentials: CredentialsRef | None = None
        """Your own key for the model's provider; the server's is used when there is none."""
        max_tokens: int | None = None
        """The most that the model may answer."""
        ollama_host: str = "localhost:11434"
        """Not used: local models are served through the server's setting `PERDURE_LLM_BASE_URL`."""

    class Output(BlockOutput):
        """The answer, then the conversation."""

        response: str
        """What the model wrote."""
        prompt: list[Any]
        """The messages that were sent, each with `role` and `content`."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Ask the model.

        Raises:
            BlockInputInvalid: There is nothing to answer, or a message that is none.
            BlockUnavailable: The provider cannot answer now.
            BlockError: The provider refuses, or none is configured.
        """
        messages = read_messages(given.messages)
        if given.prompt:
            messages.append({"role": "user", "content": given.prompt})
        if not messages:
            raise BlockInputInvalid("Both `messages` and `prompt` are empty")
        completion = await ask(context, given.model, messages, max_tokens=given.max_tokens, is_shown=True)
        yield "response", completion.text
        yield "prompt", as_plain(completion.messages)


class LlmCallBlock(ModelBlock):
    """Ask a language model, with any number of further inputs filled into the prompt.

    An input `x` fills `{x}` and `{{x}}` in the prompt and in the system prompt.
    """

    id = "e448e96c-e4a1-46af-ad94-295dca6c29cd"
    slug = "llm_call_block"
    # Any input may fill a placeholder, so none can be kept for credentials.
    credentials = MappingProxyType({})
    takes_any_input = True

    class Input(BlockInput):
        """The prompt, who answers it, and whatever fills the placeholders."""

        model_config = ConfigDict(extra="allow")

        prompt: str
        """What the model is asked."""
        model: str = DEFAULT_MODEL
        """The model's name."""
        system_prompt: str = ""
        """What the model is told before."""
        sys_prompt: str = ""
        """Another name of `system_prompt`, for those used to it."""
        max_tokens: int | None = None
        """The most that the model may answer."""
        temperature: float | None = None
        """From 0 for the likeliest words to 2; the provider's default when null."""

    class Output(BlockOutput):
        """The answer, then what it took."""

        response: str
        """What the model wrote."""
        usage: dict[str, Any]
        """`model`, `input_tokens` and `output_tokens`."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Ask the model.

        Raises:
            BlockUnavailable: The provider cannot answer now.
            BlockError: The provider refuses, or none is configured.
        """
        values = given.model_extra or {}
        messages = make_messages(
            fill_placeholders(given.system_prompt or given.sys_prompt, values),
            fill_placeholders(given.prompt, values),
        )
        completion = await ask(
            context,
            given.model,
            messages,
            max_tokens=given.max_tokens,
            temperature=given.temperature,
            is_shown=True,
        )
        yield "response", completion.text
        yield (
            "usage",
            {
                "model": given.model,
                "input_tokens": completion.input_tokens,
                "output_tokens": completion.output_tokens,
            },
        )


class PerplexityModel(StrEnum):
    """A model that searches the web before it answers."""

    SONAR = "perplexity/sonar"
    SONAR_PRO = "perplexity/sonar-pro"
    SONAR_DEEP_RESEARCH = "perplexity/sonar-deep-research"


class PerplexityBlock(ModelBlock):
    """Let a model of Perplexity search the web and answer with its sources."""

    id = "c8a5f2e9-8b3d-4a7e-9f6c-1d5e3c9b7a4f"
    slug = "perplexity_block"
    categories = (BlockCategory.AI, BlockCategory.SEARCH)
    costs = tuple(
        Cost(credits=find_credits(model.value), type="tokens", filter={"model": model.value})
        for model in PerplexityModel
    )
    credentials = MappingProxyType(
        {"credentials": CredentialsNeed(providers=("open_router",), is_required=False)}
    )

    class Input(BlockInput):
        """The question."""

        prompt: str
        """What is to be found out."""
        model: PerplexityModel = PerplexityModel.SONAR
        """The model's name."""
        credentials: CredentialsRef | None = None
        """Your own key for OpenRouter; the server's is used when there is none."""
        system_prompt: str = ""
        """What the model is told before."""
        max_tokens: int | None = None
        """The most that the model may answer."""

    class Output(BlockOutput):
        """The answer, then its sources."""

        response: str
        """What the model wrote."""
        annotations: list[dict[str, Any]]
        """The sources, as OpenRouter gives them: each with `type` and `url_citation`."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Ask the model.

        Raises:
            BlockUnavailable: The provider cannot answer now.
            BlockError: The provider refuses, or none is configured.
        """
        messages = make_messages(given.system_prompt, given.prompt)
        completion = await ask(
            context, given.model.value, messages, max_tokens=given.max_tokens, is_shown=True
        )
        yield "response", completion.text
        yield "annotations", completion.annotations
