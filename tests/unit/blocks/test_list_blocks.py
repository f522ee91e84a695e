from __future__ import annotations

from typing import Any

import pytest

from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from tests.unit.blocks.calls import call, case, refusal

DEEP: list[Any] = [1]
for _ in range(100):
    DEEP = [DEEP]


def counted(pin: str, values: list[Any], *more: tuple[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What is emitted by the blocks that also say how long their list is."""
    return ((pin, values), ("length", len(values)), *more)


CASES = [
    case("of values", "CreateListBlock", {"values": [1, "a"]}, ("list", [1, "a"])),
    case(
        "of dynamic pins with a gap",
        "CreateListBlock",
        {"values_$_0": 1, "values_$_2": 3},
        ("list", [1, None, 3]),
    ),
    case("of nothing", "CreateListBlock", {"values": []}, ("list", [])),
    case("of nothing in chunks", "CreateListBlock", {"values": [], "max_size": 2}, ("list", [])),
    case(
        "in chunks", "CreateListBlock", {"values": [1, 2, 3], "max_size": 2}, ("list", [1, 2]), ("list", [3])
    ),
    case(
        "in full chunks", "CreateListBlock", {"values": [1, 2], "max_size": 1}, ("list", [1]), ("list", [2])
    ),
    case(
        "in chunks of 3 tokens",
        "CreateListBlock",
        {"values": ["12345678", "1234", "1234", {"a": "long enough"}, "x"], "max_tokens": 3},
        ("list", ["12345678", "1234"]),
        ("list", ["1234"]),
        ("list", [{"a": "long enough"}]),
        ("list", ["x"]),
    ),
    case(
        "in chunks of either limit",
        "CreateListBlock",
        {"values": ["1234", "1234", "1234"], "max_tokens": 100, "max_size": 2},
        ("list", ["1234", "1234"]),
        ("list", ["1234"]),
    ),
    case("an entry", "AddToListBlock", {"list": [1], "entry": 2}, ("updated_list", [1, 2])),
    case(
        "entries, then the entry",
        "AddToListBlock",
        {"list": [1], "entries": [2, 3], "entry": 4},
        ("updated_list", [1, 2, 3, 4]),
    ),
    case("to no list", "AddToListBlock", {"entry": "a"}, ("updated_list", ["a"])),
    case("nothing", "AddToListBlock", {"list": [1]}, ("updated_list", [1])),
    case("null is nothing", "AddToListBlock", {"list": [1], "entry": None}, ("updated_list", [1])),
    case("0 is something", "AddToListBlock", {"list": [1], "entry": 0}, ("updated_list", [1, 0])),
    case(
        "at a position",
        "AddToListBlock",
        {"list": [1, 4], "entries": [2, 3], "position": 1},
        ("updated_list", [1, 2, 3, 4]),
    ),
    case(
        "at the start", "AddToListBlock", {"list": [1], "entry": 0, "position": 0}, ("updated_list", [0, 1])
    ),
    case(
        "before the end",
        "AddToListBlock",
        {"list": [1, 3], "entry": 2, "position": -1},
        ("updated_list", [1, 2, 3]),
    ),
    case(
        "beyond the end", "AddToListBlock", {"list": [1], "entry": 2, "position": 9}, ("updated_list", [1, 2])
    ),
    case("there", "FindInListBlock", {"list": ["a", "b", "b"], "value": "b"}, ("index", 1), ("found", True)),
    case(
        "a dictionary",
        "FindInListBlock",
        {"list": [{"a": 1}], "value": {"a": 1}},
        ("index", 0),
        ("found", True),
    ),
    case(
        "not there",
        "FindInListBlock",
        {"list": ["a"], "value": "z"},
        ("found", False),
        ("not_found_value", "z"),
    ),
    case(
        "true is not 1", "FindInListBlock", {"list": [1, True], "value": True}, ("index", 1), ("found", True)
    ),
    case("null", "FindInListBlock", {"list": [None], "value": None}, ("index", 0), ("found", True)),
    case("the first", "GetListItemBlock", {"list": ["a", "b"], "index": 0}, ("item", "a")),
    case("the last", "GetListItemBlock", {"list": ["a", "b"], "index": -1}, ("item", "b")),
    case("an index as text", "GetListItemBlock", {"list": ["a", "b"], "index": "1"}, ("item", "b")),
    case("a null element", "GetListItemBlock", {"list": [None], "index": 0}, ("item", None)),
    case("by value", "RemoveFromListBlock", {"list": [1, 2, 1], "value": 1}, ("updated_list", [2, 1])),
    case("by index", "RemoveFromListBlock", {"list": [1, 2], "index": 0}, ("updated_list", [2])),
    case(
        "the index wins, and the item comes too",
        "RemoveFromListBlock",
        {"list": ["a", "b"], "value": "a", "index": -1, "return_item": True},
        ("updated_list", ["a"]),
        ("removed_item", "b"),
    ),
    case(
        "replaces",
        "ReplaceListItemBlock",
        {"list": ["a", "b"], "index": 1, "value": "z"},
        ("updated_list", ["a", "z"]),
        ("old_item", "b"),
    ),
    case(
        "replaces the last",
        "ReplaceListItemBlock",
        {"list": ["a", "b"], "index": -1, "value": None},
        ("updated_list", ["a", None]),
        ("old_item", "b"),
    ),
    case("empty", "ListIsEmptyBlock", {"list": []}, ("is_empty", True)),
    case("not empty", "ListIsEmptyBlock", {"list": [None]}, ("is_empty", False)),
    case(
        "in a row",
        "ConcatenateListsBlock",
        {"lists": [[1, 2], [], [2, None]]},
        *counted("concatenated_list", [1, 2, 2, None]),
    ),
    case(
        "without doubles and nulls",
        "ConcatenateListsBlock",
        {"lists": [[1, None, True], [1, {"a": 1}, {"a": 1}]], "deduplicate": True, "remove_none": True},
        *counted("concatenated_list", [1, True, {"a": 1}]),
    ),
    case(
        "what is no list is a list of one",
        "ConcatenateListsBlock",
        {"lists": [1, [2]]},
        *counted("concatenated_list", [1, 2]),
    ),
    case(
        "all levels",
        "FlattenListBlock",
        {"nested_list": [1, [2, [3, [4]]], []]},
        *counted("flattened_list", [1, 2, 3, 4], ("original_depth", 4)),
    ),
    case(
        "one level",
        "FlattenListBlock",
        {"nested_list": [1, [2, [3, [4]]]], "max_depth": 1},
        *counted("flattened_list", [1, 2, [3, [4]]], ("original_depth", 4)),
    ),
    case(
        "no level",
        "FlattenListBlock",
        {"nested_list": [1, [2]], "max_depth": 0},
        *counted("flattened_list", [1, [2]], ("original_depth", 2)),
    ),
    case(
        "flat already",
        "FlattenListBlock",
        {"nested_list": [1]},
        *counted("flattened_list", [1], ("original_depth", 1)),
    ),
    case(
        "nothing",
        "FlattenListBlock",
        {"nested_list": []},
        *counted("flattened_list", [], ("original_depth", 1)),
    ),
    case(
        "deep",
        "FlattenListBlock",
        {"nested_list": DEEP},
        *counted("flattened_list", [1], ("original_depth", 101)),
    ),
    case(
        "in turn",
        "InterleaveListsBlock",
        {"lists": [[1, 2, 3], ["a"], [None, "y"]]},
        *counted("interleaved_list", [1, "a", None, 2, "y", 3]),
    ),
    case("no lists", "InterleaveListsBlock", {"lists": []}, *counted("interleaved_list", [])),
    case("to the shortest", "ZipListsBlock", {"lists": [[1, 2], ["a"]]}, *counted("zipped_list", [[1, "a"]])),
    case(
        "to the longest",
        "ZipListsBlock",
        {"lists": [[1, 2], ["a"]], "pad_to_longest": True},
        *counted("zipped_list", [[1, "a"], [2, None]]),
    ),
    case(
        "to the longest with a filling",
        "ZipListsBlock",
        {"lists": [[1, 2], ["a"]], "pad_to_longest": True, "fill_value": "-"},
        *counted("zipped_list", [[1, "a"], [2, "-"]]),
    ),
    case("no lists", "ZipListsBlock", {"lists": []}, *counted("zipped_list", [])),
    case(
        "what is left",
        "ListDifferenceBlock",
        {"list_a": [3, 1, 1, 2], "list_b": [2]},
        *counted("difference", [3, 1, 1]),
    ),
    case(
        "what is left of both",
        "ListDifferenceBlock",
        {"list_a": [1, {"a": 1}], "list_b": [{"a": 1}, 5], "symmetric": True},
        *counted("difference", [1, 5]),
    ),
    case(
        "true is not 1",
        "ListDifferenceBlock",
        {"list_a": [True, 1], "list_b": [1.0]},
        *counted("difference", [True]),
    ),
    case(
        "in common",
        "ListIntersectionBlock",
        {"list_a": [3, 1, 3, [2]], "list_b": [[2], 3]},
        *counted("intersection", [3, [2]]),
    ),
    case(
        "nothing in common",
        "ListIntersectionBlock",
        {"list_a": [1], "list_b": []},
        *counted("intersection", []),
    ),
]

REFUSALS = [
    refusal("no size", "CreateListBlock", {"values": [1], "max_size": 0}, BlockInputInvalid, "max_size"),
    refusal(
        "no tokens", "CreateListBlock", {"values": [1], "max_tokens": -1}, BlockInputInvalid, "max_tokens"
    ),
    refusal("beyond the end", "GetListItemBlock", {"list": [1], "index": 1}, BlockError, "1 elements"),
    refusal("before the start", "GetListItemBlock", {"list": [1], "index": -2}, BlockError),
    refusal("of nothing", "GetListItemBlock", {"list": [], "index": 0}, BlockError),
    refusal("not in it", "RemoveFromListBlock", {"list": [1], "value": 2}, BlockError, "not in the list"),
    refusal("beyond the end", "RemoveFromListBlock", {"list": [1], "index": 1}, BlockError),
    refusal("neither", "RemoveFromListBlock", {"list": [1]}, BlockInputInvalid, "`index` or `value`"),
    refusal("beyond the end", "ReplaceListItemBlock", {"list": [1], "index": 5, "value": 1}, BlockError),
    refusal("no list", "ListIsEmptyBlock", {}, BlockInputInvalid, "`list`"),
    refusal(
        "a huge table",
        "ZipListsBlock",
        {"lists": [[0] * 2_000] + [[]] * 2_000, "pad_to_longest": True},
        BlockLimitExceeded,
    ),
    refusal(
        "a huge table", "InterleaveListsBlock", {"lists": [[0] * 2_000] + [[]] * 2_000}, BlockLimitExceeded
    ),
]


@pytest.mark.parametrize(("name", "data", "emitted"), CASES)
def test_it_emits_exactly(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert call(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
def test_it_refuses(name: str, data: dict[str, Any], error: type[BlockError], match: str | None) -> None:
    with pytest.raises(error, match=match):
        call(name, data)


def test_no_list_that_was_given_is_changed() -> None:
    given = [1, 2]

    call("AddToListBlock", {"list": given, "entry": 3})
    call("RemoveFromListBlock", {"list": given, "index": 0})
    call("ReplaceListItemBlock", {"list": given, "index": 0, "value": 9})

    assert given == [1, 2]
