"""What must hold of every graph, every completion order and every failure."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.graph.plan import Plan
from app.graph.scheduler import Scheduler
from tests.unit.graph.walking import Behaviour, Fails, Sketch, Walk, end, walk

LIMIT = 80


def emits(count: int, *, fails: bool) -> Behaviour:
    """Return a behaviour whose outputs depend on nothing but its inputs."""

    def behaviour(data: dict[str, Any]) -> list[tuple[str, Any]]:
        total = sum(value for value in data.values() if isinstance(value, int)) % 1_000
        emitted = [("out", total + k) for k in range(count)]
        if fails and total % 3 == 0:
            raise Fails(*emitted)
        return emitted

    return behaviour


@st.composite
def sketches(draw: st.DrawFn, *, is_free_of_races: bool = False) -> Sketch:
    """Draw a graph: nodes that emit none to three values, links that may be static, cycles.

    A graph is free of races when no two links lead into one pin and no static value competes with another.
    """
    size = draw(st.integers(2, 7))
    names = [f"n{number}" for number in range(size)]
    counts = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    fails = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    links: list[str] = []
    for position in range(draw(st.integers(1, 9))):
        source, sink = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        pin = draw(st.sampled_from(["out", "out", "out", "error"]))
        sink_pin = f"p{position}" if is_free_of_races else draw(st.sampled_from(["a", "b", "c"]))
        arrow = "->" if is_free_of_races else draw(st.sampled_from(["->", "->", "=>"]))
        links.append(f"{source}.{pin} {arrow} {sink}.{sink_pin}")
    inputs = frozenset(draw(st.lists(st.sampled_from(names), max_size=2)))
    behaviours = {
        name: emits(number, fails=does_fail)
        for name, number, does_fail in zip(names, counts, fails, strict=True)
    }
    return Sketch(behaviours, links, inputs=inputs)


def bag(result: Walk) -> Counter[str]:
    """Return the node executions with their data, without their order."""
    return Counter(json.dumps([name, n, data], sort_keys=True) for name, n, data in result.trace)


@given(sketches(is_free_of_races=True), st.randoms(use_true_random=False))
def test_without_races_the_completion_order_changes_nothing(sketch: Sketch, random: Random) -> None:
    in_order = walk(sketch, limit=LIMIT)
    if in_order.scheduler.is_exhausted:
        return
    assert bag(walk(sketch, random=random, limit=LIMIT)) == bag(in_order)


@given(sketches(), st.randoms(use_true_random=False))
def test_every_value_is_consumed_or_left_starved(sketch: Sketch, random: Random) -> None:
    result = walk(sketch, random=random, limit=LIMIT)
    if result.scheduler.is_exhausted:
        return
    for node, firings in Counter(result.order).items():
        assert result.scheduler._counts[_number(result, node)] == firings
    assert result.scheduler.settled == result.scheduler.dispatched == len(result.trace)
    assert result.scheduler.is_finished
    assert not result.scheduler.snapshot()["unreleased"]


@given(sketches(), st.randoms(use_true_random=False))
def test_no_node_fires_before_its_inputs_are_there(sketch: Sketch, random: Random) -> None:
    result = walk(sketch, random=random, limit=LIMIT)
    pins: dict[str, set[str]] = {}
    for link in result.graph.links:
        pins.setdefault(link.sink_id, set()).add(link.sink_name)
    for node, n, data in result.trace:
        is_start = n == 1 and (node in sketch.inputs or node not in pins)
        assert is_start or set(data) >= pins[node]


@given(sketches(), st.randoms(use_true_random=False), st.integers(1, LIMIT))
def test_the_cap_is_never_passed(sketch: Sketch, random: Random, limit: int) -> None:
    result = walk(sketch, random=random, limit=limit)
    assert len(result.trace) <= limit
    assert result.scheduler.is_finished


@given(sketches(), st.integers(0, 2**32))
def test_a_restored_snapshot_continues_identically(sketch: Sketch, seed: int) -> None:
    def reborn(scheduler: Scheduler, plan: Plan) -> Scheduler:
        snapshot = json.loads(json.dumps(scheduler.snapshot()))
        return Scheduler.restore(plan, snapshot, max_node_executions=LIMIT)

    straight = walk(sketch, random=Random(seed), limit=LIMIT)
    interrupted = walk(sketch, random=Random(seed), limit=LIMIT, between=reborn)
    assert interrupted.trace == straight.trace
    assert interrupted.scheduler.snapshot() == straight.scheduler.snapshot()
    assert interrupted.scheduler.failure == straight.scheduler.failure


@given(sketches(), st.randoms(use_true_random=False))
def test_a_walk_is_repeatable(sketch: Sketch, random: Random) -> None:
    state = random.getstate()
    first = walk(sketch, random=random, limit=LIMIT)
    random.setstate(state)
    assert walk(sketch, random=random, limit=LIMIT).trace == first.trace


def _number(result: Walk, node: str) -> int:
    return next(number for number, known in enumerate(result.graph.nodes) if known.id == node)


@given(sketches(), st.integers(1, 3), st.data())
def test_a_wave_and_the_scheduler_that_repeats_it_agree(
    sketch: Sketch, limit: int, data: st.DataObject
) -> None:
    local = data.draw(st.sets(st.sampled_from(sorted(sketch.behaviours))))
    sketch = replace(sketch, local=frozenset(local))
    graph, plan = sketch.compile()
    scheduler = Scheduler(plan, max_node_executions=LIMIT)
    scheduler.start()
    while not scheduler.is_finished:
        if scheduler.has_remote and (not scheduler.has_wave or data.draw(st.booleans())):
            remote = scheduler.take_remote()
            assert remote is not None
            end(sketch, graph, scheduler, remote)
            continue
        snapshot = json.loads(json.dumps(scheduler.wave_snapshot(limit=limit)))
        wave = Scheduler.restore(plan, snapshot, max_node_executions=LIMIT)
        for _ in range(4):
            firing = wave.take_in_wave()
            if firing is None:
                break
            repeated = scheduler.take(firing.node, firing.n)
            assert repeated == firing
            end(sketch, graph, wave, firing)
            end(sketch, graph, scheduler, repeated)
            assert (wave.dispatched, wave.is_exhausted) == (scheduler.dispatched, scheduler.is_exhausted)


def test_a_wave_counts_the_remote_node_executions_that_follow_from_it() -> None:
    def once(_: dict[str, Any]) -> list[tuple[str, Any]]:
        return [("out", 1)]

    sketch = Sketch(
        {"x": once, "y": once, "join": once, "z": once},
        ["x.out -> join.a", "y.out -> join.b", "y.out -> z.p"],
        local=frozenset({"x", "y", "z"}),
    )
    graph, plan = sketch.compile()
    scheduler = Scheduler(plan, max_node_executions=3)
    scheduler.start()
    # One half of what the remote node waits for has come before the wave.
    first = scheduler.take_in_wave()
    assert first is not None
    end(sketch, graph, scheduler, first)
    wave = Scheduler.restore(plan, scheduler.wave_snapshot(), max_node_executions=3)
    for walking in (wave, scheduler):
        second = walking.take_in_wave()
        assert second is not None
        end(sketch, graph, walking, second)
    assert (wave.dispatched, wave.is_exhausted) == (scheduler.dispatched, scheduler.is_exhausted) == (3, True)
    assert wave.take_in_wave() is None
