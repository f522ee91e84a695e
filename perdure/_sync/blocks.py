# Made of `perdure/_async` by `python -m tests.sync_client`. Changes belong there.
"""Blocks: looked up, and called once on their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from perdure.calls import path
from perdure.types import Block, Trial

if TYPE_CHECKING:
    from perdure._sync.client import Client


class Blocks:
    """What nodes can do. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, words: str | None = None, *, category: str | None = None) -> Iterator[Block]:
        """Give blocks, those that fit the words best first."""
        page = self._client.call("GET", path("blocks"), params={"q": words, "category": category})
        for item in page["items"]:
            yield item

    def get(self, ref: str) -> Block:
        """Return a block by its UUID, slug or class name."""
        return cast(Block, self._client.call("GET", path("blocks", ref)))

    def run(self, ref: str, inputs: Mapping[str, Any]) -> Trial:
        """Call a block once, outside any graph, for what it costs."""
        call = self._client.call("POST", path("blocks", ref, "execute"), body={"inputs": dict(inputs)})
        return cast(Trial, call)
