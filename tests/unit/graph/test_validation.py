from __future__ import annotations

from time import process_time
from typing import Any

import pytest

from app.graph.definition import GraphDefinition, Link, Node
from app.graph.problems import NodeErrors
from app.graph.validation import MAX_LINKS, MAX_NODES, validate_graph
from tests.unit.graph.small_blocks import SIGNATURES, graph, link, node


def problems_of(*parts: Node | str | Link) -> NodeErrors:
    return validate_graph(graph(*parts), SIGNATURES)


def lenient_problems_of(*parts: Node | str | Link) -> NodeErrors:
    return validate_graph(graph(*parts), SIGNATURES, is_lenient=True)


def test_a_good_graph_has_no_problems() -> None:
    parts = (
        node("in", "text_input", name="text"),
        node("ask", "open", prompt="{text}"),
        node("typed", "typed", count="3", **{"values_#_a": 1, "items_$_1": "b"}),
        node("out", "output", name="answer"),
        node("note", "note", text="Read me", anything=1),
        "in.result -> ask.text",
        "ask.answer -> typed.items_$_0",
        "ask.answer_#_part -> typed.text",
        "ask.error -> out.value",
        "typed.out -> out.value",
    )
    assert problems_of(*parts) == {}
    assert lenient_problems_of(*parts) == {}


def test_a_block_is_found_by_its_id_or_its_slug() -> None:
    assert problems_of(node("a", "id-of-store"), node("b", "store")) == {}


def test_a_graph_without_nodes_is_refused() -> None:
    assert problems_of() == {"graph": {"nodes": "A graph needs at least one node"}}


def test_a_graph_of_too_many_nodes_is_refused() -> None:
    found = problems_of(*(node(str(number)) for number in range(MAX_NODES + 1)))
    assert found == {"graph": {"nodes": "A graph can have 10000 nodes; this one has 10001"}}


def test_a_graph_of_too_many_links_is_refused() -> None:
    found = problems_of(node("a"), *[link("a.out -> a.input")] * (MAX_LINKS + 1))
    assert found == {"graph": {"links": "A graph can have 50000 links; this one has 50001"}}


def test_two_nodes_of_one_id_are_refused() -> None:
    assert problems_of(node("a"), node("a")) == {"a": {"id": "Two nodes have the id 'a'"}}


def test_a_node_without_an_id_is_refused() -> None:
    assert problems_of(node("a"), node("")) == {"graph": {"nodes": "Node number 2 has no id"}}


def test_two_links_of_one_id_are_refused() -> None:
    found = problems_of(
        node("a"), node("b"), link("a.out -> b.input", id="x"), link("a.out -> b.data", id="x")
    )
    assert found == {"graph": {"links": "Two links have the id 'x'"}}


def test_links_without_ids_and_links_between_the_same_pins_are_fine() -> None:
    assert problems_of(node("a"), node("b"), "a.out -> b.input", "a.out -> b.input") == {}


@pytest.mark.parametrize("is_lenient", [True, False])
def test_an_unknown_block_is_refused_and_its_pins_are_not_judged(is_lenient: bool) -> None:
    found = validate_graph(
        graph(node("a", "nothing", x=1), node("b"), "a.anything -> b.input", "b.out -> a.whatever"),
        SIGNATURES,
        is_lenient=is_lenient,
    )
    assert found["a"] == {"block_id": "There is no block 'nothing'"}


def test_a_link_to_a_missing_node_is_reported_where_it_starts() -> None:
    assert problems_of(node("a"), "a.out -> b.input") == {
        "a": {"out": "A link leads to 'b', which is no node"}
    }


def test_a_link_from_a_missing_node_is_reported_where_it_ends() -> None:
    found = problems_of(node("a"), node("b"), "x.out -> b.input")
    assert found == {"b": {"input": "A link comes from 'x', which is no node"}}


def test_a_link_between_missing_nodes_is_reported_of_the_graph() -> None:
    found = problems_of(node("a"), "x.out -> y.input")
    assert found == {"graph": {"links": "A link leads from 'x' to 'y': neither is a node"}}


def test_a_link_from_an_output_that_is_not_there_is_refused() -> None:
    found = problems_of(node("a"), node("b"), "a.nothing_#_x -> b.input")
    assert found == {"a": {"nothing_#_x": "This block has no output 'nothing'"}}


def test_a_link_to_an_input_that_is_not_there_is_refused() -> None:
    found = problems_of(node("a"), node("b"), "a.out -> b.nothing")
    assert found == {"b": {"nothing": "This block has no input 'nothing'"}}


def test_a_link_without_a_pin_name_is_refused_even_by_open_blocks() -> None:
    found = problems_of(node("a", "open", prompt="x"), node("b", "open", prompt="x"), Link("a", "b", "", ""))
    assert found == {
        "a": {"": "A link has no name for its output here"},
        "b": {"": "A link has no name for its input here"},
    }


def test_links_to_open_blocks_may_have_any_name() -> None:
    assert problems_of(node("a", "any_input"), node("b", "open", prompt="x"), "a.city -> b.town") == {}


