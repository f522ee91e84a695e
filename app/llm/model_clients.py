"""The providers' client libraries, and what their errors mean for a block. Slow to import: loaded when needed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelServerError,
    ModelUnavailableError,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ModelResponse, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from app.errors import BlockError, BlockUnavailable
from app.llm.language_models import Completion, Request
from app.llm.model_messages import make_completion, make_conversation, make_parameters
from app.llm.models import SERVICES, Provider
from app.llm.whole_answers import StreamingTransport
from app.outbound.idempotency import make_header_value
from app.outbound.response import MAX_RETRY_AFTER_SECONDS
from app.outbound.transport import CheckedTransport

if TYPE_CHECKING:
    from app.llm.anthropic_models import AnthropicModels

CONNECT_TIMEOUT_SECONDS = 10.0
MAX_STREAMS = 16
"""Answers of a process that are shown while they are written: reading piece by piece costs several times as much."""

LIMIT_BYTES = 100 * 1024 * 1024
"""The largest answer of a provider that is read."""

_NO_KEY = "none"
"""The library insists on a key, and a server without keys ignores it."""
_COMPATIBLE = OpenAIModelProfile(
    # The older name of the limit is the one that all of these servers take.
    openai_chat_supports_max_completion_tokens=False,
    openai_supports_strict_tool_definition=False,
    json_schema_transformer=None,
)
_PASSING = (ModelRateLimitError, ModelUnavailableError, ModelServerError, ModelConnectionError)
_PASSING_STATUSES = frozenset({408, 409, 425, 429})


class ModelClients:
    """One client per provider, each with its pool of connections."""

    def __init__(self, base_url: str | None, keys: Mapping[Provider, str], *, timeout_seconds: float) -> None:
        """Open nothing yet.

        Args:
            base_url: The server of `Provider.COMPATIBLE`, which is given the key of OpenAI.
            keys: The worker's own.
            timeout_seconds: For one completion.
        """
        self._base_url = base_url
        self._keys = dict(keys)
        if Provider.OPENAI in keys:
            self._keys[Provider.COMPATIBLE] = keys[Provider.OPENAI]
        self._timeout_seconds = timeout_seconds
        self._timeout = httpx2.Timeout(timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS)
        self._openai: dict[Provider, AsyncOpenAI] = {}
        self._anthropic: AnthropicModels | None = None
        self._loading = asyncio.Lock()
        self._streams = 0

    async def complete(
        self, provider: Provider, name: str, request: Request, *, key: str | None = None
    ) -> Completion:
        """Let a model of a provider answer.

        Args:
            provider: Who serves it.
            name: The model's name there.
            request: What it is asked.
            key: Somebody's own key, to be used in place of the worker's.

        Raises:
            BlockUnavailable: The provider is overloaded, limits the rate or cannot be reached.
            BlockError: The provider refuses the request.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._ask(await self._model(provider, name, key), request)
        except TimeoutError as error:
            raise BlockUnavailable(f"{name} did not answer within {self._timeout_seconds:g} s") from error
        # The next three without their cause: it holds what the provider said, which may hold parts of a key.
        except ContentFilterError:
            raise BlockError(f"The provider of {name} held the answer back: its content filter") from None
        except UnexpectedModelBehavior:
            raise BlockUnavailable(f"The provider of {name} gave an answer that is not understood") from None
        except ModelAPIError as error:
            raise self._failure(name, error, key) from None
        return make_completion(response, request, model=name)

    async def _ask(self, model: Model, request: Request) -> ModelResponse:
        """Ask a model, and have its answer shown while it writes unless that is done for enough others."""
        if request.stream is None or self._streams >= MAX_STREAMS:
            return await _ask(model, request)
        self._streams += 1
        try:
            return await _ask_streaming(model, request, request.stream)
        finally:
            self._streams -= 1

    async def aclose(self) -> None:
        """Close the connections."""
        for client in (*self._openai.values(), self._anthropic):
            if client is not None:
                await client.close()

    async def _model(self, provider: Provider, name: str, key: str | None) -> Model:
        if provider is Provider.ANTHROPIC:
            return (await self._anthropic_models()).make(name, key)
        openai = self._openai_client(provider)
        if key:
            openai = openai.with_options(api_key=key)
        if provider is Provider.OPENAI:
            return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=openai))
        return OpenAIChatModel(
            name,
            provider=OpenAICompatibleProvider(provider, openai_client=openai, profile=_COMPATIBLE),
        )

    # No client tries again by itself. The engine does, durably, and counts the attempts.

    async def _anthropic_models(self) -> AnthropicModels:
        async with self._loading:
            if self._anthropic is None:
                self._anthropic = await asyncio.to_thread(self._load_anthropic)
            return self._anthropic

    def _load_anthropic(self) -> AnthropicModels:
        # Here and not above: whoever asks only others would wait a second for it.
        from app.llm.anthropic_models import AnthropicModels  # noqa: PLC0415

        transport = StreamingTransport(_transport(os.environ.get("ANTHROPIC_BASE_URL")))
        return AnthropicModels(
            self._keys.get(Provider.ANTHROPIC, _NO_KEY),
            timeout=self._timeout,
            http_client=_http_client(transport, self._timeout),
        )

    def _openai_client(self, provider: Provider) -> AsyncOpenAI:
        """Return the client of a provider, made when it is first needed: each has connections of its own."""
        if provider not in self._openai:
            is_ours = provider is Provider.COMPATIBLE
            base_url = self._base_url if is_ours else SERVICES[provider].base_url
            set_here = self._base_url if is_ours else os.environ.get("OPENAI_BASE_URL")
            self._openai[provider] = AsyncOpenAI(
                api_key=self._keys.get(provider, _NO_KEY),
                base_url=base_url,
                max_retries=0,
                timeout=self._timeout,
                http_client=_http_client(StreamingTransport(_transport(set_here)), self._timeout),
            )
        return self._openai[provider]

    def _failure(self, model: str, error: ModelAPIError, key: str | None) -> BlockError:
        status = f" ({error.status_code})" if isinstance(error, ModelHTTPError) else ""
        if isinstance(error, ModelQuotaExceededError):
            return BlockError(f"The account at the provider of {model} is used up{status}")
        if _is_passing(error):
            wait = error.retry_after
            return BlockUnavailable(
                f"The provider of {model} is not available now{status}",
                retry_after_seconds=None if wait is None else min(wait, MAX_RETRY_AFTER_SECONDS),
            )
        if isinstance(error, ModelAuthenticationError):
            return BlockError(f"The provider of {model} does not accept the key that is configured{status}")
        if isinstance(error, ModelNotFoundError):
            return BlockError(f"The provider does not know the model {model}{status}")
        return BlockError(f"The provider of {model} refuses the request{status}{self._reason(error, key)}")

    def _reason(self, error: ModelAPIError, key: str | None) -> str:
        """Return what the provider itself says, cut short and without any key."""
        body = error.body
        told = body.get("error", body) if isinstance(body, dict) else body
        message = told.get("message") if isinstance(told, dict) else told
        if not isinstance(message, str):
            return ""
        for secret in filter(None, (*self._keys.values(), key)):
            message = message.replace(secret, "***")
        return f": {message[:300]}"


