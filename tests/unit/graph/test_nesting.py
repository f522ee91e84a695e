from __future__ import annotations

import uuid
from typing import Any

import pytest

from app.graph.nesting import (
    MAX_NESTED,
    GraphRef,
    NestedGraph,
    bind_run_inputs,
    check_depth,
    check_nesting,
    list_below,
    list_refs,
    read_ref,
)
from app.graph.pins import PinNameInvalid
from tests.unit.graph.small_blocks import SIGNATURES, graph, node

IDS = [uuid.UUID(int=number) for number in range(1, MAX_NESTED + 3)]
ADDING: tuple[dict[str, Any], dict[str, Any]] = (
    {"properties": {"x": {}, "spare": {}}, "required": ["x"]},
    {"properties": {"y": {}}},
)


def nested(
    number: int,
    *nests: GraphRef,
    version: int = 1,
    schemas: tuple[dict[str, Any], dict[str, Any]] = ADDING,
    is_deleted: bool = False,
) -> dict[GraphRef, NestedGraph]:
    """Return what is found of a graph whose only version is active."""
    found = NestedGraph(IDS[number], version, "adding", "", *schemas, nests, is_deleted)
    return {GraphRef(IDS[number]): found, GraphRef(IDS[number], version): found}


def agent(number: int, name: str = "agent", **constants: Any) -> Any:
    return node(name, "nested", graph_id=str(IDS[number]), **constants)


def test_what_a_node_names_is_read_from_its_constants() -> None:
    text = str(IDS[0])
    assert read_ref({"graph_id": text.upper()}) == GraphRef(IDS[0])
    assert read_ref({"graph_id": text, "graph_version": 2}) == GraphRef(IDS[0], 2)
    assert read_ref({"graph_id": text, "graph_version": "2"}) == GraphRef(IDS[0], 2)
    assert read_ref({"graph_id": text, "graph_version": None}) == GraphRef(IDS[0])


@pytest.mark.parametrize("graph_id", [None, "", "nothing", 5, ["a"]])
def test_what_is_no_id_names_nothing(graph_id: Any) -> None:
    assert read_ref({"graph_id": graph_id}) is None


@pytest.mark.parametrize("version", [0, -1, 2**31, {}])
def test_what_is_no_version_names_nothing(version: Any) -> None:
    assert read_ref({"graph_id": str(IDS[0]), "graph_version": version}) is None


def test_each_version_is_listed_once() -> None:
    parts = (agent(0), agent(0, "b"), agent(0, "c", graph_version=1), agent(1, "d"), node("e", "nested"))
    assert list_refs(graph(*parts), SIGNATURES) == (
        GraphRef(IDS[0]),
        GraphRef(IDS[0], 1),
        GraphRef(IDS[1]),
    )


def test_what_is_below_is_listed_from_the_nearest_to_the_farthest_even_in_a_ring() -> None:
    found = nested(0, GraphRef(IDS[1])) | nested(1, GraphRef(IDS[2]), GraphRef(IDS[0])) | nested(2)
    below = list_below([GraphRef(IDS[2]), GraphRef(IDS[0])], found)
    assert [each.graph_id for each in below] == [IDS[2], IDS[0], IDS[1]]


def test_a_node_may_give_and_take_what_the_graph_has() -> None:
    parts = (
        agent(0, inputs={"x": 1}),
        node("value", "store"),
        "value.output -> agent.spare_#_part",
        "agent.y_$_0 -> value.input",
        "agent.error -> value.input",
    )
    assert check_nesting(graph(*parts), SIGNATURES, nested(0)) == {}


def test_a_part_of_an_input_supplies_it() -> None:
    parts = (agent(0), node("value", "store"), "value.output -> agent.x_#_part")
    assert check_nesting(graph(*parts), SIGNATURES, nested(0)) == {}


def test_a_null_supplies_nothing() -> None:
    found = check_nesting(graph(agent(0, inputs={"x": None, "w": None})), SIGNATURES, nested(0))
    assert found == {"agent": {"x": "'x' is required: link it or give it a value in 'inputs'"}}


