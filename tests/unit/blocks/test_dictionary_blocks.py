from __future__ import annotations

from typing import Any

import pytest

from app.errors import BlockError, BlockInputInvalid
from tests.unit.blocks.calls import call, case, refusal


def find(sentence: str, where: Any, key: Any, *emitted: tuple[str, Any]) -> Any:
    return case(sentence, "FindInDictionaryBlock", {"input": where, "key": key}, *emitted)


CASES = [
    case(
        "of dynamic pins",
        "CreateDictionaryBlock",
        {"values_#_a": 1, "values_#_b": [2]},
        ("dictionary", {"a": 1, "b": [2]}),
    ),
    case("of constants", "CreateDictionaryBlock", {"values": {"a": 1}}, ("dictionary", {"a": 1})),
    case(
        "both",
        "CreateDictionaryBlock",
        {"values": {"a": 1}, "values_#_b": 2},
        ("dictionary", {"a": 1, "b": 2}),
    ),
    case("a JSON text", "CreateDictionaryBlock", {"values": '{"a": 1}'}, ("dictionary", {"a": 1})),
    case(
        "an entry",
        "AddToDictionaryBlock",
        {"dictionary": {"a": 1}, "key": "b", "value": 2},
        ("updated_dictionary", {"a": 1, "b": 2}),
    ),
    case(
        "entries win",
        "AddToDictionaryBlock",
        {"dictionary": {"a": 1}, "key": "a", "value": 2, "entries": {"a": 3}},
        ("updated_dictionary", {"a": 3}),
    ),
    case("to nothing", "AddToDictionaryBlock", {"key": "a", "value": 0}, ("updated_dictionary", {"a": 0})),
    case(
        "null is no value",
        "AddToDictionaryBlock",
        {"dictionary": {"a": 1}, "key": "b", "value": None},
        ("updated_dictionary", {"a": 1}),
    ),
    case(
        "an empty key is none",
        "AddToDictionaryBlock",
        {"dictionary": {"a": 1}, "key": "", "value": 2},
        ("updated_dictionary", {"a": 1}),
    ),
    case("dynamic entries", "AddToDictionaryBlock", {"entries_#_x": 1}, ("updated_dictionary", {"x": 1})),
    find("a key", {"k2": "v2"}, "k2", ("output", "v2")),
    find("a key whose value is null", {"a": None}, "a", ("output", None)),
    find("a number finds the key of that name", {"1": "x"}, 1, ("output", "x")),
    find("no such key", {"a": 1}, "b", ("missing", {"a": 1})),
    find("a JSON text", '{"a": {"b": 1}}', "a", ("output", {"b": 1})),
    find("not in a JSON text", '{"a": 1}', "b", ("missing", '{"a": 1}')),
    find("a position", ["x", "y"], 1, ("output", "y")),
    find("beyond the end", ["x"], 1, ("missing", ["x"])),
    find("before the start", ["x"], -1, ("missing", ["x"])),
    find("a key in every element", [{"a": 1}, {"b": 2}, {"a": 3}, "a"], "a", ("output", [1, 3])),
    find("a key in no element", [], "a", ("output", [])),
    find("in a number", 5, "a", ("missing", 5)),
    find("in nothing", None, "a", ("missing", None)),
    case(
        "an entry goes",
        "RemoveFromDictionaryBlock",
        {"dictionary": {"a": 1, "b": 2}, "key": "a"},
        ("updated_dictionary", {"b": 2}),
    ),
    case(
        "an entry goes and is told",
        "RemoveFromDictionaryBlock",
        {"dictionary": {"a": None}, "key": "a", "return_value": True},
        ("updated_dictionary", {}),
        ("removed_value", None),
    ),
    case(
        "another value",
        "ReplaceDictionaryValueBlock",
        {"dictionary": {"a": 1, "b": 2}, "key": "a", "value": [3]},
        ("updated_dictionary", {"a": [3], "b": 2}),
        ("old_value", 1),
    ),
    case(
        "a number is a key of that name",
        "ReplaceDictionaryValueBlock",
        {"dictionary": {"7": 1}, "key": 7, "value": 2},
        ("updated_dictionary", {"7": 2}),
        ("old_value", 1),
    ),
    case("empty", "DictionaryIsEmptyBlock", {"dictionary": {}}, ("is_empty", True)),
    case("not empty", "DictionaryIsEmptyBlock", {"dictionary": {"a": None}}, ("is_empty", False)),
]

REFUSALS = [
    refusal(
        "not JSON", "FindInDictionaryBlock", {"input": "hello", "key": "a"}, BlockInputInvalid, "not JSON"
    ),
    refusal("a JSON bomb", "FindInDictionaryBlock", {"input": "[" * 100_000, "key": "a"}, BlockError),
    refusal("no key", "FindInDictionaryBlock", {"input": {}}, BlockInputInvalid, "`key`"),
    refusal(
        "not there",
        "RemoveFromDictionaryBlock",
        {"dictionary": {"a": 1}, "key": "b"},
        BlockError,
        "no such key",
    ),
    refusal(
        "not there",
        "ReplaceDictionaryValueBlock",
        {"dictionary": {}, "key": "b", "value": 1},
        BlockError,
        "no such key",
    ),
]


@pytest.mark.parametrize(("name", "data", "emitted"), CASES)
def test_it_emits_exactly(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert call(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
def test_it_refuses(name: str, data: dict[str, Any], error: type[BlockError], match: str | None) -> None:
    with pytest.raises(error, match=match):
        call(name, data)


def test_linked_to_itself_it_gathers() -> None:
    gathered: Any = {}
    for key in "abc":
        [(_, gathered)] = call(
            "AddToDictionaryBlock", {"dictionary": gathered, "key": key, "value": key.upper()}
        )

    assert gathered == {"a": "A", "b": "B", "c": "C"}
