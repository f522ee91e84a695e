from __future__ import annotations

import json
import time
from typing import Any

import pytest

from app.blocks.json_schemas import check_schema, problem_with
from app.errors import BlockInputInvalid, BlockLimitExceeded

ADDRESS = {
    "type": "object",
    "properties": {"to": {"$ref": "#/$defs/email"}, "copies": {"type": "array", "items": {"$ref": "#/$defs/email"}}},
    "required": ["to"],
    "$defs": {"email": {"type": "string", "pattern": "^[^@]+@[^@]+$"}},
}  # fmt: skip


def test_a_value_that_fits_has_no_problem() -> None:
    check_schema(ADDRESS)
    assert problem_with({"to": "a@example.org", "copies": ["b@example.org"]}, ADDRESS) is None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"copies": []}, '"to" is a required property'),
        ({"to": "nobody"}, "to: "),
        ({"to": "a@b", "copies": [1]}, "copies.0: "),
        ([], "is not of type"),
    ],
)
def test_a_value_that_does_not_fit_is_told_where(value: Any, problem: str) -> None:
    told = problem_with(value, ADDRESS)
    assert told is not None
    assert problem in told


def test_a_long_value_is_not_repeated_in_full() -> None:
    told = problem_with("x" * 10_000, {"type": "integer"})
    assert told is not None
    assert len(told) <= 300


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "http://127.0.0.1:1/schema"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"$id": "http://example.org/", "$ref": "other"},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"properties": {"a": {"$dynamicRef": "#x"}}},
        {"pattern": "(?=a)b"},
        {"pattern": "(a{1000}){1000}"},
    ],
    ids=json.dumps,
)
def test_a_schema_that_leads_elsewhere_or_nowhere_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(BlockInputInvalid):
        check_schema(schema)


def test_a_property_may_have_any_name() -> None:
    schema = {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}, "id": {"type": "string"}}}
    check_schema(schema)
    assert problem_with({"$id": 1}, schema) is not None


def test_a_schema_that_doubles_with_every_line_is_refused_at_once() -> None:
    doubling: dict[str, Any] = {
        f"d{k}": {"anyOf": [{"$ref": f"#/$defs/d{k + 1}"}, {"$ref": f"#/$defs/d{k + 1}"}]} for k in range(60)
    }
    began = time.monotonic()
    with pytest.raises(BlockLimitExceeded):
        check_schema({"$ref": "#/$defs/d0", "$defs": {**doubling, "d60": {"type": "string"}}})
    assert time.monotonic() - began < 20


def test_a_pattern_is_searched_in_linear_time() -> None:
    began = time.monotonic()
    assert problem_with("a" * 50_000 + "b", {"pattern": "^(a+)+$"}) is not None
    assert time.monotonic() - began < 20


def test_a_schema_that_is_nested_too_deep_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"not": deep}
    with pytest.raises(BlockLimitExceeded):
        check_schema(deep)


def test_a_value_that_is_too_large_for_its_schema_is_not_checked() -> None:
    many = {"allOf": [{"minLength": k} for k in range(1_000)]}
    with pytest.raises(BlockLimitExceeded):
        problem_with("x" * 200_000, many)
