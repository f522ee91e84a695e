"""Models of Anthropic. Apart from the others, since its library takes longer to import than theirs and all the rest."""

from __future__ import annotations

import httpx2
from anthropic import AsyncAnthropic
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider


class AnthropicModels:
    """One client of Anthropic."""

    def __init__(self, key: str, *, timeout: httpx2.Timeout, http_client: httpx2.AsyncClient) -> None:
        """Open nothing yet; a failed call is not repeated, which is the engine's to do."""
        self._client = AsyncAnthropic(api_key=key, max_retries=0, timeout=timeout, http_client=http_client)

    def make(self, name: str, key: str | None) -> Model:
        """Return a model by its name there, asked with somebody's own key or with the worker's."""
        client = self._client.with_options(api_key=key) if key else self._client
        return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
