"""What holds of node executions that call others as tools, whatever ends first and wherever a snapshot is taken."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.graph.compilation import compile_graph
from app.graph.definition import GraphDefinition, Link, Node
from app.graph.envelope import make_inline
from app.graph.plan import Plan, plan_from_json
from app.graph.scheduler import Firing, Scheduler
from app.graph.signature import BlockSignature, Kind, Lane
from app.graph.validation import validate_graph
from tests.unit.graph.walking import make_block

BOSS, TOOL, PURE, AFTER, FEEDER = range(5)
NAMES = ("boss", "tool", "pure", "after", "feeder")
BLOCKS = {
    "boss": replace(
        make_block(
            "boss",
            optional=("prompt", "conversation_history", "last_tool_output"),
            outputs=("tools", "finished", "conversations"),
        ),
        calls_tools=True,
    ),
    "tool": make_block("tool", optional=("a", "b")),
    "pure": make_block("pure", optional=("a", "b"), lane=Lane.LOCAL),
    "after": make_block("after", optional=("a",)),
    "feeder": make_block("feeder", kind=Kind.INPUT),
}


def a_plan(*links: str) -> Plan:
    """Return a plan of all the blocks, whose links are written `a.out -> b.in`, or `=>` for a static one."""
    graph = a_graph(*links)
    return plan_from_json(json.loads(json.dumps(compile_graph(graph, BLOCKS).plan)))


def a_graph(*links: str) -> GraphDefinition:
    return GraphDefinition(tuple(Node(name, name) for name in NAMES), tuple(map(_link, links)))


def _link(text: str) -> Link:
    arrow = "=>" if "=>" in text else "->"
    source, sink = (end.strip().split(".") for end in text.split(arrow))
    return Link(source[0], sink[0], source[1], sink[1], is_static=arrow == "=>")


def at_work(plan: Plan, *, limit: int = 100) -> tuple[Scheduler, Firing]:
    """Return a scheduler whose first node is running; what leads nowhere has ended."""
    scheduler = Scheduler(plan, max_node_executions=limit)
    scheduler.start()
    firings = {firing.node: firing for firing in take_all(scheduler)}
    for firing in firings.values():
        if not plan.nodes[firing.node].targets:
            scheduler.settle(firing.node, firing.n, [])
    return scheduler, firings[BOSS]


def take_all(scheduler: Scheduler) -> list[Firing]:
    taken = []
    while firing := scheduler.take_remote() or scheduler.take_in_wave():
        taken.append(firing)
    return taken


def inputs(**values: Any) -> dict[int, Any]:
    return {"ab".index(name): make_inline(value) for name, value in values.items()}


CALLS = (
    "boss.tools -> tool.a",
    "boss.tools -> tool.b",
    "boss.tools_^_x_~_y -> pure.a",
    "tool.out -> after.a",
)


@given(
    st.lists(st.lists(st.sampled_from([TOOL, PURE]), min_size=1, max_size=4), max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_turn_follows_when_all_that_was_called_has_ended(turns: list[list[int]], random: Random) -> None:
    plan = a_plan(*CALLS)
    scheduler, boss = at_work(plan)
    for number, called in enumerate(turns, 2):
        scheduler.call(boss, [(node, inputs(a=k)) for k, node in enumerate(called)])
        running = take_all(scheduler)
        random.shuffle(running)
        for place, firing in enumerate(running):
            assert firing.caller == (BOSS, 1)
            assert not scheduler.has_remote
            emissions = [[[0, make_inline(1)]]] if firing.node == TOOL else []
            if random.random() < 0.3:
                scheduler.fail(firing.node, firing.n, emissions, code="X", message="x")
            else:
                scheduler.settle(firing.node, firing.n, emissions)
            snapshot = json.loads(json.dumps(scheduler.snapshot()))
            scheduler = Scheduler.restore(plan, snapshot, max_node_executions=100)
            assert json.loads(json.dumps(scheduler.snapshot())) == snapshot
            assert not scheduler.is_finished, place
        (boss,) = take_all(scheduler)
        assert boss.turn is not None
        assert boss.turn.number == number
        assert [node for node, _ in boss.turn.called] == called
    scheduler.settle(BOSS, 1, [])
    assert scheduler.is_finished
    assert scheduler.failure is None
    assert scheduler.dispatched == scheduler.settled == 2 + sum(map(len, turns))
    assert AFTER in scheduler.list_unreached()


def test_a_wave_ends_what_was_called_and_knows_nothing_of_the_next_turn() -> None:
    plan = a_plan(*CALLS)
    scheduler, boss = at_work(plan)
    scheduler.call(boss, [(PURE, inputs(a=1))])

    wave = Scheduler.restore(plan, json.loads(json.dumps(scheduler.wave_snapshot())), max_node_executions=100)
    firing = wave.take_in_wave()
    assert firing is not None
    assert firing.caller == (BOSS, 1)
    wave.settle(firing.node, firing.n, [])

    assert not wave.has_remote
    scheduler.take(PURE, 1)
    scheduler.settle(PURE, 1, [])
    assert scheduler.has_remote


def test_a_call_takes_what_waits_and_what_is_static_along() -> None:
    plan = a_plan("boss.tools -> tool.a", "feeder.out -> tool.b")
    scheduler, boss = at_work(plan)
    scheduler.settle(FEEDER, 1, [[[0, make_inline("waits")]]])

    scheduler.call(boss, [(TOOL, inputs(a=1)), (TOOL, inputs(a=2))])

    assert [firing.inputs for firing in take_all(scheduler)] == [inputs(a=1, b="waits"), inputs(a=2)]
    assert scheduler.list_starved() == []


def test_what_was_called_holds_up_nothing_that_links_have_begun() -> None:
    plan = a_plan("boss.tools -> tool.a", "feeder.out -> tool.a", "tool.out -> after.a")
    scheduler, boss = at_work(plan)
    scheduler.call(boss, [(TOOL, inputs(a=1))])
    scheduler.settle(FEEDER, 1, [[[0, make_inline(2)]]])
    assert [firing.n for firing in take_all(scheduler)] == [1, 2]

    scheduler.settle(TOOL, 2, [[[0, make_inline("out")]]])

    assert [(firing.node, firing.inputs) for firing in take_all(scheduler)] == [(AFTER, inputs(a="out"))]


def test_a_conversation_ends_at_the_limit() -> None:
    scheduler, boss = at_work(a_plan(*CALLS), limit=3)
    scheduler.call(boss, [(TOOL, inputs(a=1)), (TOOL, inputs(a=2))])
    assert scheduler.is_exhausted
    assert scheduler.is_finished


def test_reserved_numbers_are_passed_over_and_hold_up_nothing() -> None:
    plan = a_plan("feeder.out -> tool.a", "tool.out -> after.a", "boss.tools -> pure.a")
    scheduler = Scheduler(plan, max_node_executions=100)
    scheduler.reserve({(TOOL, 1), (TOOL, 2)})
    scheduler.start()
    take_all(scheduler)
    scheduler.settle(FEEDER, 1, [[[0, make_inline(1)]]])
    (firing,) = take_all(scheduler)
    assert firing.n == 3

    scheduler.pass_over(TOOL, 6)
    scheduler.settle(TOOL, 3, [[[0, make_inline(1)]]])

    assert [firing.node for firing in take_all(scheduler)] == [AFTER]
    assert scheduler.snapshot()["counts"] == [[BOSS, 1], [TOOL, 6], [AFTER, 1], [FEEDER, 1]]


LOOP = (
    "feeder.out => boss.prompt",
    "boss.conversations -> boss.conversation_history",
    "tool.out -> boss.last_tool_output",
    "boss.tools -> tool.a",
)


@pytest.mark.parametrize("is_history_first", [True, False])
def test_the_first_firing_waits_for_no_tool_and_a_later_one_for_both_pins(*, is_history_first: bool) -> None:
    plan = a_plan(*LOOP)
    scheduler = Scheduler(plan, max_node_executions=100)
    scheduler.start()
    take_all(scheduler)
    scheduler.settle(FEEDER, 1, [[[0, make_inline("What?")]]])
    (first,) = take_all(scheduler)
    assert first.inputs == {0: make_inline("What?")}

    history, to_tool = [[0, make_inline(["said"])]], [[1, make_inline(1)]]
    scheduler.settle(BOSS, 1, [history, to_tool] if is_history_first else [to_tool, history])
    (tool,) = take_all(scheduler)
    assert tool.node == TOOL
    scheduler.settle(TOOL, 1, [[[0, make_inline("gave")]]])

    (second,) = take_all(scheduler)
    assert second.inputs == {0: make_inline("What?"), 1: make_inline(["said"]), 2: make_inline("gave")}


def problems_of(*links: str, **blocks: BlockSignature) -> dict[str, dict[str, str]]:
    return {
        node_id: dict(fields) for node_id, fields in validate_graph(a_graph(*links), BLOCKS | blocks).items()
    }


def test_tool_links_may_be_named_as_people_name_them() -> None:
    assert (
        problems_of("boss.tools -> tool.a", "boss.tools_^_Do it_~_b -> tool.b", "feeder.out -> boss.prompt")
        == {}
    )


def test_a_tool_link_leads_to_an_input_that_there_is() -> None:
    assert list(problems_of("boss.tools -> tool.c")["tool"]) == ["c"]


def test_another_block_has_no_tools() -> None:
    assert list(problems_of("tool.tools -> after.a", "feeder.out -> tool.a")["tool"]) == ["tools"]


def test_the_loop_pins_are_linked_both_or_not_at_all() -> None:
    assert problems_of("boss.conversations -> boss.conversation_history")["boss"] == {
        "last_tool_output": "'last_tool_output' and 'conversation_history' are linked both or not at all"
    }


def test_a_tools_output_does_not_come_over_a_static_link() -> None:
    links = ("boss.conversations -> boss.conversation_history", "tool.out => boss.last_tool_output")
    assert list(problems_of(*links, "boss.tools -> tool.a")["boss"]) == ["last_tool_output"]
