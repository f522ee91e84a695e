"""Blocks that compare, count and go through things one by one."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from enum import StrEnum
from typing import Any

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from app.graph.coercion import coerce

MAX_ITEMS = 100_000
"""Ten times what the AutoGPT Platform takes."""
MAX_ITEMS_TEXT_BYTES = 1024 * 1024


class ComparisonOperator(StrEnum):
    """How two values are compared."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    GREATER = ">"
    LESS = "<"
    GREATER_OR_EQUAL = ">="
    LESS_OR_EQUAL = "<="


_COMPARISONS: Mapping[ComparisonOperator, Callable[[Any, Any], Any]] = {
    ComparisonOperator.EQUAL: operator.eq,
    ComparisonOperator.NOT_EQUAL: operator.ne,
    ComparisonOperator.GREATER: operator.gt,
    ComparisonOperator.LESS: operator.lt,
    ComparisonOperator.GREATER_OR_EQUAL: operator.ge,
    ComparisonOperator.LESS_OR_EQUAL: operator.le,
}


class ConditionBlock(PureBlock):
    """Compare two values and send a value down one of two branches.

    A text is trimmed and, where it is one, read as a number before it is compared.
    """

    id = "715696a0-e1da-45c8-b209-c2fa9c3b0be6"
    categories = (BlockCategory.LOGIC,)

    class Input(BlockInput):
        """Two values, how to compare them, and what each branch carries."""

        value1: Any
        """The left side."""
        operator: ComparisonOperator
        """How to compare."""
        value2: Any
        """The right side."""
        yes_value: Any = None
        """What goes out when it holds; `value1` if null."""
        no_value: Any = None
        """What goes out when it does not hold; `value2` if null."""

    class Output(BlockOutput):
        """The answer, then one of the branches."""

        result: bool
        """Whether it holds."""
        yes_output: Any
        """Only when it holds."""
        no_output: Any
        """Only when it does not hold."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the answer, then the branch.

        Raises:
            BlockError: The two values have no order between them.
        """
        value1, value2 = _operand(given.value1), _operand(given.value2)
        try:
            holds = bool(_COMPARISONS[given.operator](value1, value2))
        except TypeError:
            raise BlockError(
                f"`{given.operator.value}` does not apply to {_word_for(value1)} and {_word_for(value2)}"
            ) from None
        yield "result", holds
        if holds:
            yield "yes_output", value1 if given.yes_value is None else given.yes_value
        else:
            yield "no_output", value2 if given.no_value is None else given.no_value


class IfInputMatchesBlock(PureBlock):
    """Answer whether a value is equal to another one, which is first converted to the type of the former."""

    id = "6dbbc4b3-ca6c-42b6-b508-da52d23e13f2"
    categories = (BlockCategory.LOGIC,)

    class Input(BlockInput):
        """Two values, and what each branch carries."""

        input: Any
        """The value in question."""
        value: Any
        """What it should be equal to."""
        yes_value: Any = None
        """What goes out when they are equal; null goes out too."""
        no_value: Any = None
        """What goes out when they differ; null goes out too."""

    class Output(BlockOutput):
        """The answer, then one of the branches."""

        result: bool
        """Whether they are equal."""
        yes_output: Any
        """Only when they are equal."""
        no_output: Any
        """Only when they differ."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the answer, then the branch."""
        matches = given.input == given.value
        if not matches and given.input is not None:
            matches = given.input == coerce(given.value, type(given.input))
        yield "result", matches
        if matches:
            yield "yes_output", given.yes_value
        else:
            yield "no_output", given.no_value


class StepThroughItemsBlock(PureBlock):
    """Emit the elements of a list, an object or a JSON text one after the other.

    Where several are given, they are gone through in that order.
    """

    id = "f66a3543-28d3-4ab5-8945-9b336371e2ce"
    categories = (BlockCategory.LOGIC,)
    emits_many = True

    class Input(BlockInput):
        """Up to three collections; empty ones are passed over."""

        items: list[Any] = Field(default=[])
        """A list."""
        items_object: dict[Any, Any] = Field(default={})
        """An object."""
        items_str: str = ""
        """A list or an object as JSON text, at most 1 MiB."""

    class Output(BlockOutput):
        """Two values per element, together at most 10,000 elements."""

        item: Any
        """The element."""
        key: Any
        """Its key in an object, its position from 0 in a list."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit each element, then its key.

        Raises:
            BlockInputInvalid: The text is not a JSON list or object.
            BlockLimitExceeded: The text or the number of elements is too large.
        """
        collections: list[list[Any] | dict[Any, Any]] = [given.items, given.items_object]
        if given.items_str:
            collections.append(_parse_items(given.items_str))
        if sum(map(len, collections)) > MAX_ITEMS:
            raise BlockLimitExceeded(f"There are more than {MAX_ITEMS:,} elements to step through")
        for collection in collections:
            for key, item in _entries(collection):
                yield "item", item
                yield "key", key


class CountItemsBlock(PureBlock):
    """Count the elements of a list, the entries of an object or the characters of a text."""

    id = "3c9c2f42-b0c3-435f-ba35-05f7a25c772a"
    categories = (BlockCategory.LOGIC,)

    class Input(BlockInput):
        """What to count in."""

        collection: Any
        """A list, an object or a text."""

    class Output(BlockOutput):
        """The count."""

        count: int
        """-1 for a value that has nothing to count."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the count."""
        yield "count", len(given.collection) if isinstance(given.collection, Sized) else -1


def _operand(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        return float(text)
    except ValueError:
        return text


def _word_for(value: Any) -> str:
    if value is None:
        return "nothing"
    words: dict[type, str] = {str: "a text", bool: "a boolean", list: "a list", dict: "an object"}
    return words.get(type(value), "a number")


def _parse_items(text: str) -> list[Any] | dict[Any, Any]:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_ITEMS_TEXT_BYTES:
        raise BlockLimitExceeded("`items_str` is larger than 1 MiB")
    try:
        items = json.loads(text)
    except ValueError:
        raise BlockInputInvalid("`items_str` is not JSON") from None
    except RecursionError:
        raise BlockLimitExceeded("`items_str` is nested too deep") from None
    if not isinstance(items, (list, dict)):
        raise BlockInputInvalid("`items_str` is neither a list nor an object")
    return items


def _entries(collection: list[Any] | dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    return collection.items() if isinstance(collection, dict) else enumerate(collection)
