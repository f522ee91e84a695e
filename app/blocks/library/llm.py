"""The blocks that ask a language model. Who serves a model is decided in `app.llm.language_models`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.graph.signature import Cost, Effect
from app.llm.language_models import Message
from app.llm.models import DEFAULT_CREDITS, DEFAULT_MODEL, MODELS, find_credits
from app.templating.templates import fill_placeholders, render

if TYPE_CHECKING:
    from app.blocks.context import BlockContext


class _LanguageModelBlock(RemoteBlock):
    """What the blocks that ask a model have in common."""

    categories = (BlockCategory.AI,)
    pool = "llm"
    # Asking again costs, and the answer may be another, but nothing in the world changes.
    effect = Effect.PURE
    costs = (
        *(Cost(credits=model.credits, filter={"model": model.name}) for model in MODELS),
        Cost(credits=DEFAULT_CREDITS),
    )

    def cost_of(self, given: dict[str, Any]) -> int:
        """Return the flat credits of the model that is asked."""
        return find_credits(given.get("model"))


class AITextGeneratorBlock(_LanguageModelBlock):
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
        """The model's name; any that a configured provider serves."""
        credentials: Any = None
        """Not used yet: the worker's own keys are."""
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
        prompt, system = given.prompt, given.sys_prompt
        if given.prompt_values:
            prompt, system = render(prompt, given.prompt_values), render(system, given.prompt_values)
        completion = await context.language_models.complete(
            given.model,
            _messages(system, prompt),
            max_tokens=given.max_tokens,
            idempotency_key=context.idempotency_key,
        )
        yield "response", completion.text
        yield "prompt", [dict(message) for message in completion.messages]


class LlmCallBlock(_LanguageModelBlock):
    """Ask a language model, with any number of further inputs filled into the prompt.

    An input `x` fills `{x}` and `{{x}}` in the prompt and in the system prompt.
    """

    id = "e448e96c-e4a1-46af-ad94-295dca6c29cd"
    slug = "llm_call_block"
    takes_any_input = True

    class Input(BlockInput):
        """The prompt, who answers it, and whatever fills the placeholders."""

        model_config = ConfigDict(extra="allow")

        prompt: str
        """What the model is asked."""
        model: str = DEFAULT_MODEL
        """The model's name; any that a configured provider serves."""
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
        completion = await context.language_models.complete(
            given.model,
            _messages(
                fill_placeholders(given.system_prompt or given.sys_prompt, values),
                fill_placeholders(given.prompt, values),
            ),
            max_tokens=given.max_tokens,
            temperature=given.temperature,
            idempotency_key=context.idempotency_key,
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


def _messages(system: str, prompt: str) -> list[Message]:
    asked: list[Message] = [{"role": "user", "content": prompt}]
    return [{"role": "system", "content": system}, *asked] if system else asked
