from __future__ import annotations

from typing import Any

import pytest

from app.graph.interface import (
    check_run_inputs,
    input_schema,
    list_run_inputs,
    output_schema,
    recompute_static,
)
from tests.unit.graph.small_blocks import SIGNATURES, graph, link, node

WORDS = {"secret": False, "advanced": False}


def property_of(block: str, **constants: Any) -> dict[str, Any]:
    schema = input_schema(graph(node("a", block, name="x", **constants)), SIGNATURES)
    shown = schema["properties"]["x"]
    assert isinstance(shown, dict)
    return shown


def is_required(block: str, **constants: Any) -> bool:
    schema = input_schema(graph(node("a", block, name="x", **constants)), SIGNATURES)
    return bool(schema["required"] == ["x"])


@pytest.mark.parametrize(
    ("block", "constants", "expected"),
    [
        ("input", {}, {"title": "x"}),
        ("text_input", {}, {"title": "x", "type": "string"}),
        ("number_input", {}, {"title": "x", "type": "integer"}),
        ("number_input", {"value": "3"}, {"title": "x", "type": "integer", "default": 3}),
        ("toggle_input", {}, {"title": "x", "type": "boolean"}),
        ("toggle_input", {"value": False}, {"title": "x", "type": "boolean", "default": False}),
        ("text_input", {"title": "City"}, {"title": "City", "type": "string"}),
        ("text_input", {"title": ""}, {"title": "x", "type": "string"}),
        ("text_input", {"description": "Where"}, {"title": "x", "type": "string", "description": "Where"}),
        ("text_input", {"advanced": True}, {"title": "x", "type": "string"}),
        (
            "text_input",
            {"advanced": True, "value": "Rome"},
            {"title": "x", "type": "string", "default": "Rome", "advanced": True},
        ),
        (
            "text_input",
            {"secret": True, "value": "hunter2"},
            {"title": "x", "type": "string", "secret": True},
        ),
        (
            "choice_input",
            {"options": ["a", "b", "a", 3]},
            {"title": "x", "type": "string", "enum": ["a", "b", "3"]},
        ),
        ("choice_input", {"placeholder_values": ["a"]}, {"title": "x", "type": "string", "enum": ["a"]}),
        ("choice_input", {"options_$_0": "a"}, {"title": "x", "type": "string", "enum": ["a"]}),
        ("choice_input", {"options": []}, {"title": "x", "type": "string"}),
        ("text_input", {"placeholder_values": ["a"]}, {"title": "x", "type": "string"}),
        (
            "table_input",
            {"column_headers": ["City"]},
            {
                "title": "x",
                "type": "array",
                "items": {"type": "object", "properties": {"City": {"title": "City"}}},
            },
        ),
    ],
    ids=repr,
)
def test_an_input_node_is_a_property_of_the_input_schema(
    block: str, constants: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert property_of(block, **constants) == WORDS | expected


def test_a_model_is_shown_by_its_fields() -> None:
    shown = property_of("person_input")
    assert shown["type"] == "object"
    assert set(shown["properties"]) == {"name", "age"}
    assert "description" not in shown


@pytest.mark.parametrize(
    ("block", "constants", "expected"),
    [
        ("input", {}, True),
        ("input", {"value": None}, True),
        ("input", {"value": 0}, False),
        ("text_input", {"value": ""}, False),
        ("toggle_input", {}, False),
        ("input", {"value_#_a": 1}, False),
        ("text_input", {"secret": True, "value": "hunter2"}, False),
    ],
    ids=repr,
)
def test_an_input_without_a_value_of_its_own_is_required(
    block: str, constants: dict[str, Any], expected: bool
) -> None:
    assert is_required(block, **constants) is expected


def test_an_input_that_a_link_feeds_is_not_required() -> None:
    fed = graph(node("s"), node("a", "input", name="x"), "s.out -> a.value")
    assert input_schema(fed, SIGNATURES)["required"] == []


def test_the_input_schema_admits_declared_names_only() -> None:
    schema = input_schema(graph(node("a", "input", name="x"), node("b"), node("n", "note")), SIGNATURES)
    assert schema == {
        "type": "object",
        "properties": {"x": WORDS | {"title": "x"}},
        "required": ["x"],
        "additionalProperties": False,
    }


def test_a_pass_through_input_admits_every_name_and_shows_those_that_links_ask_for() -> None:
    schema = input_schema(
        graph(
            node("a", "any_input"),
            node("b", "open", prompt="x"),
            "a.text -> b.text",
            "a.who_#_name -> b.name",
        ),
        SIGNATURES,
    )
    assert schema["additionalProperties"] is True
    assert schema["required"] == []
    assert list(schema["properties"]) == ["text", "who"]


def test_outputs_of_one_name_are_one_property_of_the_output_schema() -> None:
    schema = output_schema(
        graph(
            node("a", "output", name="x", title="Answer"),
            node("b", "output", name="x"),
            node("c", "output", name="y", value="fixed"),
        ),
        SIGNATURES,
    )
    assert schema == {
        "type": "object",
        "properties": {
            "x": WORDS | {"title": "Answer"},
            "y": WORDS | {"title": "y", "default": "fixed"},
        },
        "required": ["x"],
    }


def test_inputs_are_listed_in_the_order_of_the_graph() -> None:
    ports = list_run_inputs(graph(node("b", "input", name="y"), node("a", "input", name="x")), SIGNATURES)
    assert [(port.node_id, port.name) for port in ports] == [("b", "y"), ("a", "x")]


def test_links_that_start_at_a_static_block_become_static_and_static_ones_stay_so() -> None:
    before = graph(
        node("in", "input", name="x"),
        node("a", "echo"),
        node("b", "echo"),
        node("lost", "nothing"),
        link("in.result -> a.input", id="1"),
        link("a.out -> b.input", id="2"),
        link("a.error -> b.input", id="3", is_static=True),
        link("lost.out -> b.input", id="4"),
    )

    after = recompute_static(before, SIGNATURES)

    assert [(each.id, each.is_static) for each in after.links] == [
        ("1", True),
        ("2", False),
        ("3", True),
        ("4", False),
    ]
    assert after.nodes == before.nodes
    assert recompute_static(after, SIGNATURES) == after


RUNNABLE = graph(
    node("t", "text_input", name="text"),
    node("n", "number_input", name="number", value=3),
    node("c", "choice_input", name="choice", options=["a", "b"], value="a"),
    node("p", "person_input", name="person", value={"name": "x"}),
    node("s", "number_input", name="pin", value=1, secret=True),
)


@pytest.mark.parametrize(
    "inputs",
    [
        {"text": "x"},
        {"text": "", "number": 5, "choice": "b"},
        {"text": "x", "number": "5"},
        {"text": "x", "number": None},
        {"text": "x", "person": {"name": "y", "age": "7"}},
    ],
    ids=repr,
)
def test_run_inputs_that_fit_are_accepted(inputs: dict[str, Any]) -> None:
    assert check_run_inputs(RUNNABLE, SIGNATURES, inputs) == {}


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ({}, {"t": {"text": "The input 'text' is required"}}),
        ({"text": None}, {"t": {"text": "The input 'text' is required"}}),
        ({"text": 42}, {"t": {"text": "'text' takes a text; 42 is not that"}}),
        (
            {"text": "x", "number": "many"},
            {"n": {"number": "'number' takes a whole number; 'many' is not that"}},
        ),
        ({"text": "x", "choice": "c"}, {"c": {"choice": "'choice' is none of the options of this input"}}),
        (
            {"text": "x", "person": {}},
            {"p": {"person": "'person' takes an object with name, age; this object is not that"}},
        ),
        (
            {"text": "x", "pin": "hunter2"},
            {"s": {"pin": "'pin' takes a whole number; what was given is not that"}},
        ),
        (
            {"text": "x", "typo": 1},
            {
                "graph": {
                    "typo": "This graph has no input 'typo'; it takes 'text', 'number', 'choice', 'person', 'pin'"
                }
            },
        ),
    ],
    ids=repr,
)
def test_run_inputs_that_do_not_fit_are_refused_by_name(
    inputs: dict[str, Any], found: dict[str, dict[str, str]]
) -> None:
    assert check_run_inputs(RUNNABLE, SIGNATURES, inputs) == found


