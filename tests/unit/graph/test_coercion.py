from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, HttpUrl, JsonValue

from app.graph.coercion import coerce, is_faithful, satisfies
from tests.unit.graph.kinds import Attendee, Operation

DEEP = "[" * 100_000 + "]" * 100_000

TO_LIST: list[tuple[Any, Any, Any]] = [
    (list, [1], [1]),
    (list, (1, 2), [1, 2]),
    (list[int], {3}, [3]),
    (list, {"a": 1, "b": 2}, [["a", 1], ["b", 2]]),
    (list, "[1, 2]", [1, 2]),
    (list, '  ["a"]\n', ["a"]),
    (list, "[not json]", ["[not json]"]),
    (list, DEEP, [DEEP]),
    (list, "a,b", ["a,b"]),
    (list, "", [""]),
    (list, 5, [5]),
    (list, False, [False]),
    (list[Any], {"a": 1}, [["a", 1]]),
    (list[str], "[1, null, true]", ["1", "null", "true"]),
    (list[str], [1, None, "x", {"a": 1.0}], ["1", "null", "x", '{"a": 1.0}']),
    (list[str], 7, ["7"]),
    (list[str], {"a": 1}, ['["a", 1]']),
    (list[int], ["1", "2.9", "x", None, True], [1, 2, 0, 0, 1]),
    (list[int], "42", [42]),
    (list[float], ["1.5", 2], [1.5, 2]),
    (list[bool], ["true", "no", 1], [True, False, True]),
    (list[list[int]], [["1"], 2, "[3]"], [[1], [2], [3]]),
    (list[dict[str, Any]], ['{"a": 1}', "x", None], [{"a": 1}, {"value": "x"}, {"value": None}]),
    (list[int | None], ["1", None], [1, None]),
    (Sequence[int], ["1"], [1]),
    (set[int], ["1", 2], [1, 2]),
    (set[int], {1}, {1}),
    (frozenset[str], "a", ["a"]),
    (tuple[int, ...], ["1", 2], [1, 2]),
    (tuple[int, str], ["1", 2], [1, "2"]),
    (tuple[int, str], ["1"], ["1"]),
    (tuple[int, str], (1, "a"), (1, "a")),
    (list[Attendee], [{"name": "x"}], [{"name": "x"}]),
    (list[Attendee], {"name": "x"}, [["name", "x"]]),
    (list[Literal["a"]], ["a", "b"], ["a", "b"]),
]

TO_OBJECT: list[tuple[Any, Any, Any]] = [
    (dict, {"a": 1}, {"a": 1}),
    (dict, '{"a": 1}', {"a": 1}),
    (dict, "[1, 2]", {"value": [1, 2]}),
    (dict, "3", {"value": 3}),
    (dict, "null", {"value": None}),
    (dict, "", {"value": ""}),
    (dict, "plain text", {"value": "plain text"}),
    (dict, DEEP, {"value": DEEP}),
    (dict, '{"x": NaN}', {"x": "NaN"}),
    (dict, ["a", "b"], {0: "a", 1: "b"}),
    (dict, ("a",), {0: "a"}),
    (dict, 5, {"value": 5}),
    (dict, True, {"value": True}),
    (dict[str, Any], ["a"], {"0": "a"}),
    (dict[str, int], {"a": "1", "b": 2}, {"a": 1, "b": 2}),
    (dict[str, str], {"a": None}, {"a": "null"}),
    (dict[str, list[int]], {"a": "1"}, {"a": [1]}),
    (dict[int, Any], {"1": "x"}, {1: "x"}),
    (Mapping[str, int], {"a": "1"}, {"a": 1}),
]

TO_TEXT: list[tuple[Any, Any, Any]] = [
    (str, "x", "x"),
    (str, "", ""),
    (str, 3, "3"),
    (str, 3.0, "3.0"),
    (str, True, "true"),
    (str, {"a": [1, None]}, '{"a": [1, null]}'),
    (str, ["ü"], '["ü"]'),
    (str, {1}, "[1]"),
    (str, date(2026, 1, 2), '"2026-01-02"'),
]

TO_NUMBER: list[tuple[Any, Any, Any]] = [
    (int, 3, 3),
    (int, True, 1),
    (int, False, 0),
    (int, 3.0, 3),
    (int, 3.9, 3),
    (int, -3.9, -3),
    (int, "42", 42),
    (int, "42.9", 42),
    (int, " 7 ", 7),
    (int, "1e3", 1000),
    (int, "12345678901234567890", 12345678901234567890),
    (int, "abc", 0),
    (int, "", 0),
    (int, "Infinity", 0),
    (int, "NaN", 0),
    (int, float("inf"), 0),
    (int, "9" * 10_000, 0),
    (int, [1, 2, 3], 3),
    (int, {"a": 1}, 1),
    (int, {1, 2}, 2),
    (int, object(), 0),
    (float, 1.5, 1.5),
    (float, 3, 3),
    (float, True, 1.0),
    (float, "3.5", 3.5),
    (float, "x", 0.0),
    (float, [1, 2], 2.0),
    (float, "Infinity", math.inf),
    (float, "-Infinity", -math.inf),
    (float, "1" + "0" * 400, 0.0),
]

