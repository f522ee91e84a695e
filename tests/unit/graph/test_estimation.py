"""What an execution is expected to cost and to take: prices, how often nodes fire, and what earlier executions say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from app.graph.analysis import Analysis
from app.graph.definition import Link, Node
from app.graph.estimation import (
    SECONDS_BY_LANE,
    Estimate,
    History,
    Price,
    Recorded,
    WarningCode,
    estimate,
)
from app.graph.signature import BlockSignature, Lane
from app.graph.tools import AGENT_MODE
from tests.unit.graph.small_blocks import SIGNATURES, graph, link, make_block, node

_CALL = make_block("call", {"input": Any, "data": Any})
_AGENT = make_block(
    "agent", dict.fromkeys(("prompt", "conversation_history", "last_tool_output", AGENT_MODE), Any)
)
_BLOCKS: Mapping[str, BlockSignature] = {
    **SIGNATURES,
    "call": replace(_CALL, lane=Lane.REMOTE),
    "many": replace(_CALL, emits_many=True),
    "agent": replace(_AGENT, calls_tools=True, gives_any_output=True),
    "person": replace(_CALL, lane=Lane.HOLD),
    "nested": replace(SIGNATURES["nested"], lane=Lane.HOLD),
}
NEVER = History()
REMOTE = SECONDS_BY_LANE[Lane.REMOTE]


def guess(
    *parts: Node | str | Link, history: History = NEVER, limit: int = 1_000, **prices: Price
) -> Estimate:
    """Estimate a graph of which four calls run at once."""
    return estimate(Analysis(graph(*parts), _BLOCKS), prices, history, at_once=4, limit=limit)


def codes(found: Estimate) -> dict[WarningCode, tuple[str, ...]]:
    return {warning.code: warning.node_ids for warning in found.warnings}


def recorded(**nodes: Recorded) -> History:
    return History(1, 60.0, nodes)


def test_calls_that_run_at_once_take_the_time_of_one() -> None:
    calls = recorded(a=Recorded(9.0, 5.0, 0.0), b=Recorded(1.0, None, 0.0))
    found = guess(node("a", "call"), node("b", "call"), "a.out -> b.input", history=calls)

    assert found.nodes["a"].seconds == 3 * 5.0
    assert found.nodes["b"].seconds == REMOTE
    assert (found.critical_path_seconds, found.seconds) == (3 * 5.0 + REMOTE, 60.0)


def test_calls_of_a_loop_follow_one_another() -> None:
    rounds = recorded(a=Recorded(1.0, None, 0.0), b=Recorded(9.0, 2.0, 0.0))
    parts = (node("a", "call"), node("b", "call"), "a.out -> b.input", "b.out -> b.input")
    assert guess(*parts, history=rounds).nodes["b"].seconds == 9 * 2.0


def test_no_node_fires_more_often_than_an_execution_allows() -> None:
    found = guess(node("a"), history=recorded(a=Recorded(50.0, None, 0.0)), limit=20)
    assert found.nodes["a"].firings == 20


def test_what_goes_by_use_costs_what_it_has_cost_and_a_nested_graph_what_its_nodes_do() -> None:
    by_use = Price(usual=9, most=None)
    history = recorded(a=Recorded(2.0, None, 1.25), b=Recorded(1.0, None, 0.0), c=Recorded(1.0, None, 4.0))
    nested = replace(by_use, is_nested=True)
    nodes = (node("a"), node("b"), node("c"))
    found = guess(*nodes, history=history, a=by_use, b=nested, c=Price(2, 5, 5))

    assert {node_id: each.expected for node_id, each in found.nodes.items()} == {"a": 2.5, "b": 9, "c": 5}
    assert (found.least, found.expected, found.most) == (2, 17, None)


def test_a_node_that_never_fires_costs_nothing_at_most() -> None:
    parts = (node("a", "call"), node("b", "call"), "b.out -> b.input")
    for price in (Price(1, 1, 1), Price(0, 1, None)):
        found = guess(*parts, b=price)
        assert (found.nodes["b"].most, found.expected, found.most) == (0, 0, 0)


def test_warnings_name_what_they_are_about() -> None:
    loop = (node("a", "call"), node("b", "call"), "a.out -> b.input", "b.out -> b.input")
    assert codes(guess(*loop)) == {WarningCode.NO_HISTORY: ()}
    assert codes(guess(*loop, a=Price(1, 1, 1), b=Price(1, 1, 1))) == {
        WarningCode.NO_HISTORY: (),
        WarningCode.UNBOUNDED: ("b",),
    }
    waiting = (node("a", "person"), node("b", "nested", graph_id="g"), node("c", "person"), "c.out -> c.data")
    assert codes(guess(*waiting, history=recorded())) == {WarningCode.WAITS_FOR_SOMEBODY: ("a",)}


def test_only_what_an_execution_begins_with_is_certain_to_cost() -> None:
    found = guess(node("a"), node("b"), "a.out -> b.input", a=Price(2, 3, 3), b=Price(2, 3, 3))
    assert (found.least, found.expected, found.most) == (2, 6, 6)


def test_a_note_is_no_node_that_is_estimated() -> None:
    assert guess(node("a"), node("n", "note", text="hello")).nodes.keys() == {"a"}


@pytest.mark.parametrize(
    ("parts", "most"),
    [
        (("i.out -> x.input", "i.out -> x.data", "j.out -> x.data"), 1),
        # Of two inputs that are used up the one that gets less decides.
        (("i.out -> many.input", "many.out -> x.input", "i.out -> x.data"), 1),
        (("i.out -> many.input", "many.out -> x.input"), None),
        # What stays begins nothing by itself, unless nothing else is waited for.
        ((link("i.out -> x.input", is_static=True), "i.out -> many.input", "many.out -> x.data"), None),
        ((link("i.out -> x.input", is_static=True), link("j.out -> x.data", is_static=True)), 2),
        (("i.out -> x.input", "j.out -> x.input"), 2),
        # What never fires sends nothing, however much it could.
        (("i.out -> x.input", "dead.out -> dead.input", "dead.out -> x.input"), 1),
        # A tool is called as often as the model likes.
        (("i.out -> agent.prompt", "agent.tools_^_x_~_input -> x.input"), None),
        (("i.out -> agent.prompt", "agent.out -> x.input"), 1),
        # Who is resumed by its tools does not wait for them the first time.
        (
            (
                "i.out -> agent.prompt",
                "agent.conversations -> agent.conversation_history",
                "agent.out -> agent.last_tool_output",
                "agent.out -> x.input",
            ),
            None,
        ),
    ],
)
def test_how_often_a_node_fires_at_most(parts: tuple[str | Link, ...], most: int | None) -> None:
    blocks = {"i": "call", "j": "call", "many": "many", "x": "call", "dead": "many", "agent": "agent"}
    text = " ".join(part if isinstance(part, str) else f"{part.source_id}. {part.sink_id}." for part in parts)
    nodes = [node(name, block) for name, block in blocks.items() if f"{name}." in text.replace("_^_x", "")]
    found = guess(*nodes, *parts, x=Price(3, 3, 3))
    assert found.nodes["x"].most == (None if most is None else 3 * most)
    assert found.nodes["x"].is_unbounded is (most is None)


def test_an_input_node_fires_once_more_than_it_is_sent_to() -> None:
    found = guess(node("a", "call"), node("b", "any_input"), "a.out -> b.value", b=Price(1, 1, 1))
    assert found.nodes["b"].most == 2
