"""Finds blocks by what people know of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from app.api.schemas.blocks import BlockView
from app.blocks.base import Block, BlockCategory
from app.blocks.registry import BlockRegistry
from app.errors import InvalidRequest
from app.models.page import read_cursor, write_cursor

_EXACT, _NAME, _PIN, _DESCRIPTION = 100, 10, 3, 1
"""How much it counts where a word is found."""


@dataclass(frozen=True, slots=True)
class _Entry:
    ref: str
    text: bytes
    """The block as JSON."""
    categories: frozenset[str]
    names: tuple[str, str]
    """In lower case, as is all that is searched."""
    pins: str
    description: str

    @classmethod
    def of(cls, block: Block) -> _Entry:
        view = BlockView.of(block)
        pins = (*view.input_schema.get("properties", {}), *view.output_schema.get("properties", {}))
        return cls(
            ref=block.id,
            text=view.model_dump_json(ensure_ascii=True).encode("ascii"),
            categories=frozenset(view.categories),
            names=(view.name.lower(), view.slug),
            pins=" ".join(pins).lower(),
            description=" ".join((view.description, *view.categories)).lower(),
        )

    def score(self, words: Sequence[str]) -> int:
        """Return how well it fits all of the words; 0 when one of them is nowhere."""
        scores = [self._score(word) for word in words]
        return sum(scores) if all(scores) else 0

    def _score(self, word: str) -> int:
        if word in (self.ref, *self.names) or any(
            name.removesuffix("block").rstrip("_") == word for name in self.names
        ):
            return _EXACT
        places = ((_NAME, self.names), (_PIN, (self.pins,)), (_DESCRIPTION, (self.description,)))
        return sum(weight for weight, texts in places if any(word in text for text in texts))


@dataclass(frozen=True, slots=True)
class Found:
    """A page of blocks, ready to be sent."""

    text: bytes
    """`PageView[BlockView]` as JSON."""
    tag: str
    """Changes when the text does."""


class Catalogue:
    """The blocks as they are shown. They never change while the process lives, so they are described once."""

    def __init__(self, registry: BlockRegistry) -> None:
        """Take the blocks. They are described when somebody asks, which takes a moment the first time."""
        self._registry = registry

    @cached_property
    def _entries(self) -> list[_Entry]:
        return [_Entry.of(block) for block in self._registry]

    def find(
        self,
        *,
        category: BlockCategory | None = None,
        words: str = "",
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Found:
        """Return the blocks that fit, the best first; without words in the order of the registry.

        Args:
            category: Theirs; None for any.
            words: All of them occur in the name, the slug, the pins, the description or the category.
            limit: The most to be given; None for all.
            cursor: Where the page before ended.

        Raises:
            InvalidRequest: The cursor is not one of this list.
        """
        wanted = words.lower().split()
        fitting = [entry for entry in self._entries if category is None or category in entry.categories]
        if wanted:
            scored = [(entry.score(wanted), entry) for entry in fitting]
            # The sort is stable: equals stay in the order of the registry.
            fitting = [entry for score, entry in sorted(scored, key=lambda row: -row[0]) if score]
        start = _position_after(cursor, fitting) if cursor else 0
        page = fitting[start:] if limit is None else fitting[start : start + limit]
        is_last = start + len(page) == len(fitting)
        following = b"null" if is_last else b'"' + write_cursor([page[-1].ref]).encode("ascii") + b'"'
        items = b",".join(entry.text for entry in page)
        text = b'{"items":[' + items + b'],"next_cursor":' + following + b"}"
        return Found(text, f'"{hashlib.sha256(text).hexdigest()[:32]}"')


def _position_after(cursor: str, entries: Sequence[_Entry]) -> int:
    ref = read_cursor(cursor, str)
    for position, entry in enumerate(entries, 1):
        if entry.ref == ref:
            return position
    raise InvalidRequest("The cursor is not one of this list")
