"""Language models as blocks see them: a name and messages in, a completion out.

Which provider serves a name is decided here. The client libraries are behind `app.llm.model_clients`, which
is loaded when the first model is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, TypedDict

from app.errors import BlockError, BlockInputInvalid

if TYPE_CHECKING:
    from app.llm.model_clients import ModelClients

DEFAULT_MODEL = "gpt-4o-mini"
DEFAULT_TIMEOUT_SECONDS = 570.0
MAX_MODEL_NAME = 200


class Provider(StrEnum):
    """Who serves a model."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    COMPATIBLE = "compatible"
    """The server at the configured base URL, which speaks as OpenAI does."""


_PROVIDER_BY_PREFIX = {
    "gpt-": Provider.OPENAI,
    "chatgpt-": Provider.OPENAI,
    "ft:": Provider.OPENAI,
    "o1": Provider.OPENAI,
    "o3": Provider.OPENAI,
    "o4": Provider.OPENAI,
    "claude": Provider.ANTHROPIC,
}


class FunctionText(TypedDict):
    """Which tool, and with what."""

    name: str
    arguments: str
    """JSON text."""


class FunctionCall(TypedDict):
    """A tool call as it stands in a message."""

    id: str
    type: Literal["function"]
    function: FunctionText


class Message(TypedDict):
    """One message of a conversation, in the form of OpenAI's chat API."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None
    """Null only where a model said nothing but called tools."""
    tool_calls: NotRequired[list[FunctionCall]]
    """Of an assistant's message: what it wants to know."""
    tool_call_id: NotRequired[str]
    """Of a tool's message: the call that it answers."""


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that a model may ask for in place of an answer."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of its arguments: an object."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a model asks for."""

    id: str
    name: str
    arguments: str
    """JSON text as the model wrote it, which may be wrong."""

    def as_message_part(self) -> FunctionCall:
        """Return it as it stands in an assistant's message."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


class ProviderKey(Protocol):
    """A key of somebody's own."""

    @property
    def provider(self) -> str:
        """Return the name of the provider that it is for."""

    @property
    def key(self) -> str:
        """Return the secret."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a model. None leaves it to the provider."""

    messages: list[Message]
    max_tokens: int | None = None
    """The most that it may answer."""
    temperature: float | None = None
    idempotency_key: str | None = None
    tools: Sequence[Tool] = ()
    is_json_forced: bool = False
    stream: Callable[[str], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered."""

    text: str
    input_tokens: int
    output_tokens: int
    messages: list[Message]
    """What was sent."""
    model: str = ""
    """The name under which it was asked."""
    tool_calls: list[ToolCall] = field(default_factory=list)

    @property
    def message(self) -> Message:
        """Return the answer as the next message of the conversation."""
        if not self.tool_calls:
            return {"role": "assistant", "content": self.text}
        calls = [call.as_message_part() for call in self.tool_calls]
        return {"role": "assistant", "content": self.text or None, "tool_calls": calls}


class LanguageModels:
    """Asks language models. Never tries again by itself: the engine does."""

    def __init__(
        self,
        *,
        base_url: str | None = None,
        openai_api_key: str | None = None,
        anthropic_api_key: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        """Keep the settings; nothing is opened yet.

        Args:
            base_url: A server with an OpenAI-compatible API. When it is given, every model name is sent there
                as it is, with the OpenAI key if there is one.
            openai_api_key: For models of OpenAI.
            anthropic_api_key: For models of Anthropic.
            timeout_seconds: For one completion.
        """
        self._base_url = base_url or None
        self._keys = {Provider.OPENAI: openai_api_key or None, Provider.ANTHROPIC: anthropic_api_key or None}
        self._timeout_seconds = timeout_seconds
        self._clients: ModelClients | None = None
        self._opening = asyncio.Lock()

    async def complete(  # noqa: PLR0913 - all that a provider can be told, by name
        self,
        model: str,
        messages: Sequence[Message],
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        idempotency_key: str | None = None,
        api_key: ProviderKey | None = None,
        tools: Sequence[Tool] = (),
        force_json: bool = False,
        stream: Callable[[str], Awaitable[None]] | None = None,
    ) -> Completion:
        """Let a model answer.

        Args:
            model: Its name, with or without its provider's name and a slash before it.
            messages: The conversation so far; a system message comes first.
            max_tokens: The most that it may answer.
            temperature: From 0 for the likeliest words to 2.
            idempotency_key: The same on every attempt; sent as `Idempotency-Key`.
            api_key: Somebody's own key, to be used in place of the worker's.
            tools: What the model may call in place of answering, or besides.
            force_json: Have the provider see to it that the answer is a JSON object, where it can. The messages have
                to ask for JSON too.
            stream: Is given the text piece by piece while the model writes it.

        Raises:
            BlockUnavailable: The provider is overloaded, limits the rate or cannot be reached.
            BlockInputInvalid: The name of the model cannot be one.
            BlockError: No provider is configured for the model, or the provider refuses the request.
        """
        provider, name = self._route(model)
        clients = await self._opened()
        request = Request(
            list(messages),
            max_tokens=max_tokens,
            temperature=temperature,
            idempotency_key=idempotency_key,
            tools=tools,
            is_json_forced=force_json,
            stream=stream,
        )
        return await clients.complete(provider, name, request, key=api_key.key if api_key else None)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._clients is not None:
            await self._clients.aclose()
            self._clients = None

    def _route(self, model: str) -> tuple[Provider, str]:
        if not 0 < len(model) <= MAX_MODEL_NAME:
            raise BlockInputInvalid("The name of the model is empty or too long")
        if self._base_url is not None:
            return Provider.COMPATIBLE, model
        provider, name = find_provider(model)
        if provider is None:
            raise BlockError(
                f"No provider is known for the model {name!r}; set PERDURE_LLM_BASE_URL to a server that has it"
            )
        if self._keys[provider] is None:
            raise BlockError(
                f"The model {name!r} needs {provider.upper()}_API_KEY, which the worker was not given"
            )
        return provider, name

    async def _opened(self) -> ModelClients:
        async with self._opening:
            if self._clients is None:
                self._clients = await asyncio.to_thread(self._open)
            return self._clients

    def _open(self) -> ModelClients:
        # Here and not above: the client libraries take two seconds to import. Most workers never ask a model,
        # and every restart would wait for them.
        from app.llm.model_clients import ModelClients  # noqa: PLC0415

        return ModelClients(
            base_url=self._base_url,
            openai_api_key=self._keys[Provider.OPENAI],
            anthropic_api_key=self._keys[Provider.ANTHROPIC],
            timeout_seconds=self._timeout_seconds,
        )


def find_provider(model: str) -> tuple[Provider | None, str]:
    """Return who serves a model, and the model's name there."""
    before, _, name = model.strip().rpartition("/")
    if before in (Provider.OPENAI, Provider.ANTHROPIC):
        return Provider(before), name
    for prefix, provider in _PROVIDER_BY_PREFIX.items():
        if name.startswith(prefix):
            return provider, name
    return None, name