def test_a_link_may_start_at_the_error_of_a_block() -> None:
    assert problems_of(node("a"), node("b"), "a.error -> b.input") == {}


def test_an_input_block_has_no_error_to_link_from() -> None:
    found = problems_of(node("a", "input", name="x"), node("b"), "a.error -> b.input")
    assert found == {"a": {"error": "This block has no output 'error'"}}


@pytest.mark.parametrize("check", [problems_of, lenient_problems_of])
def test_impossible_dynamic_names_are_refused_wherever_they_stand(check: Any) -> None:
    found = check(
        node("a"),
        node("b", "typed", **{"items_$_z": "q"}),
        "a.out_$_x -> b.items_$_y",
        "a.out -> b.items_$_99999",
    )
    assert found == {
        "a": {"out_$_x": "'out_$_x': 'x' is no list index"},
        "b": {
            "items_$_y": "'items_$_y': 'y' is no list index",
            "items_$_z": "'items_$_z': 'z' is no list index",
            "items_$_99999": "'items_$_99999': a list index can be 10000 at most",
        },
    }


def test_a_constant_that_the_block_does_not_know_is_refused() -> None:
    found = problems_of(node("a", "typed", nothing=1, **{"other_#_x": 2}))
    assert found == {
        "a": {
            "nothing": "This block has no input 'nothing'",
            "other_#_x": "This block has no input 'other'",
        }
    }


def test_an_open_block_takes_any_constant() -> None:
    assert problems_of(node("a", "open", prompt="x", nothing=1)) == {}


def test_an_import_may_hold_unknown_and_ill_typed_constants() -> None:
    assert lenient_problems_of(node("a", "typed", nothing=1, count="many", **{"ages_#_x": "old"})) == {}


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"count": "abc"}, "'count' takes a whole number; 'abc' is not that"),
        ({"count": 2.5}, "'count' takes a whole number; 2.5 is not that"),
        ({"count": [1]}, "'count' takes a whole number; this list is not that"),
        ({"limit": "x"}, "'limit' takes a whole number; 'x' is not that"),
        ({"text": 42}, "'text' takes a text; 42 is not that"),
        ({"text": {}}, "'text' takes a text; this object is not that"),
        ({"text": 10**400}, "'text' takes a text; this number is not that"),
        ({"flag": "maybe"}, "'flag' takes true or false; 'maybe' is not that"),
        ({"items": "x"}, "'items' takes a list (each: a text); 'x' is not that"),
        ({"numbers": [1, "x"]}, "'numbers' takes a list (each: a whole number); this list is not that"),
        ({"values": [1]}, "'values' takes an object; this list is not that"),
        ({"mode": "medium"}, "'mode' takes one of 'fast', 'slow'; 'medium' is not that"),
        ({"mode": True}, "'mode' takes one of 'fast', 'slow'; true is not that"),
        ({"person": {}}, "'person' takes an object with name, age; this object is not that"),
        ({"ages_#_tom": "old"}, "'ages_#_tom' takes a whole number; 'old' is not that"),
        ({"numbers_$_0": "x"}, "'numbers_$_0' takes a whole number; 'x' is not that"),
        ({"person_@_age": "x"}, "'person_@_age' takes a whole number; 'x' is not that"),
        ({"text": ["x" * 99]}, "'text' takes a text; this list is not that"),
        ({"count": "x" * 99}, f"'count' takes a whole number; '{'x' * 60}…' is not that"),
        ({"api_key": "hunter2"}, "'api_key' takes a whole number; what was given is not that"),
    ],
    ids=repr,
)
def test_a_constant_of_another_type_is_refused(constants: dict[str, Any], message: str) -> None:
    (name,) = constants
    assert problems_of(node("a", "typed", **constants)) == {"a": {name: message}}


@pytest.mark.parametrize(
    "constants",
    [
        {"count": "3"},
        {"count": None},
        {"limit": None},
        {"flag": "true"},
        {"items": '["a"]'},
        {"values": '{"a": 1}'},
        {"mode": "fast"},
        {"person": {"name": "x"}},
        {"person_@_name": "x"},
        {"values_#_a": [1, {}]},
        {"ages_#_tom": "7"},
        {"ages": {"ann": 3}, "ages_#_tom": 7},
    ],
    ids=repr,
)
def test_a_constant_that_can_be_read_as_the_type_is_accepted(constants: dict[str, Any]) -> None:
    assert problems_of(node("a", "typed", **constants)) == {}


def test_constants_that_contradict_each_other_are_refused() -> None:
    found = problems_of(node("a", "typed", **{"values_#_a": 1, "values_$_0": 2}))
    assert found == {"a": {"input_default": "'values' cannot be a list and an object at once"}}


def test_credentials_are_neither_judged_nor_missed() -> None:
    assert problems_of(node("a", "echo", input=1, credentials={"id": "c"})) == {}
    assert problems_of(node("a", "echo", input=1)) == {}


