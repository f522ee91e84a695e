"""The providers' client libraries, and what their errors mean for a block. Slow to import: loaded when needed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx2
from anthropic import AsyncAnthropic
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
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings

from app.errors import BlockError, BlockUnavailable
from app.llm.language_models import Completion, Message, Provider, Settings
from app.outbound.idempotency import make_header_value
from app.outbound.response import MAX_RETRY_AFTER_SECONDS

CONNECT_TIMEOUT_SECONDS = 10.0

_NO_KEY = "none"
"""The library insists on a key, and a server without keys ignores it."""
_PASSING = (ModelRateLimitError, ModelUnavailableError, ModelServerError, ModelConnectionError)
_PASSING_STATUSES = frozenset({408, 409, 425, 429})


class ModelClients:
    """One client per provider, each with its pool of connections."""

    def __init__(
        self,
        *,
        base_url: str | None,
        openai_api_key: str | None,
        anthropic_api_key: str | None,
        timeout_seconds: float,
    ) -> None:
        """Open the clients whose settings are there.

        Args:
            base_url: The server of `Provider.COMPATIBLE`.
            openai_api_key: For OpenAI, and for that server.
            anthropic_api_key: For Anthropic.
            timeout_seconds: For one completion.
        """
        self._timeout_seconds = timeout_seconds
        self._secrets = [key for key in (openai_api_key, anthropic_api_key) if key]
        timeout = httpx2.Timeout(timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS)
        # No client tries again by itself. The engine does, durably, and counts the attempts.
        self._openai = (
            AsyncOpenAI(api_key=openai_api_key or _NO_KEY, base_url=base_url, max_retries=0, timeout=timeout)
            if openai_api_key or base_url
            else None
        )
        self._anthropic = (
            AsyncAnthropic(api_key=anthropic_api_key, max_retries=0, timeout=timeout)
            if anthropic_api_key
            else None
        )

    async def complete(
        self,
        provider: Provider,
        model: str,
        messages: Sequence[Message],
        settings: Settings,
        *,
        idempotency_key: str | None,
    ) -> Completion:
        """Let a model of a provider answer.

        Raises:
            BlockUnavailable: The provider is overloaded, limits the rate or cannot be reached.
            BlockError: The provider refuses the request.
        """
        wanted = ModelSettings()
        if settings.max_tokens is not None:
            wanted["max_tokens"] = settings.max_tokens
        if settings.temperature is not None:
            wanted["temperature"] = settings.temperature
        if idempotency_key:
            wanted["extra_headers"] = {"Idempotency-Key": make_header_value(idempotency_key)}
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._model(provider, model).request(
                    _conversation(messages), wanted, ModelRequestParameters()
                )
        except TimeoutError as error:
            raise BlockUnavailable(f"{model} did not answer within {self._timeout_seconds:g} s") from error
        # The next three without their cause: it holds what the provider said, which may hold parts of a key.
        except ContentFilterError:
            raise BlockError(f"The provider of {model} held the answer back: its content filter") from None
        except UnexpectedModelBehavior:
            raise BlockUnavailable(f"The provider of {model} gave an answer that is not understood") from None
        except ModelAPIError as error:
            raise self._failure(model, error) from None
        return _completion(response, messages)

    async def aclose(self) -> None:
        """Close the connections."""
        for client in (self._openai, self._anthropic):
            if client is not None:
                await client.close()

    def _model(self, provider: Provider, name: str) -> Model:
        if provider is Provider.ANTHROPIC:
            assert self._anthropic is not None
            return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=self._anthropic))
        assert self._openai is not None
        if provider is Provider.OPENAI:
            return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=self._openai))
        return OpenAIChatModel(
            name,
            provider=OpenAICompatibleProvider(
                "compatible",
                openai_client=self._openai,
                # The older name of the limit is the one that all of these servers take.
                profile=OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False),
            ),
        )

    def _failure(self, model: str, error: ModelAPIError) -> BlockError:
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
        return BlockError(f"The provider of {model} refuses the request{status}{self._reason(error)}")

    def _reason(self, error: ModelAPIError) -> str:
        """Return what the provider itself says, cut short and without our keys."""
        body = error.body
        told = body.get("error", body) if isinstance(body, dict) else body
        message = told.get("message") if isinstance(told, dict) else told
        if not isinstance(message, str):
            return ""
        for secret in self._secrets:
            message = message.replace(secret, "***")
        return f": {message[:300]}"


def _is_passing(error: ModelAPIError) -> bool:
    if isinstance(error, ModelHTTPError):
        return error.status_code >= 500 or error.status_code in _PASSING_STATUSES
    # Of the others, a bare ModelAPIError is an answer that is no JSON: that of a gateway in trouble.
    return isinstance(error, _PASSING) or type(error) is ModelAPIError


def _conversation(messages: Sequence[Message]) -> list[ModelMessage]:
    conversation: list[ModelMessage] = []
    asked: list[ModelRequestPart] = []
    for message in messages:
        if message["role"] == "assistant":
            conversation += [ModelRequest(parts=asked), ModelResponse(parts=[TextPart(message["content"])])]
            asked = []
        elif message["role"] == "system":
            asked.append(SystemPromptPart(message["content"]))
        else:
            asked.append(UserPromptPart(message["content"]))
    return [*conversation, ModelRequest(parts=asked)]


def _completion(response: ModelResponse, messages: Sequence[Message]) -> Completion:
    if response.finish_reason == "content_filter":
        raise BlockError("The provider held the answer back: its content filter")
    if not response.text and response.finish_reason == "length":
        raise BlockError("The model used up `max_tokens` before it answered")
    return Completion(
        text=response.text or "",
        input_tokens=response.usage.input_tokens,
        output_tokens=response.usage.output_tokens,
        messages=list(messages),
    )
