"""Whether a value is of a type, and whether a constant is what its author meant by it."""

from __future__ import annotations

from datetime import date, time
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import Field, HttpUrl, JsonValue

from app.graph.coercion import coerce, is_faithful, is_nullable, satisfies
from tests.unit.graph.kinds import Attendee, Level, Operation


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (1, int, True),
        (True, int, False),
        (True, float, False),
        (1, float, True),
        (1.0, int, False),
        (1, bool, False),
        ("1", int, False),
        (None, int, False),
        (None, int | None, True),
        (None, Any, True),
        (None, type(None), True),
        (["a"], list[str], True),
        (["a", 1], list[str], False),
        (["a", 1], list, True),
        (("a",), list[str], False),
        (["a"], set[str], True),
        (["a"], tuple[str, ...], True),
        (["a", 1], tuple[str, int], True),
        (["a"], tuple[str, int], False),
        ({"a": 1}, dict[str, int], True),
        ({"a": "1"}, dict[str, int], False),
        ({1: 1}, dict[str, int], False),
        ("Add", Operation, True),
        (Operation.ADD, Operation, True),
        ("add", Operation, False),
        (1, Level, True),
        (True, Level, False),
        ("a", Literal["a"], True),
        (1, Literal[True], False),
        ({"name": "x"}, Attendee, True),
        (Attendee(name="x"), Attendee, True),
        ({"age": 1}, Attendee, False),
        ("2026-01-02", date, True),
        ("yesterday", date, False),
        ("https://example.com", HttpUrl, True),
        (5, JsonValue, True),
        (5, Annotated[int, Field(gt=0)], True),
    ],
    ids=lambda part: repr(part)[:40],
)
def test_a_value_is_of_a_type_or_is_not(value: Any, annotation: Any, expected: bool) -> None:
    assert satisfies(value, annotation) is expected


class Unreadable:
    pass


def test_a_type_that_pydantic_cannot_read_takes_only_its_own_values() -> None:
    assert satisfies(Unreadable(), Unreadable)
    assert not satisfies("x", Unreadable)
    assert coerce("x", Unreadable) == "x"
    assert not is_faithful("x", list[Unreadable])


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [(int, False), (int | None, True), (Any, True), (Optional[str], True), (list[int | None], False)],  # noqa: UP045  (both spellings)
    ids=repr,
)
def test_null_is_of_a_type_or_is_not(annotation: Any, expected: bool) -> None:
    assert is_nullable(annotation) is expected


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        ("3", int),
        (3.0, int),
        ("3.5", float),
        (3, float),
        ("Infinity", float),
        ("NaN", float),
        ("true", bool),
        ("False", bool),
        ("1", bool),
        (1, bool),
        ("Add", Operation),
        ("2026-01-02", date),
        ("10:00:00", time),
        ("[1, 2]", list[int]),
        ('["1", 2]', list[int]),
        (["1"], list[int]),
        ('{"a": 1}', dict[str, int]),
        (' {"a": "1"}', dict[str, int]),
        ("x", str),
        ("", str),
        ({"name": "x"}, Attendee),
        ("5", int | None),
        (None, int | None),
        ({"a": 1}, Any),
        ("x", JsonValue),
        ((1, 2), list[int]),
    ],
    ids=lambda part: repr(part)[:40],
)
def test_a_constant_whose_meaning_is_plain_is_faithful(value: Any, annotation: Any) -> None:
    assert is_faithful(value, annotation)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        ("abc", int),
        ("", int),
        ("abc", float),
        (3.5, int),
        ([1], int),
        (None, int),
        (42, str),
        ({}, str),
        (True, str),
        ("x", list),
        ("x", list[str]),
        ("[x]", list[str]),
        ({"a": 1}, list),
        ('{"a": 1}', list),
        ([], dict),
        ("[1]", dict),
        ("x", dict),
        ("yes", bool),
        ("on", bool),
        (2, bool),
        ("Subtract", Operation),
        ("soon", date),
        ({"age": 1}, Attendee),
        ([1, "x"], list[int]),
        ({"a": "x"}, dict[str, int]),
        ("x", int | None),
        ([1], int | list[str]),
    ],
    ids=lambda part: repr(part)[:40],
)
def test_a_constant_that_would_have_to_be_guessed_at_is_not_faithful(value: Any, annotation: Any) -> None:
    assert not is_faithful(value, annotation)
