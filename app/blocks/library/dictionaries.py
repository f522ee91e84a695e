"""Blocks that make dictionaries and look things up in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded


class CreateDictionaryBlock(PureBlock):
    """Make a dictionary of values."""

    id = "b924ddf4-de4f-4b56-9a85-358930dcbc91"
    categories = (BlockCategory.DATA,)

    class Input(BlockInput):
        """The entries."""

        values: dict[str, Any]
        """Values by key, often one link per key: `values_#_key`."""

    class Output(BlockOutput):
        """The dictionary."""

        dictionary: dict[str, Any]
        """Values by key."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the dictionary."""
        yield "dictionary", given.values


class AddToDictionaryBlock(PureBlock):
    """Add entries to a dictionary. Linked to itself, it gathers what arrives one by one."""

    id = "31d1064e-7446-4693-a7d4-65e5ca1180d1"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A dictionary and what to add."""

        dictionary: dict[Any, Any] = Field(default={})
        """The dictionary so far."""
        key: str = ""
        """A key to add; nothing if empty."""
        value: Any = None
        """The value of that key; nothing is added if null."""
        entries: dict[Any, Any] = Field(default={})
        """More entries; they win over what is there."""

    class Output(BlockOutput):
        """The dictionary."""

        updated_dictionary: dict[Any, Any]
        """A new dictionary with the entries in it."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the dictionary."""
        added = {given.key: given.value} if given.key and given.value is not None else {}
        yield "updated_dictionary", given.dictionary | added | given.entries


class FindInDictionaryBlock(PureBlock):
    """Look up a key in a dictionary, a position in a list, or a key in every element of a list."""

    id = "0e50422c-6dee-4145-83d6-3a5a392f65de"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """Where to look, and for what."""

        input: Any
        """A dictionary or a list; a text is read as JSON."""
        key: str | int
        """A key, or a position from 0. Keys are texts in JSON, so the number 1 finds the key "1"."""

    class Output(BlockOutput):
        """What was found, or where it was not found."""

        output: Any
        """What was found; for a key in a list the values of all elements that have it."""
        missing: Any
        """The input, if nothing was found."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit what was found, or the input.

        Raises:
            BlockInputInvalid: The input is a text and not JSON.
        """
        where = _parse(given.input) if isinstance(given.input, str) else given.input
        key = given.key
        if isinstance(where, dict) and (found := _key_in(where, key)) is not None:
            yield "output", where[found]
        elif isinstance(where, list) and isinstance(key, int) and 0 <= key < len(where):
            yield "output", where[key]
        elif isinstance(where, list) and isinstance(key, str):
            yield "output", [item[key] for item in where if isinstance(item, dict) and key in item]
        else:
            yield "missing", given.input


class RemoveFromDictionaryBlock(PureBlock):
    """Take one entry out of a dictionary."""

    id = "46afe2ea-c613-43f8-95ff-6692c3ef6876"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A dictionary and a key."""

        dictionary: dict[Any, Any]
        """The dictionary."""
        key: str | int
        """The key whose entry goes."""
        return_value: bool = False
        """Whether to emit the value that it had."""

    class Output(BlockOutput):
        """The dictionary, then the value if that is asked for."""

        updated_dictionary: dict[Any, Any]
        """A new dictionary without the entry."""
        removed_value: Any
        """The value that it had."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the dictionary, then the value.

        Raises:
            BlockError: There is no such key.
        """
        key = _require_key(given.dictionary, given.key)
        remaining = dict(given.dictionary)
        removed = remaining.pop(key)
        yield "updated_dictionary", remaining
        if given.return_value:
            yield "removed_value", removed


class ReplaceDictionaryValueBlock(PureBlock):
    """Give a key of a dictionary another value."""

    id = "27e31876-18b6-44f3-ab97-f6226d8b3889"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A dictionary, a key and a value."""

        dictionary: dict[Any, Any]
        """The dictionary."""
        key: str | int
        """A key that is in it."""
        value: Any
        """The new value."""

    class Output(BlockOutput):
        """The dictionary, then the old value."""

        updated_dictionary: dict[Any, Any]
        """A new dictionary with the value in it."""
        old_value: Any
        """The value that the key had."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the dictionary, then the old value.

        Raises:
            BlockError: There is no such key.
        """
        key = _require_key(given.dictionary, given.key)
        yield "updated_dictionary", given.dictionary | {key: given.value}
        yield "old_value", given.dictionary[key]


class DictionaryIsEmptyBlock(PureBlock):
    """Answer whether a dictionary has no entries."""

    id = "a3cf3f64-6bb9-4cc6-9900-608a0b3359b0"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A dictionary."""

        dictionary: dict[Any, Any]
        """The dictionary."""

    class Output(BlockOutput):
        """The answer."""

        is_empty: bool
        """Whether it has no entries."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the answer."""
        yield "is_empty", not given.dictionary


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise BlockInputInvalid("`input` is a text and not JSON") from None
    except RecursionError:
        raise BlockLimitExceeded("`input` is nested too deep") from None


def _key_in(dictionary: Mapping[Any, Any], key: str | int) -> str | int | None:
    if key in dictionary:
        return key
    as_text = str(key)
    return as_text if as_text in dictionary else None


def _require_key(dictionary: Mapping[Any, Any], key: str | int) -> str | int:
    found = _key_in(dictionary, key)
    if found is None:
        raise BlockError("The dictionary has no such key")
    return found
