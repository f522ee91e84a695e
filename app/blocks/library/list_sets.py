"""Blocks that combine several lists into one. Elements are compared as JSON: true is not 1."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockLimitExceeded
from app.json_values import identity_of

MAX_ELEMENTS = 1_000_000
_ABSENT = object()


class ConcatenateListsBlock(PureBlock):
    """Put several lists one after the other."""

    id = "3cf9298b-5817-4141-9d80-7c2cc5199c8e"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """The lists."""

        lists: list[list[Any]]
        """The lists in order."""
        deduplicate: bool = False
        """Whether to keep only the first of equal elements."""
        remove_none: bool = False
        """Whether to leave nulls out."""

    class Output(BlockOutput):
        """The list, then its length."""

        concatenated_list: list[Any]
        """All elements."""
        length: int
        """How many."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the list, then its length."""
        elements = list(chain.from_iterable(given.lists))
        if given.remove_none:
            elements = [element for element in elements if element is not None]
        if given.deduplicate:
            elements = _unique(elements)
        yield "concatenated_list", elements
        yield "length", len(elements)


class FlattenListBlock(PureBlock):
    """Put the elements of lists inside a list in the place of those lists."""

    id = "cc45bb0f-d035-4756-96a7-fe3e36254b4d"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """A list of lists."""

        nested_list: list[Any]
        """Any mixture of elements and lists."""
        max_depth: int = -1
        """How many levels to dissolve; all of them if negative."""

    class Output(BlockOutput):
        """The list, its length, and how deep it was."""

        flattened_list: list[Any]
        """The elements in order."""
        length: int
        """How many."""
        original_depth: int
        """The levels of the list that was given; 1 for a list without lists in it."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the list, its length and the depth it had."""
        flattened, depth = _flatten(given.nested_list, given.max_depth)
        yield "flattened_list", flattened
        yield "length", len(flattened)
        yield "original_depth", depth


class InterleaveListsBlock(PureBlock):
    """Take one element of each list in turn, until all are used up."""

    id = "9f616084-1d9f-4f8e-bc00-5b9d2a75cd75"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """The lists."""

        lists: list[list[Any]]
        """The lists in order; a list that is used up is passed over."""

    class Output(BlockOutput):
        """The list, then its length."""

        interleaved_list: list[Any]
        """All elements."""
        length: int
        """How many."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the list, then its length.

        Raises:
            BlockLimitExceeded: The lists are too many and too long.
        """
        _require_table(given.lists)
        rows = zip_longest(*given.lists, fillvalue=_ABSENT)
        elements = [element for row in rows for element in row if element is not _ABSENT]
        yield "interleaved_list", elements
        yield "length", len(elements)


class ZipListsBlock(PureBlock):
    """Put the first elements of several lists together, then the second ones, and so on."""

    id = "0d0e684f-5cb9-4c4b-b8d1-47a0860e0c07"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """The lists."""

        lists: list[list[Any]]
        """The lists in order."""
        pad_to_longest: bool = False
        """Whether to go on to the end of the longest list instead of the shortest."""
        fill_value: Any = None
        """What stands in for the elements of a list that is used up."""

    class Output(BlockOutput):
        """The list, then its length."""

        zipped_list: list[list[Any]]
        """One list per position."""
        length: int
        """How many."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the list, then its length.

        Raises:
            BlockLimitExceeded: The lists are too many and too long.
        """
        if given.pad_to_longest:
            _require_table(given.lists)
            rows = [list(row) for row in zip_longest(*given.lists, fillvalue=given.fill_value)]
        else:
            rows = [list(row) for row in zip(*given.lists, strict=False)]
        yield "zipped_list", rows
        yield "length", len(rows)


class ListDifferenceBlock(PureBlock):
    """Take the elements of one list that are not in another."""

    id = "05309873-9d61-447e-96b5-b804e2511829"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """Two lists."""

        list_a: list[Any]
        """The elements in question."""
        list_b: list[Any]
        """Those to leave out."""
        symmetric: bool = False
        """Whether to add the elements of `list_b` that are not in `list_a`."""

    class Output(BlockOutput):
        """The list, then its length."""

        difference: list[Any]
        """In order; equal elements are all kept."""
        length: int
        """How many."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the list, then its length."""
        difference = _without(given.list_a, given.list_b)
        if given.symmetric:
            difference += _without(given.list_b, given.list_a)
        yield "difference", difference
        yield "length", len(difference)


class ListIntersectionBlock(PureBlock):
    """Take the elements that two lists have in common."""

    id = "b6eb08b6-dbe3-411b-b9b4-2508cb311a1f"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """Two lists."""

        list_a: list[Any]
        """Gives the order."""
        list_b: list[Any]
        """The other one."""

    class Output(BlockOutput):
        """The list, then its length."""

        intersection: list[Any]
        """Each element once, in the order of `list_a`."""
        length: int
        """How many."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the list, then its length."""
        common = {identity_of(element) for element in given.list_b}
        intersection = [e for e in _unique(given.list_a) if identity_of(e) in common]
        yield "intersection", intersection
        yield "length", len(intersection)


def _unique(elements: list[Any]) -> list[Any]:
    by_identity: dict[Any, Any] = {}
    for element in elements:
        by_identity.setdefault(identity_of(element), element)
    return list(by_identity.values())


def _without(elements: list[Any], others: list[Any]) -> list[Any]:
    excluded = {identity_of(other) for other in others}
    return [element for element in elements if identity_of(element) not in excluded]


def _flatten(nested: list[Any], max_depth: int) -> tuple[list[Any], int]:
    flattened: list[Any] = []
    deepest = 1
    # A stack of what is still to be visited, so that no depth of nesting is too deep.
    waiting = [(element, 1) for element in reversed(nested)]
    while waiting:
        element, depth = waiting.pop()
        if not isinstance(element, list):
            flattened.append(element)
        elif 0 <= max_depth < depth:
            flattened.append(element)
            deepest = max(deepest, depth + _flatten(element, -1)[1])
        else:
            deepest = max(deepest, depth + 1)
            waiting.extend((inner, depth + 1) for inner in reversed(element))
    return flattened, deepest


def _require_table(lists: list[list[Any]]) -> None:
    if len(lists) * max(map(len, lists), default=0) > MAX_ELEMENTS:
        raise BlockLimitExceeded(f"The lists make a table of more than {MAX_ELEMENTS:,} places")
