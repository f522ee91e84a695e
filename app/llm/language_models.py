"""Language models as blocks see them: a name and messages in, a completion out.

Which provider serves a name is decided in `app.llm.routing`. The client libraries are behind `app.llm.model_clients`,
which is loaded when the first model is asked.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, TypedDict

from app.llm.metering import Meter
from app.llm.models import Provider, price_answer
from app.llm.routing import Routes

if TYPE_CHECKING:
    from app.llm.model_clients import ModelClients

DEFAULT_TIMEOUT_SECONDS = 570.0


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
    annotations: list[dict[str, Any]] = field(default_factory=list)
    """Sources, as the provider names them."""

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
        api_keys: Mapping[Provider, str] | None = None,
        default_model: str | None = None,
        model_map: Mapping[str, str] | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        """Keep the settings; nothing is opened yet.

        Args:
            base_url: A server with an OpenAI-compatible API. When it is given, every model name is sent there
                as it is, with the OpenAI key if there is one.
            api_keys: The worker's own, by provider.
            default_model: Asked in place of a model that nobody serves.
            model_map: Names by pattern, to be asked in place of those that fit the pattern.
            timeout_seconds: For one completion.
        """
        keys = {provider: key for provider, key in (api_keys or {}).items() if key}
        self._routes = Routes(
            keys.keys(), has_base_url=bool(base_url), default_model=default_model, model_map=model_map
        )
        self._opener = _Opener(base_url or None, keys, timeout_seconds)
        self.meter = Meter()
        """Counts what is used; whoever shares these models has one of their own."""

    def metered_by(self, meter: Meter) -> LanguageModels:
        """Return the same models, with what they use counted by a meter."""
        metered = copy.copy(self)
        metered.meter = meter
        return metered

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
            api_key: Somebody's own key, to be used in place of the worker's. Not sent to the server at the base URL.
            tools: What the model may call in place of answering, or besides.
            force_json: Have the provider see to it that the answer is a JSON object, where it can. The messages have
                to ask for JSON too.
            stream: Is given the text piece by piece while the model writes it.

        Raises:
            BlockUnavailable: The provider is overloaded, limits the rate or cannot be reached.
            BlockInputInvalid: The name of the model cannot be one.
            BlockError: No provider is configured, somebody's own key is for another, or the provider refuses.
        """
        if not self._routes.uses_own_keys:
            api_key = None
        provider, name = self._routes.find(model, own=api_key.provider if api_key else None)
        clients = await self._opener.open()
        request = Request(
            list(messages),
            max_tokens=max_tokens,
            temperature=temperature,
            idempotency_key=idempotency_key,
            tools=tools,
            is_json_forced=force_json,
            stream=stream,
        )
        completion = await clients.complete(provider, name, request, key=api_key.key if api_key else None)
        tokens = {"input_tokens": completion.input_tokens, "output_tokens": completion.output_tokens}
        price = 0 if api_key else price_answer(provider, name, **tokens)
        self.meter.add(name, **tokens, microcredits=price)
        return completion

    async def aclose(self) -> None:
        """Close the connections."""
        await self._opener.aclose()


class _Opener:
    """Opens the clients when the first model is asked."""

    def __init__(self, base_url: str | None, keys: Mapping[Provider, str], timeout_seconds: float) -> None:
        self._base_url = base_url
        self._keys = keys
        self._timeout_seconds = timeout_seconds
        self._clients: ModelClients | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> ModelClients:
        async with self._opening:
            if self._clients is None:
                self._clients = await asyncio.to_thread(self._make)
            return self._clients

    async def aclose(self) -> None:
        if self._clients is not None:
            await self._clients.aclose()
            self._clients = None

    def _make(self) -> ModelClients:
        # Here and not above: the client libraries take a second to import. Most workers never ask a model,
        # and every restart would wait for them.
        from app.llm.model_clients import ModelClients  # noqa: PLC0415

        return ModelClients(self._base_url, self._keys, timeout_seconds=self._timeout_seconds)