def test_a_graph_that_passes_every_input_on_takes_every_name() -> None:
    schemas: tuple[dict[str, Any], dict[str, Any]] = (
        {"properties": {}, "additionalProperties": True},
        {"properties": {}},
    )
    parts = (
        agent(0, inputs={"anything": 1}),
        node("value", "store"),
        "value.output -> agent.some",
        "agent.leaf -> value.input",
    )
    assert check_nesting(graph(*parts), SIGNATURES, nested(0, schemas=schemas)) == {}


def test_a_deleted_graph_is_not_named_any_more() -> None:
    found = check_nesting(graph(agent(0)), SIGNATURES, nested(0, is_deleted=True))
    assert set(found["agent"]) == {"graph_id"}


def test_a_mask_is_refused_rather_than_ignored() -> None:
    found = check_nesting(
        graph(agent(0, inputs={"x": 1}, nodes_input_masks={"a": {"b": 1}})), SIGNATURES, nested(0)
    )
    assert set(found["agent"]) == {"nodes_input_masks"}


def test_a_graph_contains_itself_directly_or_through_others() -> None:
    found = nested(0, GraphRef(IDS[1], 1)) | nested(1, GraphRef(IDS[2])) | nested(2)
    for contained in (0, 1, 2):
        problems = check_depth(graph(agent(0)), SIGNATURES, found, graph_id=IDS[contained], max_depth=8)
        assert problems == {"agent": {"graph_id": "The graph would contain itself"}}
    assert check_depth(graph(agent(0)), SIGNATURES, found, graph_id=IDS[3], max_depth=3) == {}
    assert check_depth(graph(agent(0)), SIGNATURES, found, graph_id=None, max_depth=3) == {}


def test_depth_is_bounded_even_in_a_ring_of_others() -> None:
    chain = nested(0, GraphRef(IDS[1], 1)) | nested(1, GraphRef(IDS[2])) | nested(2)
    ring = nested(0, GraphRef(IDS[1])) | nested(1, GraphRef(IDS[0]))
    refusal = {"agent": {"graph_id": "Graphs can be nested 2 deep; this is deeper"}}
    for found in (chain, ring):
        assert check_depth(graph(agent(0)), SIGNATURES, found, graph_id=IDS[5], max_depth=2) == refusal


def test_not_too_many_graphs_are_nested_in_one() -> None:
    found = nested(0, *(GraphRef(each) for each in IDS[1 : MAX_NESTED + 1]))
    for number in range(1, MAX_NESTED + 1):
        found |= nested(number)
    parts = graph(agent(0))
    assert set(check_depth(parts, SIGNATURES, found, graph_id=None, max_depth=8)) == {"graph"}
    del found[GraphRef(IDS[1])]
    assert check_depth(parts, SIGNATURES, found, graph_id=None, max_depth=8) == {}


INNER = graph(
    node("a", "text_input", name="text"),
    node("b", "number_input", name="count"),
    node("c", "input", name="odd_#_name"),
    node("d", "person_input", name="who"),
)


def test_links_win_over_constants_and_are_fitted_to_their_inputs() -> None:
    constants = {"text": "constant", "count": "3", "odd_#_name": None}
    given = bind_run_inputs(INNER, SIGNATURES, constants, {"text": 5, "odd_#_name": [1]})
    assert given == {"text": "5", "count": "3", "odd_#_name": [1]}


def test_parts_are_folded_into_their_input() -> None:
    linked = {"who_#_name": "Ann", "free_$_1": "b"}
    given = bind_run_inputs(INNER, SIGNATURES, {"who": {"age": 3}}, linked)
    assert given == {"who": {"age": 3, "name": "Ann"}, "free": [None, "b"]}


def test_parts_that_cannot_be_put_together_are_an_error() -> None:
    with pytest.raises(PinNameInvalid):
        bind_run_inputs(INNER, SIGNATURES, {"free": "text"}, {"free_#_key": 1})
