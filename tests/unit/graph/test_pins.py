from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BlockInputInvalid
from app.graph.pins import (
    MAX_LIST_INDEX,
    MAX_NAME_LENGTH,
    MAX_STEPS,
    PinNameInvalid,
    Step,
    StepKind,
    base_name,
    fold,
    is_dynamic,
    select,
    split_pin,
)

INDEX, KEY, ATTRIBUTE = StepKind.INDEX, StepKind.KEY, StepKind.ATTRIBUTE


@pytest.mark.parametrize(
    ("name", "base", "steps"),
    [
        ("plain", "plain", ()),
        ("", "", ()),
        ("with_under_scores", "with_under_scores", ()),
        ("input_$_0", "input", (Step(INDEX, 0),)),
        ("input_$_007", "input", (Step(INDEX, 7),)),
        (f"input_$_{MAX_LIST_INDEX}", "input", (Step(INDEX, MAX_LIST_INDEX),)),
        ("values_#_QUERY", "values", (Step(KEY, "QUERY"),)),
        ("values_#_two words", "values", (Step(KEY, "two words"),)),
        ("values_#_0", "values", (Step(KEY, "0"),)),
        ("body_@_title", "body", (Step(ATTRIBUTE, "title"),)),
        ("a_#_b_$_0", "a", (Step(KEY, "b"), Step(INDEX, 0))),
        ("a_$_0_#_b_@_c", "a", (Step(INDEX, 0), Step(KEY, "b"), Step(ATTRIBUTE, "c"))),
        ("a_@_b_#_c", "a", (Step(ATTRIBUTE, "b"), Step(KEY, "c"))),
    ],
)
def test_a_name_splits_at_its_delimiters_from_left_to_right(
    name: str, base: str, steps: tuple[Step, ...]
) -> None:
    assert split_pin(name) == (base, steps)
    assert base_name(name) == base
    assert is_dynamic(name) == bool(steps)


@pytest.mark.parametrize("name", ["_#_key", "_$_0", "values_#_", "input_$_", "a_#__$_0", "a_#_b_@_", "_@_"])
def test_a_name_with_an_empty_part_is_a_plain_name(name: str) -> None:
    assert split_pin(name) == (name, ())
    assert fold({name: 1}) == {name: 1}


@pytest.mark.parametrize(
    "name",
    [
        "input_$_x",
        "input_$_-1",
        "input_$_1.0",
        "input_$_ 1",
        "input_$_٣",
        "a_#_b_$_c",
        "input_$_0_1",
        "a_$_#_b",
    ],
)
def test_a_list_index_that_is_no_whole_number_is_refused(name: str) -> None:
    with pytest.raises(PinNameInvalid, match="no list index"):
        split_pin(name)


@pytest.mark.parametrize("digits", [str(MAX_LIST_INDEX + 1), "999999999", "1" + "0" * 900])
def test_a_huge_list_index_is_refused_before_memory_is_asked_for(digits: str) -> None:
    with pytest.raises(PinNameInvalid, match="10000 at most"):
        fold({f"input_$_{digits}": 1})


def test_a_name_that_is_too_long_is_refused() -> None:
    assert split_pin("a" * MAX_NAME_LENGTH) == ("a" * MAX_NAME_LENGTH, ())
    with pytest.raises(PinNameInvalid, match="longer than"):
        split_pin("a" * (MAX_NAME_LENGTH + 1))


def test_a_name_that_goes_too_deep_is_refused() -> None:
    assert len(split_pin("a" + "_#_k" * MAX_STEPS)[1]) == MAX_STEPS
    with pytest.raises(PinNameInvalid, match="steps deep"):
        split_pin("a" + "_#_k" * (MAX_STEPS + 1))


def test_a_refused_name_is_an_invalid_input_of_the_block_and_a_value_error() -> None:
    assert issubclass(PinNameInvalid, BlockInputInvalid)
    assert issubclass(PinNameInvalid, ValueError)


@pytest.mark.parametrize(
    ("data", "field", "folded"),
    [
        ({"input_$_0": "a", "input_$_1": "b"}, "input", ["a", "b"]),
        ({"input_$_1": "b", "input_$_0": "a"}, "input", ["a", "b"]),
        ({"input_$_2": "c"}, "input", [None, None, "c"]),
        ({"input": ["x", "y"], "input_$_1": "b"}, "input", ["x", "b"]),
        ({"input": ["x"], "input_$_2": "c"}, "input", ["x", None, "c"]),
        ({"input_$_0": None}, "input", [None]),
        ({"values_#_a": 1, "values_#_b": 2}, "values", {"a": 1, "b": 2}),
        ({"values": {"a": 0, "z": 9}, "values_#_a": 1}, "values", {"a": 1, "z": 9}),
        ({"values_#_a": 1, "values": {"a": 0, "z": 9}}, "values", {"a": 1, "z": 9}),
        ({"values": None, "values_#_a": 1}, "values", {"a": 1}),
        ({"values": "", "values_#_a": 1}, "values", {"a": 1}),
        ({"values": [], "values_#_a": 1}, "values", {"a": 1}),
        ({"input": {}, "input_$_0": 1}, "input", [1]),
        ({"body_@_title": "t", "body_@_text": "x"}, "body", {"title": "t", "text": "x"}),
        ({"a_#_b_$_0": 1, "a_#_b_$_1": 2, "a_#_c": 3}, "a", {"b": [1, 2], "c": 3}),
        ({"a_$_0_#_x": 1, "a_$_0_#_y": 2, "a_$_1_#_x": 3}, "a", [{"x": 1, "y": 2}, {"x": 3}]),
        ({"a": {"b": [0, 0]}, "a_#_b_$_1": 1}, "a", {"b": [0, 1]}),
        ({"a_#_b": {"c": 1}, "a_#_b_#_d": 2}, "a", {"b": {"c": 1, "d": 2}}),
        ({"a_#_b_#_d": 2, "a_#_b": {"c": 1}}, "a", {"b": {"c": 1, "d": 2}}),
        ({"a_#_b_@_c": 1}, "a", {"b": {"c": 1}}),
    ],
)
def test_dynamic_names_are_folded_into_their_field(data: dict[str, Any], field: str, folded: Any) -> None:
    before = copy.deepcopy(data)

    result = fold(data)

    assert result[field] == folded
    assert {name: value for name, value in result.items() if name != field} == {
        name: value for name, value in data.items() if name != field
    }
    assert data == before


