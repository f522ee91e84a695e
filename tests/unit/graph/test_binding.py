from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.graph.binding import bind
from app.graph.pins import PinNameInvalid
from tests.unit.graph.small_blocks import SIGNATURES

TYPED = SIGNATURES["typed"]
OPEN = SIGNATURES["open"]
ECHO = SIGNATURES["echo"]


@pytest.mark.parametrize(
    ("data", "constants", "bound"),
    [
        ({}, {}, {}),
        ({"count": 1}, {}, {"count": 1}),
        ({}, {"count": 1}, {"count": 1}),
        ({"count": 2}, {"count": 1, "text": "x"}, {"count": 2, "text": "x"}),
        ({"count": "2", "items": "x"}, {}, {"count": 2, "items": ["x"]}),
        ({"items_$_0": "a", "items_$_1": 2}, {}, {"items": ["a", "2"]}),
        ({"items_$_1": "b"}, {"items": ["x", "y"]}, {"items": ["x", "b"]}),
        ({"items_$_1": "b"}, {}, {"items": ["null", "b"]}),
        ({"values_#_b": 2}, {"values_#_a": 1}, {"values": {"a": 1, "b": 2}}),
        ({"values_#_a": 2}, {"values_#_a": 1}, {"values": {"a": 2}}),
        ({"ages_#_tom": "7"}, {"ages": {"ann": 3}}, {"ages": {"ann": 3, "tom": 7}}),
        ({"person_@_name": "x"}, {}, {"person": {"name": "x"}}),
        ({"values_#_a_$_0": 1}, {}, {"values": {"a": [1]}}),
        ({"unknown": 1, "unknown_#_a": 2}, {"also": 3}, {}),
    ],
    ids=repr,
)
def test_values_and_constants_become_the_inputs_of_a_call(
    data: dict[str, Any], constants: dict[str, Any], bound: dict[str, Any]
) -> None:
    before = copy.deepcopy((data, constants))

    assert bind(data, constants, TYPED) == bound
    assert (data, constants) == before


def test_a_null_gives_way_to_the_default_of_a_field_that_cannot_be_null() -> None:
    assert bind({"count": None, "limit": None}, {}, TYPED) == {"limit": None}


def test_a_null_stays_in_a_required_field_for_the_block_to_refuse() -> None:
    assert bind({"prompt": None}, {}, OPEN) == {"prompt": None}


def test_an_arriving_null_hides_the_constant() -> None:
    assert bind({"count": None}, {"count": 5}, TYPED) == {}


def test_an_open_block_gets_undeclared_values_folded_and_as_they_are() -> None:
    bound = bind({"city": "Rome", "person_#_name": "x"}, {"prompt": 5}, OPEN)
    assert bound == {"prompt": "5", "city": "Rome", "person": {"name": "x"}}


@pytest.mark.parametrize(
    ("mask", "bound"),
    [
        ({"count": "9"}, {"count": 9, "values": {"a": 1, "b": 2}}),
        ({"values": {"z": 0}}, {"count": 1, "values": {"z": 0}}),
        ({"values_#_a": 7}, {"count": 1, "values": {"a": 7, "b": 2}}),
        ({}, {"count": 1, "values": {"a": 1, "b": 2}}),
    ],
    ids=repr,
)
def test_a_mask_wins_over_everything(mask: dict[str, Any], bound: dict[str, Any]) -> None:
    assert bind({"count": 1, "values_#_b": 2}, {"values_#_a": 1}, TYPED, mask=mask) == bound


def test_an_impossible_name_is_refused() -> None:
    with pytest.raises(PinNameInvalid):
        bind({"items_$_x": 1}, {}, TYPED)


names = st.sampled_from([*TYPED.inputs, "unknown", "values_#_a", "ages_#_b", "items_$_2"])
values = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.integers(), max_size=2)


@given(st.dictionaries(names, values, max_size=5), st.dictionaries(names, values, max_size=5))
def test_only_declared_fields_reach_a_closed_block(data: dict[str, Any], constants: dict[str, Any]) -> None:
    try:
        bound = bind(data, constants, TYPED)
    except PinNameInvalid:
        return
    assert bound.keys() <= TYPED.inputs.keys()


@given(st.dictionaries(names, values, max_size=5))
def test_binding_what_was_bound_changes_nothing(data: dict[str, Any]) -> None:
    try:
        bound = bind(data, {}, TYPED)
    except PinNameInvalid:
        return
    assert bind(bound, {}, TYPED) == bound
