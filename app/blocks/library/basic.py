"""Blocks that keep, pass on and convert single values."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockError
from app.graph.coercion import coerce, satisfies
from app.graph.signature import Kind


class StoreValueBlock(PureBlock):
    """Keep a value and hand it to its successors as often as they need it."""

    id = "1ff065e9-88e8-4358-9d82-8dc91f622ba9"
    categories = (BlockCategory.BASIC,)
    is_static = True

    class Input(BlockInput):
        """A value that arrives, and one that was put in beforehand."""

        input: Any
        """What arrives; makes the block run."""
        data: Any = None
        """Emitted instead of `input` unless it is empty: null, 0, false, an empty text, list or object."""

    class Output(BlockOutput):
        """The kept value."""

        output: Any
        """`data` if there is any, else `input`."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the kept value."""
        yield "output", given.data or given.input


class TargetType(StrEnum):
    """What a value can be converted to."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    DICTIONARY = "dictionary"


_ANNOTATIONS: dict[TargetType, Any] = {
    TargetType.STRING: str,
    TargetType.NUMBER: float,
    TargetType.BOOLEAN: bool,
    TargetType.LIST: list[Any],
    TargetType.DICTIONARY: dict[str, Any],
}


class UniversalTypeConverterBlock(PureBlock):
    """Convert a value to text, a number, a boolean, a list or a dictionary.

    The rules are those by which values are fitted to pins. A number always has a fraction part.
    """

    id = "95d1b990-ce13-4d88-9737-ba5c2070c97b"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A value and the type it is to have."""

        value: Any
        """What to convert."""
        type: TargetType
        """What it becomes."""

    class Output(BlockOutput):
        """The converted value."""

        value: Any
        """Of the type asked for."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the converted value.

        Raises:
            BlockError: The value cannot be converted.
        """
        annotation = _ANNOTATIONS[given.type]
        converted = coerce(given.value, annotation)
        if not satisfies(converted, annotation):
            raise BlockError(f"The value cannot be converted to a {given.type.value}")
        yield "value", float(converted) if given.type is TargetType.NUMBER else converted


class NoteBlock(PureBlock):
    """A remark on the canvas. It never runs."""

    id = "cc10ff7b-7753-4ff2-9af6-9399b1a7eddc"
    categories = (BlockCategory.BASIC,)
    kind = Kind.NOTE

    class Input(BlockInput):
        """The remark."""

        text: str
        """What it says."""

    class Output(BlockOutput):
        """The remark, when the block is called on its own."""

        output: str
        """What it says."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the remark."""
        yield "output", given.text


class ReverseListOrderBlock(PureBlock):
    """Turn a list round: last element first."""

    id = "422cb708-3109-4277-bfe3-bc2ae5812777"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A list."""

        input_list: list[Any]
        """In any order."""

    class Output(BlockOutput):
        """The list turned round."""

        reversed_list: list[Any]
        """The same elements, last first."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the list turned round."""
        yield "reversed_list", given.input_list[::-1]


class PrintToConsoleBlock(PureBlock):
    """Pass a value on. Kept for older graphs: nothing is printed, since logs are no place for a user's data."""

    id = "f3b1c1b2-4c4f-4f0d-8d2f-4c4f0d8d2f4c"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A value."""

        text: Any
        """Any value, not only a text."""

    class Output(BlockOutput):
        """The value and a fixed word."""

        output: Any
        """The value as it came."""
        status: str
        """Always `printed`."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the value, then the status."""
        yield "output", given.text
        yield "status", "printed"