@pytest.mark.parametrize(
    "data",
    [
        {"values": "text", "values_#_a": 1},
        {"values": [1], "values_#_a": 1},
        {"input": {"a": 1}, "input_$_0": 1},
        {"input": 0, "input_$_0": 1},
        {"a_#_b": 1, "a_#_b_$_0": 2},
        {"a_$_0": 1, "a_#_b": 2},
    ],
)
def test_a_name_that_would_overwrite_a_value_of_another_kind_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(PinNameInvalid):
        fold(data)


def test_many_names_cannot_together_ask_for_a_huge_amount_of_empty_places() -> None:
    with pytest.raises(PinNameInvalid, match="too many places"):
        fold({f"a_#_{number}_$_{MAX_LIST_INDEX}": 1 for number in range(11)})


def test_a_long_list_without_gaps_is_no_problem() -> None:
    names = {f"input_$_{index}": index for index in reversed(range(MAX_LIST_INDEX + 1))}
    assert fold(names)["input"] == list(range(MAX_LIST_INDEX + 1))


@pytest.mark.parametrize(
    ("value", "source_name", "emitted_pin", "expected"),
    [
        (1, "out", "out", (True, 1)),
        (None, "out", "out", (True, None)),
        (1, "out", "other", (False, None)),
        ({"a": 1}, "out_#_a", "out", (True, 1)),
        ({"a": 0}, "out_#_a", "out", (True, 0)),
        ({"a": ""}, "out_#_a", "out", (True, "")),
        ({"a": None}, "out_#_a", "out", (False, None)),
        ({"b": 1}, "out_#_a", "out", (False, None)),
        ([1, 2], "out_$_1", "out", (True, 2)),
        ([1, 2], "out_$_2", "out", (False, None)),
        ({"t": 1}, "out_@_t", "out", (True, 1)),
        ({"a": [{"b": 5}]}, "out_#_a_$_0_#_b", "out", (True, 5)),
        ({"a": [{"b": 5}]}, "out_#_a_$_1_#_b", "out", (False, None)),
        ("text", "out_#_a", "out", (False, None)),
        ("text", "out_$_0", "out", (False, None)),
        ({"0": 1}, "out_$_0", "out", (False, None)),
        ([1], "out_#_0", "out", (False, None)),
        (None, "out_#_a", "out", (False, None)),
        ({"a": 1}, "out_#_a", "out_#_b", (False, None)),
        (1, "out_#_a", "out_#_a", (True, 1)),
        ({"a": 1}, "out", "out_#_a", (False, None)),
        ("x", "out_@___class__", "out", (False, None)),
    ],
)
def test_a_link_carries_what_its_source_name_selects(
    value: Any, source_name: str, emitted_pin: str, expected: tuple[bool, Any]
) -> None:
    assert select(value, source_name, emitted_pin) == expected


names = st.text(st.characters(codec="utf-8", exclude_characters="_$#@"), min_size=1, max_size=6)
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
structures = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(names, inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


def pieces(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, list) and value:
        parts = [pieces(item, f"{name}_$_{index}") for index, item in enumerate(value)]
    elif isinstance(value, dict) and value:
        parts = [pieces(item, f"{name}_#_{key}") for key, item in value.items()]
    else:
        return {name: value}
    return {path: leaf for part in parts for path, leaf in part.items()}


@given(names, structures, st.randoms(use_true_random=False))
def test_folding_the_pieces_of_a_structure_rebuilds_it(base: str, structure: Any, shuffled: Any) -> None:
    flat = list(pieces(structure, base).items())
    shuffled.shuffle(flat)
    assert fold(dict(flat))[base] == structure


@given(names, structures)
def test_every_piece_of_a_structure_can_be_selected(base: str, structure: Any) -> None:
    for name, leaf in pieces(structure, base).items():
        assert select(structure, name, base) == (leaf is not None or name == base, leaf)


@given(st.dictionaries(st.text(max_size=12), leaves, max_size=5))
def test_folding_any_names_gives_every_value_back_or_a_clear_refusal(data: dict[str, Any]) -> None:
    try:
        folded = fold(data)
    except PinNameInvalid:
        return
    assert folded.keys() >= data.keys()
