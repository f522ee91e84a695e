"""Blocks of our own that work on values: JSON, order, patterns, dates."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from tests.unit.blocks.calls import call, case, refusal

PEOPLE = [{"name": "Bo", "age": 30}, {"name": "Al", "age": 4}, {"name": "Cy"}]
NESTED = [{"by": {"name": "b"}}, {"by": {"name": "a"}}, {"by.name": "c"}, {"by": 1}]
JSON = "ParseJsonBlock"
TEXT = "ToJsonBlock"
MERGE = "MergeDictionariesBlock"
FILTER = "FilterListBlock"
SORT = "SortListBlock"
SLICE = "SliceListBlock"
REPLACE = "ReplaceTextPatternBlock"
SHIFT = "ShiftDateBlock"


def filtered(sentence: str, given: dict[str, Any], matching: list[Any], others: list[Any]) -> Any:
    return case(sentence, FILTER, given, ("matching", matching), ("others", others), ("count", len(matching)))


def part(sentence: str, given: dict[str, Any], taken: list[Any]) -> Any:
    return case(sentence, SLICE, {"items": [0, 1, 2, 3, 4], **given}, ("part", taken), ("count", len(taken)))


def shifted(sentence: str, given: dict[str, Any], date: str, weekday: str) -> Any:
    return case(sentence, SHIFT, given, ("date", date), ("weekday", weekday))


CASES = [
    case("an object", JSON, {"text": '{"a": [1, 2.5, null]}'}, ("value", {"a": [1, 2.5, None]})),
    case("a text", JSON, {"text": ' "x" '}, ("value", "x")),
    case("null", JSON, {"text": "null"}, ("value", None)),
    case("in a code block", JSON, {"text": '```json\n{"a": 1}\n```\n'}, ("value", {"a": 1})),
    case("in a code block without a language", JSON, {"text": "```\n[1]\n```"}, ("value", [1])),
    case("what is a value already", JSON, {"text": {"a": 1}}, ("value", {"a": 1})),
    case("a value", TEXT, {"value": {"b": [1], "a": "ü"}}, ("text", '{"b": [1], "a": "ü"}')),
    case("in order", TEXT, {"value": {"b": 1, "a": 2}, "sort_keys": True}, ("text", '{"a": 2, "b": 1}')),
    case("over lines", TEXT, {"value": [1], "indent": 2}, ("text", "[\n  1\n]")),
    case("a text", TEXT, {"value": "x"}, ("text", '"x"')),
    case(
        "the last one stays",
        MERGE,
        {"dictionaries": [{"a": 1, "b": 1}, {"b": 2}]},
        ("dictionary", {"a": 1, "b": 2}),
    ),
    case(
        "of links",
        MERGE,
        {"dictionaries_$_0": {"a": 1}, "dictionaries_$_1": {"b": 2}},
        ("dictionary", {"a": 1, "b": 2}),
    ),
    case("of none", MERGE, {"dictionaries": []}, ("dictionary", {})),
    case(
        "what is below is lost",
        MERGE,
        {"dictionaries": [{"a": {"x": 1}}, {"a": {"y": 2}}]},
        ("dictionary", {"a": {"y": 2}}),
    ),
    case(
        "what is below is kept",
        MERGE,
        {
            "dictionaries": [{"a": {"x": 1, "z": 0}, "b": 1}, {"a": {"y": 2, "z": 3}, "b": {"c": 1}}],
            "deep": True,
        },
        ("dictionary", {"a": {"x": 1, "z": 3, "y": 2}, "b": {"c": 1}}),
    ),
    filtered("equal elements", {"items": [1, True, 1.0, "1"], "value": 1}, [1, 1.0], [True, "1"]),
    filtered(
        "under a key", {"items": PEOPLE, "key": "age", "operator": ">", "value": 4}, PEOPLE[:1], PEOPLE[1:]
    ),
    filtered(
        "other than", {"items": PEOPLE, "key": "age", "operator": "!=", "value": 4}, PEOPLE[:1], PEOPLE[1:]
    ),
    filtered("texts in order", {"items": ["a", "c", 3], "operator": "<=", "value": "b"}, ["a"], ["c", 3]),
    filtered("numbers in order", {"items": [1, 2, True], "operator": "<", "value": 2}, [1], [2, True]),
    filtered("at least", {"items": [1, 2], "operator": ">=", "value": 2}, [2], [1]),
    filtered(
        "a part of a text", {"items": ["abc", "x"], "operator": "contains", "value": "b"}, ["abc"], ["x"]
    ),
    filtered(
        "an element of a list", {"items": [[1], [2], 1], "operator": "contains", "value": 1}, [[1]], [[2], 1]
    ),
    filtered("with a key", {"items": PEOPLE, "key": "age", "operator": "exists"}, PEOPLE[:2], PEOPLE[2:]),
    filtered(
        "far below", {"items": NESTED, "key": "by.name", "value": "a"}, NESTED[1:2], [NESTED[0], *NESTED[2:]]
    ),
    filtered(
        "a key with a dot",
        {"items": NESTED, "key": "by.name", "value": "c"},
        NESTED[2:3],
        [*NESTED[:2], NESTED[3]],
    ),
    case("numbers", SORT, {"items": [3, 1.5, 2]}, ("sorted_items", [1.5, 2, 3])),
    case(
        "backwards", SORT, {"items": ["a", "c", "b"], "descending": True}, ("sorted_items", ["c", "b", "a"])
    ),
    case("of all kinds", SORT, {"items": ["a", None, 1, True]}, ("sorted_items", [True, 1, "a", None])),
    case(
        "by a key", SORT, {"items": PEOPLE, "key": "age"}, ("sorted_items", [PEOPLE[1], PEOPLE[0], PEOPLE[2]])
    ),
    case(
        "what has no key comes last both ways",
        SORT,
        {"items": [{}, {"age": 1}, {"age": 2}], "key": "age", "descending": True},
        ("sorted_items", [{"age": 2}, {"age": 1}, {}]),
    ),
    case(
        "equals keep their order",
        SORT,
        {"items": [{"k": 1, "n": "a"}, {"k": 0}, {"k": 1, "n": "b"}], "key": "k", "descending": True},
        ("sorted_items", [{"k": 1, "n": "a"}, {"k": 1, "n": "b"}, {"k": 0}]),
    ),
    part("everything", {}, [0, 1, 2, 3, 4]),
    part("from a position", {"start": 3}, [3, 4]),
    part("the last ones", {"start": -2}, [3, 4]),
    part("up to a position", {"end": 2}, [0, 1]),
    part("beyond the end", {"start": 4, "end": 100}, [4]),
    part("every second", {"step": 2}, [0, 2, 4]),
    part("backwards", {"step": -1}, [4, 3, 2, 1, 0]),
    part("backwards from a position", {"start": 1, "step": -1}, [1, 0]),
    case(
        "every match",
        REPLACE,
        {"text": "a1b22", "pattern": r"\d+", "replacement": "#"},
        ("output", "a#b#"),
        ("count", 2),
    ),
    case(
        "with its groups",
        REPLACE,
        {"text": "x@y", "pattern": r"(\w)@(?P<at>\w)", "replacement": r"\g<at> \1"},
        ("output", "y x"),
        ("count", 1),
    ),
    case(
        "the first ones",
        REPLACE,
        {"text": "aaa", "pattern": "a", "replacement": "b", "limit": 2},
        ("output", "bba"),
        ("count", 2),
    ),
    case("nothing", REPLACE, {"text": "abc", "pattern": "x"}, ("output", "abc"), ("count", 0)),
    case(
        "in any case",
        REPLACE,
        {"text": "aA", "pattern": "a", "case_sensitive": False},
        ("output", ""),
        ("count", 2),
    ),
    shifted("days", {"date": "2026-01-31", "days": 1}, "2026-02-01", "Sunday"),
    shifted("back", {"date": "2026-03-01", "days": -1}, "2026-02-28", "Saturday"),
    shifted("months end where the month does", {"date": "2024-01-31", "months": 1}, "2024-02-29", "Thursday"),
    shifted("months back over a year", {"date": "2026-01-15", "months": -2}, "2025-11-15", "Saturday"),
    shifted("years", {"date": "2024-02-29", "years": 1}, "2025-02-28", "Friday"),
    shifted("hours bring a time", {"date": "2026-01-31", "hours": 25}, "2026-02-01T01:00:00", "Sunday"),
    shifted(
        "a time and a zone stay",
        {"date": "2026-01-31T09:30:00+01:00", "hours": 1.5},
        "2026-01-31T11:00:00+01:00",
        "Saturday",
    ),
    shifted("written another way", {"date": "2026-01-31", "format": "%d.%m.%Y"}, "31.01.2026", "Saturday"),
]

REFUSALS = [
    refusal("no JSON", JSON, {"text": "{'a': 1}"}, BlockError, "line 1, column 2"),
    refusal("nothing", JSON, {"text": ""}, BlockError, "not JSON"),
    refusal("a number that JSON has not", JSON, {"text": "[NaN]"}, BlockError, "NaN"),
    refusal("nested too deep", JSON, {"text": "[" * 100_000}, BlockLimitExceeded),
    refusal("too far to the right", TEXT, {"value": 1, "indent": 11}, BlockInputInvalid, "indent"),
    refusal("an unknown test", FILTER, {"items": [], "operator": "~"}, BlockInputInvalid, "operator"),
    refusal("lists have no order", SORT, {"items": [[1], [2]]}, BlockError, "no order"),
    refusal("no step", SLICE, {"items": [], "step": 0}, BlockInputInvalid, "step"),
    refusal("no expression", REPLACE, {"text": "a", "pattern": "("}, BlockInputInvalid, "well formed"),
    refusal(
        "no such group",
        REPLACE,
        {"text": "a", "pattern": "a", "replacement": r"\1"},
        BlockInputInvalid,
        "replacement",
    ),
    refusal("a long text", REPLACE, {"text": "a" * 1_000_001, "pattern": "a"}, BlockLimitExceeded),
    refusal(
        "a text that becomes too long",
        REPLACE,
        {"text": "a" * 100_000, "pattern": "(a+)", "replacement": r"\1" * 101},
        BlockLimitExceeded,
        "too long",
    ),
    refusal("no date", SHIFT, {"date": "tomorrow"}, BlockInputInvalid, "date"),
    refusal("beyond the calendar", SHIFT, {"date": "2026-01-31", "years": 9000}, BlockError, "calendar"),
    refusal("before the calendar", SHIFT, {"date": "0001-01-01", "months": -1}, BlockError, "calendar"),
    refusal("far beyond the calendar", SHIFT, {"date": "2026-01-31", "days": 1e300}, BlockError, "calendar"),
]


@pytest.mark.parametrize(("name", "data", "emitted"), CASES)
def test_what_a_block_emits(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert call(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
def test_what_a_block_refuses(
    name: str, data: dict[str, Any], error: type[BlockError], match: str | None
) -> None:
    with pytest.raises(error, match=match):
        call(name, data)
