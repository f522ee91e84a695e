"""Blocks that make lists and take them apart by position."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockError, BlockInputInvalid
from app.json_values import identity_of

# A pin called `list` hides the type of that name from the lines below it.
Items: TypeAlias = list[Any]

CHARACTERS_PER_TOKEN = 4
"""A rule of thumb: what a token is differs from model to model."""


class CreateListBlock(PureBlock):
    """Make a list, or several of a limited size."""

    id = "a912d5c7-6e00-4542-b2a9-8034136930e4"
    categories = (BlockCategory.DATA,)
    emits_many = True

    class Input(BlockInput):
        """The elements, and how many of them make a list."""

        values: Items
        """The elements in order."""
        max_size: int | None = None
        """The most elements in a list."""
        max_tokens: int | None = None
        """The most tokens in a list, estimated at four characters each. A larger element stands alone."""

    class Output(BlockOutput):
        """The lists."""

        list: Items
        """One list; without elements one empty list."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit each list.

        Raises:
            BlockInputInvalid: A limit is not positive.
        """
        for name, limit in (("max_size", given.max_size), ("max_tokens", given.max_tokens)):
            if limit is not None and limit < 1:
                raise BlockInputInvalid(f"`{name}` is less than 1")
        chunk: Items = []
        tokens = 0
        for value in given.values:
            size = _tokens_of(value) if given.max_tokens else 0
            is_full = given.max_size is not None and len(chunk) >= given.max_size
            if chunk and (is_full or (given.max_tokens is not None and tokens + size > given.max_tokens)):
                yield "list", chunk
                chunk, tokens = [], 0
            chunk.append(value)
            tokens += size
        if chunk or not given.values:
            yield "list", chunk


class AddToListBlock(PureBlock):
    """Add elements to a list. Linked to itself, it gathers what arrives one by one."""

    id = "aeb08fc1-2fc1-4141-bc8e-f758f183a822"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A list and what to add."""

        list: Items = Field(default=[])
        """The list so far."""
        entry: Any = None
        """One element to add, after `entries`; nothing if null."""
        entries: Items = Field(default=[])
        """Elements to add."""
        position: int | None = None
        """Where to put them, counted from 0, from the end if negative; at the end if null."""

    class Output(BlockOutput):
        """The list."""

        updated_list: Items
        """A new list with the elements in it."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the list."""
        added = given.entries if given.entry is None else [*given.entries, given.entry]
        position = len(given.list) if given.position is None else given.position
        yield "updated_list", given.list[:position] + added + given.list[position:]


class FindInListBlock(PureBlock):
    """Find where in a list a value is. Values are compared as JSON: true is not 1."""

    id = "5e2c6d0a-1e37-489f-b1d0-8e1812b23333"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A list and a value."""

        list: Items
        """Where to look."""
        value: Any
        """What to look for."""

    class Output(BlockOutput):
        """Where it is, or that it is not there."""

        index: int
        """The first position, from 0; only if it is there."""
        found: bool
        """Whether it is there."""
        not_found_value: Any
        """The value; only if it is not there."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the position and true, or false and the value."""
        index = _find(given.list, given.value)
        if index is None:
            yield "found", False
            yield "not_found_value", given.value
        else:
            yield "index", index
            yield "found", True


class GetListItemBlock(PureBlock):
    """Take one element of a list."""

    id = "262ca24c-1025-43cf-a578-534e23234e97"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A list and a position."""

        list: Items
        """Where to take it from."""
        index: int
        """The position, from 0; from the end if negative."""

    class Output(BlockOutput):
        """The element."""

        item: Any
        """What stands there."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the element.

        Raises:
            BlockError: The list has no such position.
        """
        _require_index(given.list, given.index)
        yield "item", given.list[given.index]


class RemoveFromListBlock(PureBlock):
    """Take one element out of a list, by its position or by its value."""

    id = "d93c5a93-ac7e-41c1-ae5c-ef67e6e9b826"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A list and which element to take out."""

        list: Items
        """The list."""
        value: Any = None
        """The value whose first occurrence goes; looked at when `index` is null."""
        index: int | None = None
        """The position, from 0; from the end if negative."""
        return_item: bool = False
        """Whether to emit what was taken out."""

    class Output(BlockOutput):
        """The list, then the element if that is asked for."""

        updated_list: Items
        """A new list without it."""
        removed_item: Any
        """What was taken out."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the list, then the element.

        Raises:
            BlockInputInvalid: Neither a position nor a value is given.
            BlockError: The list has no such position or value.
        """
        index = given.index
        if index is not None:
            _require_index(given.list, index)
        elif given.value is None:
            raise BlockInputInvalid("Either `index` or `value` is needed")
        else:
            index = _find(given.list, given.value)
            if index is None:
                raise BlockError("The value is not in the list")
        remaining = list(given.list)
        removed = remaining.pop(index)
        yield "updated_list", remaining
        if given.return_item:
            yield "removed_item", removed


class ReplaceListItemBlock(PureBlock):
    """Put a value in the place of an element of a list."""

    id = "fbf62922-bea1-4a3d-8bac-23587f810b38"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A list, a position and a value."""

        list: Items
        """The list."""
        index: int
        """The position, from 0; from the end if negative."""
        value: Any
        """What comes there."""

    class Output(BlockOutput):
        """The list, then what stood there."""

        updated_list: Items
        """A new list with the value in it."""
        old_item: Any
        """What stood there before."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the list, then the old element.

        Raises:
            BlockError: The list has no such position.
        """
        _require_index(given.list, given.index)
        updated = list(given.list)
        updated[given.index] = given.value
        yield "updated_list", updated
        yield "old_item", given.list[given.index]


class ListIsEmptyBlock(PureBlock):
    """Answer whether a list has no elements."""

    id = "896ed73b-27d0-41be-813c-c1c1dc856c03"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A list."""

        list: Items
        """The list."""

    class Output(BlockOutput):
        """The answer."""

        is_empty: bool
        """Whether it has no elements."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the answer."""
        yield "is_empty", not given.list


def _tokens_of(value: Any) -> int:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _find(items: Items, value: Any) -> int | None:
    wanted = identity_of(value)
    return next((index for index, item in enumerate(items) if identity_of(item) == wanted), None)


def _require_index(items: Items, index: int) -> None:
    if not -len(items) <= index < len(items):
        raise BlockError(f"The list has {len(items):,} elements, there is none at {index}")
