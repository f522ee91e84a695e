"""Graphs of one file that execute each other."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import GraphInvalid
from tests.unit.autogpt.agents import (
    AGENT,
    INPUT,
    OUTPUT,
    agent,
    codes_of,
    fixture,
    imported,
    node,
    nodes_of,
    root_of,
)


def child(id: str, *names: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    """Return a graph with an input `x` that executes others."""
    inner = [node(f"to-{name}", AGENT, graph_id=name, graph_version=1) for name in names]
    return (
        agent(node("in", INPUT, name="x"), node("out", OUTPUT, name="y"), *inner, id=id, version=version)
        | fields
    )


def test_nested_graphs_come_before_those_that_execute_them_and_are_named_by_their_new_ids() -> None:
    read = imported(fixture("nested_agents"))
    assert [graph.name for graph in read.graphs] == ["Doubling", "Doubling and adding", "An agent of agents"]
    ids = {graph.name: str(graph.id) for graph in read.graphs}
    named = [each.input_default for each in nodes_of(read).values() if each.block_id == AGENT]
    assert [(each["graph_id"], each["graph_version"]) for each in named] == [
        (ids["Doubling and adding"], 1),
        (ids["Doubling"], 1),
    ]
    assert not any("user_id" in each for each in named)


@pytest.mark.parametrize("key", ["sub_graphs", "subgraphs"])
@pytest.mark.parametrize("shape", ["list", "object", "inside one another"])
def test_sub_graphs_are_found_wherever_they_stand(key: str, shape: str) -> None:
    a, b = child("a"), child("b", "a")
    given: Any = {
        "list": [a, b],
        "object": {"a": a | {"id": None} | {"id": "a"}, "b": {**b}},
        "inside one another": [b | {key: [a]}],
    }[shape]
    read = imported(child("root", "b") | {key: given})
    assert [len(graph.definition.nodes) for graph in read.graphs] == [2, 3, 3]
    assert codes_of(read) == []


def test_a_sub_graph_is_named_by_id_and_version_or_by_id_alone() -> None:
    root = agent(
        *(node(f"v{version}", AGENT, graph_id="A", graph_version=version) for version in (1, 2, 9)),
        node("any", AGENT, graph_id="a"),
        sub_graphs=[child("a"), child("a", version=2)],
    )
    read = imported(root)
    first, second = [str(graph.id) for graph in read.graphs if graph.id != read.graph_id]
    named = {id: each.input_default["graph_id"] for id, each in nodes_of(read).items()}
    assert named == {"v1": first, "v2": second, "v9": first, "any": first}


def test_what_is_no_sub_graph_and_what_stands_twice_is_left_out() -> None:
    read = imported(child("root", "a") | {"sub_graphs": [child("a"), child("a"), 5, {"id": "b"}, None]})
    assert len(read.graphs) == 2
    assert codes_of(read) == ["sub_graph_ignored"] * 4


@pytest.mark.parametrize(
    "document",
    [
        child("root", "root"),
        child("root", "a") | {"sub_graphs": [child("a", "a")]},
        child("root", "a") | {"sub_graphs": [child("a", "b"), child("b", "c"), child("c", "a")]},
        child("root", "a") | {"sub_graphs": [child("a", "root")]},
    ],
)
def test_graphs_that_would_contain_themselves_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(GraphInvalid) as refused:
        imported(document)
    assert "contain itself" in str(refused.value.details["node_errors"])


def test_a_sub_graph_that_nothing_executes_may_execute_the_file_s_own_graph() -> None:
    read = imported(child("root") | {"sub_graphs": [child("a", "root")]})
    assert [graph.id == read.graph_id for graph in read.graphs] == [True, False]


def test_sub_graphs_that_only_group_nodes_are_none() -> None:
    read = imported(child("root") | {"subgraphs": {"group": ["in", "out"]}})
    assert (len(read.graphs), codes_of(read)) == (1, [])


def test_a_graph_that_is_not_in_the_file_stays_named() -> None:
    read = imported(child("root", "elsewhere"))
    assert nodes_of(read)["to-elsewhere"].input_default["graph_id"] == "elsewhere"


def test_inputs_that_the_nested_graph_has_not_are_set_aside() -> None:
    root = agent(
        node(
            "to-a",
            AGENT,
            graph_id="a",
            inputs={"x": 1, "x_#_part": 2, "gone": 3},
            nodes_input_masks={"n": {"a": 1}},
        ),
        sub_graphs=[child("a")],
    )
    read = imported(root)
    made = nodes_of(read)["to-a"]
    assert made.input_default["inputs"] == {"x": 1, "x_#_part": 2}
    assert made.metadata["set_aside"] == {"nodes_input_masks": {"n": {"a": 1}}, "inputs": {"gone": 3}}
    assert root_of(read).definition.nodes[0] is made
