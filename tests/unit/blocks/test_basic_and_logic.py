from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from tests.unit.blocks.calls import call, case, refusal


def convert(value: Any, kind: str, result: Any) -> Any:
    return case(
        f"{value!r} to {kind}",
        "UniversalTypeConverterBlock",
        {"value": value, "type": kind},
        ("value", result),
    )


def compare(value1: Any, operator: str, value2: Any, result: bool, branch: Any) -> Any:
    return case(
        f"{value1!r} {operator} {value2!r}",
        "ConditionBlock",
        {"value1": value1, "operator": operator, "value2": value2},
        ("result", result),
        ("yes_output" if result else "no_output", branch),
    )


def calculate(operation: str, a: Any, b: Any, result: Any, **more: Any) -> Any:
    return case(
        f"{operation} {a} {b} {more or ''}",
        "CalculatorBlock",
        {"operation": operation, "a": a, "b": b, **more},
        ("result", result),
    )


def count(collection: Any, result: int) -> Any:
    return case(f"{collection!r}", "CountItemsBlock", {"collection": collection}, ("count", result))


CASES = [
    case("keeps what arrives", "StoreValueBlock", {"input": 1}, ("output", 1)),
    case("data goes before input", "StoreValueBlock", {"input": 1, "data": 2}, ("output", 2)),
    case("data 0 counts as none", "StoreValueBlock", {"input": 1, "data": 0}, ("output", 1)),
    case("data '' counts as none", "StoreValueBlock", {"input": 1, "data": ""}, ("output", 1)),
    case("data [] counts as none", "StoreValueBlock", {"input": 1, "data": []}, ("output", 1)),
    case("data false counts as none", "StoreValueBlock", {"input": None, "data": False}, ("output", None)),
    convert("42", "number", 42.0),
    convert(5, "number", 5.0),
    convert(True, "number", 1.0),
    convert([1, 2, 3], "number", 3.0),
    convert({"a": 1}, "number", 1.0),
    convert("x", "number", 0.0),
    convert(5, "string", "5"),
    convert(3.0, "string", "3.0"),
    convert(True, "string", "true"),
    convert({"a": [1]}, "string", '{"a": [1]}'),
    convert("text", "string", "text"),
    convert("TRUE", "boolean", True),
    convert("1", "boolean", True),
    convert("yes", "boolean", False),
    convert(2, "boolean", True),
    convert([], "boolean", False),
    convert("[1, 2]", "list", [1, 2]),
    convert("a, b", "list", ["a, b"]),
    convert({"a": 1}, "list", [["a", 1]]),
    convert(1, "list", [1]),
    convert('{"a": 1}', "dictionary", {"a": 1}),
    convert("[1]", "dictionary", {"value": [1]}),
    convert("text", "dictionary", {"value": "text"}),
    convert(["x", "y"], "dictionary", {"0": "x", "1": "y"}),
    convert(7, "dictionary", {"value": 7}),
    case("says its text", "NoteBlock", {"text": "remember"}, ("output", "remember")),
    case(
        "last first",
        "ReverseListOrderBlock",
        {"input_list": [1, "a", None]},
        ("reversed_list", [None, "a", 1]),
    ),
    case(
        "of dynamic pins",
        "ReverseListOrderBlock",
        {"input_list_$_0": 1, "input_list_$_1": 2},
        ("reversed_list", [2, 1]),
    ),
    case(
        "a JSON text is a list", "ReverseListOrderBlock", {"input_list": "[1, 2]"}, ("reversed_list", [2, 1])
    ),
    case("passes on", "PrintToConsoleBlock", {"text": {"a": 1}}, ("output", {"a": 1}), ("status", "printed")),
    compare(1, "==", 1.0, True, 1),
    compare(" 10 ", ">", "9", True, 10.0),
    compare("10", "<", 9, False, 9),
    compare("abc ", "==", " abc", True, "abc"),
    compare("a", "!=", "b", True, "a"),
    compare("a", "<", "b", True, "a"),
    compare(3, ">=", "3", True, 3),
    compare(4, "<=", 3, False, 3),
    compare([1], "==", [1], True, [1]),
    compare("1", "==", "x", False, "x"),
    compare(None, "==", None, True, None),
    compare(None, "!=", 1, True, None),
    case(
        "values for the branches",
        "ConditionBlock",
        {"value1": 1, "operator": "==", "value2": 1, "yes_value": "yes", "no_value": "no"},
        ("result", True),
        ("yes_output", "yes"),
    ),
    case(
        "the other branch",
        "ConditionBlock",
        {"value1": 1, "operator": "==", "value2": 2, "yes_value": "yes", "no_value": "no"},
        ("result", False),
        ("no_output", "no"),
    ),
    case(
        "0 is a value for a branch",
        "ConditionBlock",
        {"value1": 1, "operator": "==", "value2": 1, "yes_value": 0},
        ("result", True),
        ("yes_output", 0),
    ),
    case(
        "equal",
        "IfInputMatchesBlock",
        {"input": 1, "value": 1, "yes_value": "y"},
        ("result", True),
        ("yes_output", "y"),
    ),
    case(
        "a number and its text",
        "IfInputMatchesBlock",
        {"input": 10, "value": "10"},
        ("result", True),
        ("yes_output", None),
    ),
    case(
        "a text and a number",
        "IfInputMatchesBlock",
        {"input": "10", "value": 10},
        ("result", True),
        ("yes_output", None),
    ),
    case(
        "a boolean and its text",
        "IfInputMatchesBlock",
        {"input": True, "value": "TRUE"},
        ("result", True),
        ("yes_output", None),
    ),
    case(
        "a list and its JSON",
        "IfInputMatchesBlock",
        {"input": [1], "value": "[1]"},
        ("result", True),
        ("yes_output", None),
    ),
    case(
        "different",
        "IfInputMatchesBlock",
        {"input": 10, "value": 11, "no_value": "n"},
        ("result", False),
        ("no_output", "n"),
    ),
    case(
        "null goes out too",
        "IfInputMatchesBlock",
        {"input": "a", "value": "b"},
        ("result", False),
        ("no_output", None),
    ),
    case(
        "nothing equals nothing",
        "IfInputMatchesBlock",
        {"input": None, "value": None},
        ("result", True),
        ("yes_output", None),
    ),
    case(
        "nothing and something",
        "IfInputMatchesBlock",
        {"input": None, "value": ""},
        ("result", False),
        ("no_output", None),
    ),
    case(
        "a list",
        "StepThroughItemsBlock",
        {"items": ["a", "b"]},
        ("item", "a"),
        ("key", 0),
        ("item", "b"),
        ("key", 1),
    ),
    case("an object", "StepThroughItemsBlock", {"items_object": {"k": "v"}}, ("item", "v"), ("key", "k")),
    case("a JSON list", "StepThroughItemsBlock", {"items_str": "[5]"}, ("item", 5), ("key", 0)),
    case("a JSON object", "StepThroughItemsBlock", {"items_str": '{"k": [1]}'}, ("item", [1]), ("key", "k")),
    case("nothing", "StepThroughItemsBlock", {}),
    case(
        "all three in order",
        "StepThroughItemsBlock",
        {"items_str": "[3]", "items_object": {"k": 2}, "items": [1]},
        ("item", 1),
        ("key", 0),
        ("item", 2),
        ("key", "k"),
        ("item", 3),
        ("key", 0),
    ),
    calculate("Add", 8, 34, 42.0),
    calculate("Subtract", 8, 34, -26.0),
    calculate("Multiply", "2", "3.5", 7.0),
    calculate("Divide", 1, 4, 0.25),
    calculate("Power", 2, 10, 1024.0),
    calculate("Divide", 1, 0, "Infinity"),
    calculate("Divide", -1, 0, "Infinity"),
    calculate("Power", 0, -1, "Infinity"),
    calculate("Power", 10, 400, "NaN"),
    calculate("Power", -8, 0.5, "NaN"),
    calculate("Divide", 1, 0, "Infinity", round_result=True),
    calculate("Multiply", 1e200, 1e200, "Infinity"),
    calculate("Multiply", 1e200, 1e200, "NaN", round_result=True),
    calculate("Divide", 7, 2, 4, round_result=True),
    calculate("Divide", 5, 2, 2, round_result=True),
    calculate("Add", "Infinity", "-Infinity", "NaN"),
    calculate("Add", "nonsense", 1, 1.0),
    count([1, 2], 2),
    count({"a": 1}, 1),
    count("héllo", 5),
    count([], 0),
    count(5, -1),
    count(None, -1),
    count(True, -1),
]

