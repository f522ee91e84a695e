"""Blocks: looked up, and called once on their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from perdure.calls import path
from perdure.types import Block, Trial

if TYPE_CHECKING:
    from perdure._async.client import AsyncClient


class AsyncBlocks:
    """What nodes can do. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self, words: str | None = None, *, category: str | None = None) -> AsyncIterator[Block]:
        """Give blocks, those that fit the words best first."""
        page = await self._client.call("GET", path("blocks"), params={"q": words, "category": category})
        for item in page["items"]:
            yield item

    async def get(self, ref: str) -> Block:
        """Return a block by its UUID, slug or class name."""
        return cast(Block, await self._client.call("GET", path("blocks", ref)))

    async def run(self, ref: str, inputs: Mapping[str, Any]) -> Trial:
        """Call a block once, outside any graph, for what it costs."""
        call = self._client.call("POST", path("blocks", ref, "execute"), body={"inputs": dict(inputs)})
        return cast(Trial, await call)