TO_TRUTH: list[tuple[Any, Any, Any]] = [
    (bool, True, True),
    (bool, "true", True),
    (bool, "TRUE", True),
    (bool, "1", True),
    (bool, "false", False),
    (bool, "yes", False),
    (bool, "on", False),
    (bool, " true", False),
    (bool, "", False),
    (bool, 1, True),
    (bool, 0, False),
    (bool, 0.5, True),
    (bool, [], False),
    (bool, {"a": 1}, True),
]

TO_UNION: list[tuple[Any, Any, Any]] = [
    (int | None, 5, 5),
    (int | None, "5", 5),
    (int | None, None, None),
    (Optional[int], "5", 5),  # noqa: UP045  (both spellings)
    (Union[int, str], "5", "5"),  # noqa: UP007  (both spellings)
    (Union[int, str], 1.5, 1),  # noqa: UP007  (both spellings)
    (int | str, 1.5, 1),
    (str | int, 1.5, "1.5"),
    (str | float, 3, 3),
    (int | bool, True, True),
    (int | str, True, 1),
    (None | int, "5", 5),
    (str | list[str], [1], "[1]"),
    (list[str] | str, [1], ["1"]),
    (dict[str, Any] | list[Any], "x", {"value": "x"}),
    (dict[str, Any] | list[Any], [1], [1]),
    (Literal["a"] | int, "5", 5),
    (Literal["a"] | int, "a", "a"),
    (Operation | int, "Add", "Add"),
    (Operation | int, "7", 7),
    (Attendee | str, {"name": "x"}, {"name": "x"}),
    (Attendee | None, "x", "x"),
    (list[int | str], [1.5], [1]),
    (list[str | int], [1.5], ["1.5"]),
]

UNCHANGED: list[tuple[Any, Any, Any]] = [
    (annotation, value, value)
    for annotation, value in [
        (Any, "5"),
        (Any, {"a": 1}),
        (object, 5),
        (JsonValue, "5"),
        (Literal["a", "b"], "c"),
        (Literal[1], "1"),
        (Operation, "Add"),
        (Operation, "nothing"),
        (Attendee, {"name": "x"}),
        (Attendee, "x"),
        (date, "2026-01-02"),
        (HttpUrl, "https://example.com"),
        (type(None), 5),
        (int, None),
        (str, None),
        (list[str], None),
        (dict, None),
        (bool, None),
    ]
]

ANNOTATED: list[tuple[Any, Any, Any]] = [
    (Annotated[int, Field(gt=0)], "5", 5),
    (Annotated[list[Annotated[int, Field(gt=0)]], Field(max_length=3)], "5", [5]),
    (list[JsonValue], 5, [5]),
    (dict[str, JsonValue], "x", {"value": "x"}),
]

TABLE = [*TO_LIST, *TO_OBJECT, *TO_TEXT, *TO_NUMBER, *TO_TRUTH, *TO_UNION, *UNCHANGED, *ANNOTATED]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"), TABLE, ids=lambda part: repr(part).partition(" at 0x")[0][:40]
)
def test_a_value_is_fitted_to_its_pin_by_the_table(annotation: Any, value: Any, expected: Any) -> None:
    result = coerce(value, annotation)

    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize("text", ["NaN", "nan"])
def test_the_word_for_not_a_number_is_read_as_it(text: str) -> None:
    assert math.isnan(coerce(text, float))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
pin_types: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([str, int, float, bool, Any, list, dict, int | None, str | int, float | bool | None]),
    lambda inner: (
        inner.map(lambda each: list[each])  # type: ignore[valid-type]  # made at run time
        | inner.map(lambda each: dict[str, each])  # type: ignore[valid-type]  # made at run time
        | inner.map(lambda each: each | None if each is not Any else each)
    ),
    max_leaves=3,
)


@given(json_values.filter(lambda value: value is not None), pin_types)
def test_what_was_fitted_to_a_type_is_of_that_type(value: Any, annotation: Any) -> None:
    assert satisfies(coerce(value, annotation), annotation)


@given(json_values, pin_types)
def test_fitting_twice_changes_nothing(value: Any, annotation: Any) -> None:
    once = coerce(value, annotation)
    assert coerce(once, annotation) is once


@given(json_values, pin_types)
def test_a_value_that_is_of_the_type_is_not_touched(value: Any, annotation: Any) -> None:
    if satisfies(value, annotation):
        assert coerce(value, annotation) is value


@given(json_values, pin_types)
def test_asking_whether_a_constant_is_faithful_never_fails(value: Any, annotation: Any) -> None:
    assert is_faithful(value, annotation) in (True, False)