REFUSALS = [
    refusal("no input", "StoreValueBlock", {"data": 1}, BlockInputInvalid, "`input`"),
    refusal("null", "UniversalTypeConverterBlock", {"value": None, "type": "number"}, BlockError, "number"),
    refusal(
        "an unknown type",
        "UniversalTypeConverterBlock",
        {"value": 1, "type": "date"},
        BlockInputInvalid,
        "`type`",
    ),
    refusal(
        "text and number",
        "ConditionBlock",
        {"value1": "a", "operator": "<", "value2": 1},
        BlockError,
        "a text and a number",
    ),
    refusal(
        "lists and null",
        "ConditionBlock",
        {"value1": [1], "operator": ">", "value2": None},
        BlockError,
        "a list and nothing",
    ),
    refusal(
        "an unknown operator",
        "ConditionBlock",
        {"value1": 1, "operator": "=", "value2": 1},
        BlockInputInvalid,
        "`operator`",
    ),
    refusal("no operand", "ConditionBlock", {"value1": 1, "operator": "=="}, BlockInputInvalid, "`value2`"),
    refusal("not JSON", "StepThroughItemsBlock", {"items_str": "[1"}, BlockInputInvalid, "not JSON"),
    refusal("a JSON number", "StepThroughItemsBlock", {"items_str": "5"}, BlockInputInvalid, "neither"),
    refusal("a JSON bomb", "StepThroughItemsBlock", {"items_str": "[" * 100_000}, BlockError, "JSON|deep"),
    refusal(
        "a large JSON",
        "StepThroughItemsBlock",
        {"items_str": " " * (1024 * 1024 + 1)},
        BlockLimitExceeded,
        "1 MiB",
    ),
    refusal(
        "many elements",
        "StepThroughItemsBlock",
        {"items": list(range(100_001))},
        BlockLimitExceeded,
        "100,000",
    ),
    refusal(
        "many elements in all",
        "StepThroughItemsBlock",
        {"items": list(range(60_000)), "items_str": json.dumps(list(range(60_000)))},
        BlockLimitExceeded,
        "100,000",
    ),
    refusal(
        "an unknown operation",
        "CalculatorBlock",
        {"operation": "Modulo", "a": 1, "b": 1},
        BlockInputInvalid,
        "`operation`",
    ),
    refusal("a missing number", "CalculatorBlock", {"operation": "Add", "a": 1}, BlockInputInvalid, "`b`"),
]


@pytest.mark.parametrize(("name", "data", "emitted"), CASES)
def test_it_emits_exactly(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert call(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
def test_it_refuses(name: str, data: dict[str, Any], error: type[BlockError], match: str | None) -> None:
    with pytest.raises(error, match=match):
        call(name, data)


def test_a_hundred_thousand_elements_are_gone_through() -> None:
    assert len(call("StepThroughItemsBlock", {"items": list(range(100_000))})) == 200_000