def test_a_graph_without_inputs_says_so() -> None:
    found = check_run_inputs(graph(node("a")), SIGNATURES, {"x": 1})
    assert found == {"graph": {"x": "This graph has no input 'x'; it takes none"}}


def test_a_caller_cannot_set_the_pin_of_another_node() -> None:
    found = check_run_inputs(graph(node("a", "store", input=1)), SIGNATURES, {"input": 2, "a": {"input": 2}})
    assert set(found["graph"]) == {"input", "a"}


def test_a_pass_through_input_takes_every_name_and_requires_none() -> None:
    passing = graph(node("a", "any_input"), node("b", "open", prompt="x"), "a.text -> b.text")
    assert check_run_inputs(passing, SIGNATURES, {"anything": 1}) == {}
    assert check_run_inputs(passing, SIGNATURES, {}) == {}


def test_declared_inputs_beside_a_pass_through_input_are_still_checked() -> None:
    mixed = graph(node("a", "any_input"), node("n", "number_input", name="number"))
    assert set(check_run_inputs(mixed, SIGNATURES, {"anything": 1, "number": "x"})) == {"n"}
    assert set(check_run_inputs(mixed, SIGNATURES, {})) == {"n"}


def test_two_inputs_of_one_name_are_both_given_the_value() -> None:
    doubled = graph(node("a", "text_input", name="x"), node("b", "number_input", name="x"))
    assert set(check_run_inputs(doubled, SIGNATURES, {"x": "5"})) == set()
    assert set(check_run_inputs(doubled, SIGNATURES, {"x": "many"})) == {"b"}
    assert input_schema(doubled, SIGNATURES)["required"] == ["x"]


