"""Nodes whose block does not exist, and links to pins that a block has no more."""

from __future__ import annotations

from typing import Any

import pytest

from app.graph.compilation import compile_graph
from app.graph.interface import drop_needless_marks
from app.graph.plan import plan_from_json
from app.graph.signature import Lane
from app.graph.validation import validate_graph
from tests.unit.graph.small_blocks import SIGNATURES, graph, node

MARK = {"missing_block": "SendPigeonBlock"}


def test_a_node_that_says_its_block_is_missing_may_be_saved() -> None:
    found = validate_graph(
        graph(
            node("a"),
            node("b", "typed"),
            node("gone", "pigeons", metadata=MARK, anything=[1]),
            "a.out -> gone.whatever_#_part",
            "gone.feather -> gone.wing",
            "gone.error -> b.text",
        ),
        SIGNATURES,
    )
    assert found == {}


@pytest.mark.parametrize("mark", [None, "", 5, [], {}])
def test_a_mark_that_says_nothing_is_none(mark: Any) -> None:
    found = validate_graph(graph(node("a", "pigeons", metadata={"missing_block": mark})), SIGNATURES)
    assert found == {"a": {"block_id": "There is no block 'pigeons'"}}


def test_a_placeholder_stands_in_the_plan_where_the_block_is_missing() -> None:
    compiled = compile_graph(
        graph(node("s"), node("gone", "pigeons", metadata=MARK), "s.out -> gone.x", "gone.error -> s.input"),
        SIGNATURES,
    )
    planned = plan_from_json(compiled.plan).nodes[1]
    assert (planned.block, planned.lane, planned.all_pins, planned.never_null) == (
        "Placeholder",
        Lane.LOCAL,
        1,
        0,
    )
    assert planned.error_source == 0


def test_a_mark_goes_once_the_block_exists() -> None:
    marked = graph(node("a", "store", metadata=MARK | {"x": 1}), node("b", "pigeons", metadata=MARK))
    unmarked = drop_needless_marks(marked, SIGNATURES)
    assert [each.metadata for each in unmarked.nodes] == [{"x": 1}, MARK]


def test_links_may_name_pins_that_a_node_says_its_block_had() -> None:
    former = {"former_pins": {"inputs": ["token"], "outputs": ["old"]}}
    parts = (
        node("s"),
        node("a", "typed", metadata=former),
        node("e"),
        "s.out -> a.token",
        "a.old -> e.input",
    )
    assert validate_graph(graph(*parts), SIGNATURES) == {}
    others = (
        node("s"),
        node("a", "typed", metadata=former),
        node("e"),
        "s.out -> a.old",
        "a.token -> e.input",
    )
    assert set(validate_graph(graph(*others), SIGNATURES)["a"]) == {"old", "token"}


@pytest.mark.parametrize(
    "former", [None, 5, [], ["x"], {"inputs": 5}, {"inputs": [5, None]}, {"inputs": "x_$_y"}]
)
def test_nonsense_about_former_pins_allows_nothing(former: Any) -> None:
    parts = (node("s"), node("a", "typed", metadata={"former_pins": former}), "s.out -> a.x_$_y")
    assert "a" in validate_graph(graph(*parts), SIGNATURES)


def test_an_impossible_name_stays_impossible_for_a_former_pin_and_a_note_has_none() -> None:
    former = {"former_pins": {"inputs": ["x_$_y", "text"]}}
    parts = (node("s"), node("a", "typed", metadata=former), "s.out -> a.x_$_y")
    assert "a" in validate_graph(graph(*parts), SIGNATURES)
    noted = (node("s"), node("a", "note", metadata=former), "s.out -> a.text")
    assert "a" in validate_graph(graph(*noted), SIGNATURES)
