from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Any

import pytest
from pydantic import Field

from app.blocks.base import BlockInput, BlockOutput, Emitted, PureBlock
from app.blocks.calling import check_output, prepare, run_pure
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded, BlockOutputInvalid
from app.json_values import MAX_DEPTH, identity_of, to_json


class Colour(StrEnum):
    RED = "red"


class Probe(PureBlock):
    """Does what a test needs."""

    id = "11111111-1111-4111-8111-111111111111"

    class Input(BlockInput):
        number: int
        texts: list[str] = Field(default=[])
        colour: Colour = Colour.RED
        things: dict[str, Any] = Field(default={})

    class Output(BlockOutput):
        text: str
        number: float
        day: date
        anything: Any

    def __init__(self, *emitted: Emitted, failure: Exception | None = None) -> None:
        self._emitted = emitted
        self._failure = failure

    def run(self, given: Input) -> Iterator[Emitted]:
        yield from self._emitted
        if self._failure is not None:
            raise self._failure


class Open(Probe):
    """Takes and gives anything."""

    takes_any_input = True
    gives_any_output = True


def outputs(*emitted: Emitted, failure: Exception | None = None) -> list[Emitted]:
    return list(run_pure(Probe(*emitted, failure=failure), Probe.Input(number=1)))


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


class TestPrepare:
    def test_constants_links_and_dynamic_pins_are_bound_and_coerced(self) -> None:
        given = prepare(
            Probe(),
            {"number": "42.9", "texts_$_1": 7, "things_#_a": 1},
            {"number": 1, "texts": ["x"], "unknown": 3},
        )

        assert given.model_dump() == {"number": 42, "texts": ["x", "7"], "colour": "red", "things": {"a": 1}}

    def test_a_mask_wins_over_links_and_constants(self) -> None:
        given = prepare(Probe(), {"number": 2}, {"number": 1}, mask={"number": 3})

        assert given.model_dump()["number"] == 3

    def test_a_missing_pin_is_named(self) -> None:
        with pytest.raises(BlockInputInvalid, match="`number`: Field required"):
            prepare(Probe(), {}, {})

    def test_the_message_never_holds_the_value(self) -> None:
        with pytest.raises(BlockInputInvalid) as refused:
            prepare(Probe(), {"number": 1, "colour": "hunter2"}, {})

        assert "`colour`" in refused.value.message
        assert "hunter2" not in refused.value.message
        assert refused.value.__cause__ is None

    def test_a_half_of_a_surrogate_pair_inside_any_value_is_taken(self) -> None:
        assert prepare(Probe(), {"number": 1, "things": {"a": "\ud800"}}, {}).model_dump()["things"]

    def test_an_impossible_dynamic_pin_is_refused(self) -> None:
        with pytest.raises(BlockInputInvalid):
            prepare(Probe(), {"number": 1, "texts_$_x": 7}, {})


class TestToJson:
    @pytest.mark.parametrize(
        ("value", "plain"),
        [
            (math.inf, "Infinity"),
            (-math.inf, "-Infinity"),
            (math.nan, "NaN"),
            ({"a": [math.inf, 1.5]}, {"a": ["Infinity", 1.5]}),
            ((1, 2), [1, 2]),
            ({1: "a", False: "b", None: "c", 2.5: "d"}, {"1": "a", "false": "b", "null": "c", "2.5": "d"}),
            (date(2026, 1, 31), "2026-01-31"),
            (Colour.RED, "red"),
            ({Colour.RED: 1}, {"red": 1}),
            (Probe.Input(number=1), {"number": 1, "texts": [], "colour": "red", "things": {}}),
            (b"abc", "abc"),
            (10**30, 10**30),
            ("a\x00b", "a\x00b"),
            ("\ud83d\ude00", "\U0001f600"),
            ("a\ud800b", "a\ufffdb"),
            ({"\udc00": ["\udc00"]}, {"\ufffd": ["\ufffd"]}),
            ("é", "é"),
        ],
    )
    def test_a_value_becomes_plain(self, value: Any, plain: Any) -> None:
        assert to_json(value) == plain

    def test_what_comes_out_can_be_stored_and_read_back(self) -> None:
        value = to_json({"nul": "\x00", "half": "\ud800", "number": math.nan})

        stored = json.dumps(value, ensure_ascii=True, allow_nan=False)

        assert "\\u0000" in stored
        assert json.loads(stored) == value
        assert stored.encode()

    def test_a_container_is_a_new_one(self) -> None:
        inner = [1]

        plain = to_json({"a": inner})
        inner.append(2)

        assert plain == {"a": [1]}

    def test_a_value_that_is_nested_too_deep_is_refused(self) -> None:
        assert to_json(nested(MAX_DEPTH))
        with pytest.raises(BlockLimitExceeded):
            to_json(nested(MAX_DEPTH + 1))
        with pytest.raises(BlockLimitExceeded):
            to_json(nested(5_000))

    @pytest.mark.parametrize("value", [object(), b"\xff", {object(): 1}])
    def test_a_value_without_a_json_form_is_refused(self, value: Any) -> None:
        with pytest.raises(BlockOutputInvalid):
            to_json(value)