def test_the_default_of_a_secret_input_is_not_quoted() -> None:
    found = problems_of(node("a", "number_input", name="pin", value="hunter2", secret=True))
    assert "hunter2" not in str(found)
    assert "value" in found["a"]


def test_a_required_input_that_nothing_supplies_is_refused() -> None:
    message = "'input' is required: link it or give it a value"
    assert problems_of(node("a", "echo")) == {"a": {"input": message}}
    assert problems_of(node("a", "echo", input=None)) == {"a": {"input": message}}


def test_a_required_input_may_be_linked_or_given_also_in_parts() -> None:
    assert problems_of(node("s"), node("a", "echo"), "s.out -> a.input") == {}
    assert problems_of(node("s"), node("a", "echo"), "s.out -> a.input_#_key") == {}
    assert problems_of(node("a", "echo", **{"input_$_0": 1})) == {}


def test_an_import_may_miss_required_inputs() -> None:
    assert lenient_problems_of(node("a", "echo")) == {}


def test_two_inputs_of_one_name_are_refused_but_not_in_an_import() -> None:
    parts = (node("a", "input", name="x"), node("b", "text_input", name="x"))
    assert problems_of(*parts) == {"b": {"name": "Another input has the name 'x'"}}
    assert lenient_problems_of(*parts) == {}


@pytest.mark.parametrize("constants", [{}, {"name": ""}, {"name": "  "}, {"name": None}, {"name": 5}])
@pytest.mark.parametrize("block", ["input", "output"])
def test_inputs_and_outputs_need_a_name(block: str, constants: dict[str, Any]) -> None:
    for found in (problems_of, lenient_problems_of):
        assert found(node("a", block, **constants))["a"]["name"].endswith("needs a name that is not empty")


def test_an_input_that_passes_everything_on_needs_no_name() -> None:
    assert problems_of(node("a", "any_input"), node("b", "any_input")) == {}


def test_the_name_of_an_output_may_come_over_a_link() -> None:
    assert problems_of(node("a"), node("b", "output"), "a.out -> b.name") == {}


def test_several_outputs_may_share_a_name() -> None:
    assert problems_of(node("a", "output", name="x"), node("b", "output", name="x")) == {}


@pytest.mark.parametrize("name", ["credentials", "openai_api_key_credentials"])
def test_names_of_credentials_are_reserved(name: str) -> None:
    found = problems_of(node("a", "input", name=name))
    assert found == {"a": {"name": f"The name '{name}' is reserved for credentials"}}


def test_no_link_can_touch_a_note() -> None:
    found = problems_of(node("a"), node("n", "note"), "a.out -> n.text", "n.output -> a.input")
    assert found["n"] == {"text": "No link can lead to a note", "output": "No link can start at a note"}


def test_cycles_and_links_to_oneself_are_legal() -> None:
    found = problems_of(
        node("s"),
        node("a"),
        node("b"),
        "s.out -> a.input",
        "a.out -> b.input",
        "b.out -> a.input",
        "b.out -> b.data",
    )
    assert found == {}


@pytest.mark.parametrize("notes", [(), (node("n", "note", text="x"),)])
def test_a_graph_in_which_every_node_waits_for_another_is_refused(notes: tuple[Node, ...]) -> None:
    found = problems_of(node("a"), node("b"), *notes, "a.out -> b.input", "b.out -> a.input")
    assert found == {"graph": {"nodes": "There is no starting node: every node waits for another"}}


def test_an_input_starts_even_when_it_is_linked() -> None:
    found = problems_of(node("a", "input", name="x"), node("b"), "a.result -> b.input", "b.out -> a.value")
    assert found == {}


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"retry": "often"}, "metadata.retry"),
        ({"retry": {"max_attempts": 0}}, "metadata.retry"),
        ({"retry": {"tries": 3}}, "metadata.retry"),
        ({"timeout_seconds": 0}, "metadata.timeout_seconds"),
        ({"delivery": "exactly_once"}, "metadata.delivery"),
    ],
)
def test_settings_of_another_form_are_refused(metadata: dict[str, Any], field: str) -> None:
    assert list(problems_of(node("a", metadata=metadata))["a"]) == [field]


def test_all_ill_formed_settings_are_named_at_once() -> None:
    found = problems_of(node("a", metadata={"retry": 3, "timeout_seconds": "1", "delivery": 1, "title": 5}))
    assert set(found["a"]) == {"metadata.retry", "metadata.timeout_seconds", "metadata.delivery"}


def test_the_largest_graph_is_checked_in_little_time() -> None:
    nodes = tuple(
        Node(f"n{number}", "typed", {"count": "3", "values_#_a": 1, "items": ["a"]})
        for number in range(MAX_NODES)
    )
    links = tuple(
        Link(
            f"n{number % MAX_NODES}",
            f"n{(number * 7) % (MAX_NODES - 1) + 1}",
            "out_#_x",
            f"values_#_k{number}",
        )
        for number in range(MAX_LINKS)
    )
    started = process_time()

    assert validate_graph(GraphDefinition(nodes, links), SIGNATURES) == {}
    assert process_time() - started < 3.0  # it takes half a second; a quadratic check would take minutes