class TestATrigger:
    def test_the_payload_is_a_run_input_that_is_required(self) -> None:
        schema = input_schema(graph(node("a", "trigger")), SIGNATURES)
        assert schema["required"] == ["payload"]
        assert schema["properties"]["payload"]["type"] == "object"
        assert schema["additionalProperties"] is False

    @pytest.mark.parametrize(
        ("constants", "is_needed"), [({"payload": {}}, True), ({"payload": {"a": 1}}, False)]
    )
    def test_a_payload_in_the_graph_will_do_but_an_empty_one_is_none(
        self, constants: dict[str, Any], is_needed: bool
    ) -> None:
        triggered = graph(node("a", "trigger", **constants))
        assert bool(check_run_inputs(triggered, SIGNATURES, {})) is is_needed

    def test_without_a_payload_the_start_is_refused_and_names_the_node(self) -> None:
        assert check_run_inputs(graph(node("a", "trigger")), SIGNATURES, {}) == {
            "a": {"payload": "The input 'payload' is required"}
        }

    @pytest.mark.parametrize(
        ("payload", "fits"), [({}, True), ({"a": [1]}, True), ([1], False), ("x", False)]
    )
    def test_a_payload_is_an_object(self, payload: Any, fits: bool) -> None:
        problems = check_run_inputs(graph(node("a", "trigger")), SIGNATURES, {"payload": payload})
        assert (not problems) is fits

    def test_two_of_them_are_given_the_same(self) -> None:
        twice = graph(node("a", "trigger"), node("b", "trigger"), node("c", "input", name="x"))
        assert not check_run_inputs(twice, SIGNATURES, {"payload": {}, "x": 1})
        assert set(input_schema(twice, SIGNATURES)["properties"]) == {"payload", "x"}