def _transport(base_url: str | None) -> CheckedTransport:
    # The operator set this URL, so its host may be a private one. No URL of a user comes here.
    host = urlsplit(base_url or "").hostname
    return CheckedTransport(allowed_private_hosts=[host] if host else [], limit_bytes=LIMIT_BYTES)


def _http_client(transport: httpx2.AsyncBaseTransport, timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    # No redirect is followed: it would take the key along.
    return httpx2.AsyncClient(transport=transport, timeout=timeout, follow_redirects=False, trust_env=False)


def _is_passing(error: ModelAPIError) -> bool:
    if isinstance(error, ModelHTTPError):
        return error.status_code >= 500 or error.status_code in _PASSING_STATUSES
    # Of the others, a bare ModelAPIError is an answer that is no JSON: that of a gateway in trouble.
    return isinstance(error, _PASSING) or type(error) is ModelAPIError


def _settings_of(request: Request) -> OpenAIChatModelSettings:
    settings = OpenAIChatModelSettings(openai_include_raw_annotations=True)
    if request.max_tokens is not None:
        settings["max_tokens"] = request.max_tokens
    if request.temperature is not None:
        settings["temperature"] = request.temperature
    if request.idempotency_key:
        settings["extra_headers"] = {"Idempotency-Key": make_header_value(request.idempotency_key)}
    return settings


async def _ask(model: Model, request: Request) -> ModelResponse:
    return await model.request(
        make_conversation(request.messages), _settings_of(request), make_parameters(request)
    )


async def _ask_streaming(
    model: Model, request: Request, show: Callable[[str], Awaitable[None]]
) -> ModelResponse:
    async with model.request_stream(
        make_conversation(request.messages), _settings_of(request), make_parameters(request)
    ) as streamed:
        async for event in streamed:
            if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                piece = event.part.content
            elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                piece = event.delta.content_delta
            else:
                continue
            if piece:
                await show(piece)
        return streamed.get()