class TestRunPure:
    def test_outputs_come_in_order_and_as_json(self) -> None:
        assert outputs(("text", "a"), ("anything", (1,)), ("text", "b"), ("day", date(2026, 1, 2))) == [
            ("text", "a"),
            ("anything", [1]),
            ("text", "b"),
            ("day", "2026-01-02"),
        ]

    def test_infinity_fits_a_number(self) -> None:
        assert outputs(("number", math.inf)) == [("number", "Infinity")]

    def test_an_undeclared_pin_is_refused(self) -> None:
        with pytest.raises(BlockOutputInvalid, match="`other`"):
            outputs(("other", 1))

    def test_an_undeclared_pin_is_fine_where_any_is(self) -> None:
        assert list(run_pure(Open(("other", 1)), Probe.Input(number=1))) == [("other", 1)]

    @pytest.mark.parametrize(
        ("pin", "value"), [("text", 1), ("text", None), ("number", "x"), ("day", "soon")]
    )
    def test_a_value_of_another_type_is_refused(self, pin: str, value: Any) -> None:
        with pytest.raises(BlockOutputInvalid, match=f"`{pin}`"):
            outputs((pin, value))

    def test_what_was_emitted_before_a_failure_stays(self) -> None:
        running = run_pure(Probe(("text", "a"), failure=ValueError()), Probe.Input(number=1))

        assert next(running) == ("text", "a")
        with pytest.raises(BlockError):
            next(running)

    def test_emitting_an_error_is_failing(self) -> None:
        with pytest.raises(BlockError, match=r"^no luck$"):
            outputs(("error", "no luck"))
        with pytest.raises(BlockError, match="no luck"):
            check_output(Open(), "error", {"message": "no luck"})

    @pytest.mark.parametrize(
        "failure",
        [
            ValueError("secret"),
            TypeError("secret"),
            KeyError("secret"),
            IndexError("secret"),
            ZeroDivisionError("secret"),
            OverflowError("secret"),
            AttributeError("secret"),
            UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret"),
        ],
    )
    def test_a_failure_nobody_thought_of_is_a_block_error_without_values(self, failure: Exception) -> None:
        with pytest.raises(BlockError) as failed:
            outputs(failure=failure)

        assert type(failed.value) is BlockError
        assert "secret" not in failed.value.message
        assert type(failure).__name__ in failed.value.message

    @pytest.mark.parametrize("failure", [RecursionError(), MemoryError()])
    def test_running_out_of_something_is_a_limit(self, failure: Exception) -> None:
        with pytest.raises(BlockLimitExceeded):
            outputs(failure=failure)

    def test_a_block_error_keeps_its_kind(self) -> None:
        with pytest.raises(BlockInputInvalid, match="mine"):
            outputs(failure=BlockInputInvalid("mine"))

    def test_a_bug_of_the_program_is_not_hidden(self) -> None:
        with pytest.raises(AssertionError):
            outputs(failure=AssertionError())


@pytest.mark.parametrize(
    ("one", "other", "are_equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}, True),
        ([1, 2], [2, 1], False),
        ([], {}, False),
        (None, False, False),
        ({"a": True}, {"a": 1}, False),
        ("1", 1, False),
    ],
)
def test_values_are_the_same_when_they_are_equal_as_json(one: Any, other: Any, are_equal: bool) -> None:
    assert (identity_of(one) == identity_of(other)) is are_equal
