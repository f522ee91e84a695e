"""Blocks that choose from a list and put it in order. Elements are compared as JSON: true is not 1."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockError, BlockInputInvalid
from app.json_values import identity_of

_ABSENT = object()


class ElementTest(StrEnum):
    """What an element is tried for."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    GREATER = ">"
    LESS = "<"
    GREATER_OR_EQUAL = ">="
    LESS_OR_EQUAL = "<="
    CONTAINS = "contains"
    EXISTS = "exists"


class FilterListBlock(PureBlock):
    """Choose the elements of a list that pass a test, of their own value or of one under a key."""

    id = "f3684930-de9e-4efa-83b4-b8c275cba9d6"
    categories = (BlockCategory.DATA,)

    class Input(BlockInput):
        """A list and a test."""

        items: list[Any]
        """The list."""
        key: str = ""
        """What of each element is tried, such as `author.name`; the element itself if empty."""
        operator: ElementTest = ElementTest.EQUAL
        """The test. Order is one of numbers or of texts; `contains` looks into texts, lists and keys; `exists` asks
        only whether there is something under the key that is not null."""
        value: Any = None
        """What is compared with."""

    class Output(BlockOutput):
        """The elements, in their order."""

        matching: list[Any]
        """Those that pass."""
        others: list[Any]
        """Those that do not; also those without the key, and those that cannot be compared."""
        count: int
        """How many pass."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit both lists and the number."""
        matching, others = list[Any](), list[Any]()
        for item in given.items:
            is_chosen = _passes(_under(item, given.key), given.operator, given.value)
            (matching if is_chosen else others).append(item)
        yield "matching", matching
        yield "others", others
        yield "count", len(matching)


class SortListBlock(PureBlock):
    """Put a list in order, by the elements themselves or by a value under a key. Equal elements keep their order."""

    id = "457995df-ddd0-4deb-9e38-363bf117e2ee"
    categories = (BlockCategory.DATA,)

    class Input(BlockInput):
        """A list and an order."""

        items: list[Any]
        """Numbers, texts or booleans, or elements that have such under the key."""
        key: str = ""
        """What of each element counts, such as `author.name`; the element itself if empty."""
        descending: bool = False
        """Whether the greatest comes first."""

    class Output(BlockOutput):
        """The list."""

        sorted_items: list[Any]
        """Booleans before numbers before texts; nulls, and elements without the key, come last in either order."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the list.

        Raises:
            BlockError: What counts is a list or a dictionary somewhere.
        """
        ranked = [(_under(item, given.key), item) for item in given.items]
        known = [(_rank(value), item) for value, item in ranked if value is not _ABSENT and value is not None]
        rest = [item for value, item in ranked if value is _ABSENT or value is None]
        known.sort(key=lambda row: row[0], reverse=given.descending)
        yield "sorted_items", [item for _, item in known] + rest


class SliceListBlock(PureBlock):
    """Take a part of a list."""

    id = "f00a8509-0a00-4151-9f60-2d9121dce476"
    categories = (BlockCategory.DATA,)

    class Input(BlockInput):
        """A list and where to cut it."""

        items: list[Any]
        """The list."""
        start: int = 0
        """The first position that is taken, from 0; a negative one counts from the end."""
        end: int | None = None
        """The first position that is not taken any more; null for the end of the list."""
        step: int = 1
        """Every how many elements one is taken; a negative step goes backwards."""

    class Output(BlockOutput):
        """The part."""

        part: list[Any]
        """What was taken."""
        count: int
        """How many."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the part and its length.

        Raises:
            BlockInputInvalid: The step is 0.
        """
        if given.step == 0:
            raise BlockInputInvalid("`step` cannot be 0")
        # A step backwards begins at the end unless it is told where.
        is_default = given.step < 0 and "start" not in given.model_fields_set
        part = given.items[None if is_default else given.start : given.end : given.step]
        yield "part", part
        yield "count", len(part)


def _under(item: Any, key: str) -> Any:
    """Return what an element has under a key, step by step where the key as a whole is not there."""
    if not key:
        return item
    if isinstance(item, dict) and key in item:
        return item[key]
    for step in key.split("."):
        if not isinstance(item, dict) or step not in item:
            return _ABSENT
        item = item[step]
    return item


def _passes(found: Any, test: ElementTest, value: Any) -> bool:
    if test is ElementTest.EXISTS:
        return found is not _ABSENT and found is not None
    if found is _ABSENT:
        return False
    if test is ElementTest.CONTAINS:
        return _contains(found, value)
    if test is ElementTest.EQUAL or test is ElementTest.NOT_EQUAL:
        return (identity_of(found) == identity_of(value)) is (test is ElementTest.EQUAL)
    return _is_in_order(found, test, value)


def _contains(found: Any, value: Any) -> bool:
    if isinstance(found, list):
        wanted = identity_of(value)
        return any(identity_of(item) == wanted for item in found)
    return isinstance(found, str | dict) and isinstance(value, str) and value in found


def _is_in_order(found: Any, test: ElementTest, value: Any) -> bool:
    are_numbers = _is_number(found) and _is_number(value)
    if not are_numbers and not (isinstance(found, str) and isinstance(value, str)):
        return False
    if test is ElementTest.GREATER:
        return bool(found > value)
    if test is ElementTest.LESS:
        return bool(found < value)
    return bool(found >= value if test is ElementTest.GREATER_OR_EQUAL else found <= value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rank(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return 0, value
    if _is_number(value):
        return 1, value
    if isinstance(value, str):
        return 2, value
    raise BlockError("Lists and dictionaries have no order; name a `key` whose values have one")
