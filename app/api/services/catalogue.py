"""Finds blocks by what people know of them."""

from __future__ import annotations

from app.api.schemas.blocks import BlockView
from app.blocks.base import BlockCategory
from app.blocks.registry import BlockRegistry


class Catalogue:
    """The blocks as they are shown. They never change while the process lives, so they are described once."""

    def __init__(self, registry: BlockRegistry) -> None:
        self._views = [BlockView.of(block) for block in registry]

    def find(self, *, category: BlockCategory | None = None, words: str = "") -> list[BlockView]:
        """Return the blocks of a category that have all of some words in their name or description."""
        wanted = words.lower().split()
        return [
            view
            for view in self._views
            if (category is None or category.value in view.categories)
            and all(word in f"{view.name} {view.slug} {view.description}".lower() for word in wanted)
        ]
