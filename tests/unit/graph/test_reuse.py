"""What a rerun takes over of an execution, and what it leaves to be executed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.graph.changes import Version, find_changed, find_downstream, find_newly_fed
from app.graph.compilation import compile_graph
from app.graph.emissions import FOLD_LENGTH, UNFOLDED_AT_MOST, Emission
from app.graph.envelope import make_inline, make_reference
from app.graph.reuse import Reuse, is_same, wrap_unstored
from app.graph.signature import Kind
from tests.unit.graph.rerunning import Walker, bag, feed, go_on, ids, keys, reuse_of
from tests.unit.graph.small_blocks import SIGNATURES, graph, node
from tests.unit.graph.test_scheduler_properties import sketches
from tests.unit.graph.walking import Behaviour, Fails, Sketch


@given(sketches(), st.randoms(use_true_random=False), st.booleans())
def test_with_nothing_changed_everything_that_ended_well_is_taken_over(
    sketch: Sketch, random: Random, is_strict: bool
) -> None:
    walker = Walker(sketch, random)
    original, recorded = walker.from_the_start()
    if original.is_exhausted or original.failure:
        return
    reuse = reuse_of(walker.version, is_strict=is_strict)
    assert feed(reuse, recorded) == recorded
    assert not reuse.may_run
    scheduler, ran = go_on(walker, reuse)
    assert ran == []
    assert scheduler.snapshot() == original.snapshot()


@given(sketches(is_free_of_races=True), st.randoms(use_true_random=False), st.data())
def test_a_rerun_from_any_nodes_gives_what_the_original_gave(
    sketch: Sketch, random: Random, data: st.DataObject
) -> None:
    walker = Walker(sketch, random)
    original, recorded = walker.from_the_start()
    if original.is_exhausted:
        return
    origins = data.draw(st.sets(st.integers(0, len(walker.version.nodes) - 1), min_size=1))
    cone = find_downstream(walker.version.plan, origins)
    reuse = reuse_of(walker.version, cone=cone)
    taken = feed(reuse, recorded)
    assert not {row.node for row in taken} & cone
    expected = reuse.may_run
    _, ran = go_on(walker, reuse)
    assert {row.node for row in ran} <= expected
    assert {row.node for row in recorded if row.node in cone} == {row.node for row in ran if row.node in cone}
    assert bag(taken + ran) == bag(recorded)
    assert keys(taken + ran) == keys(recorded)


@given(sketches(is_free_of_races=True), st.randoms(use_true_random=False), st.data())
def test_a_rerun_from_what_failed_gives_what_an_execution_without_the_failures_gives(
    sketch: Sketch, random: Random, data: st.DataObject
) -> None:
    healthy, expected = Walker(sketch).from_the_start()
    if healthy.is_exhausted:
        return
    walker = Walker(sketch, random)
    unhandled = [row for row in expected if walker.version.plan.nodes[row.node].error_source < 0]
    chosen = data.draw(st.sets(st.sampled_from([row.key for row in unhandled]))) if unhandled else set()
    broken = {(walker.version.nodes[number].id, n) for number, n in chosen}
    original, recorded = Walker(sketch, random, broken=broken).from_the_start()
    if original.is_exhausted:
        return
    reuse = reuse_of(walker.version, is_strict=True)
    taken = feed(reuse, recorded)
    assert not {row.key for row in taken} & chosen
    _, ran = go_on(walker, reuse)
    assert bag(taken + ran) == bag(expected)
    assert keys(taken + ran) == keys(expected)


@given(sketches(), st.randoms(use_true_random=False), st.data())
def test_no_node_execution_is_taken_over_and_executed(
    sketch: Sketch, random: Random, data: st.DataObject
) -> None:
    walker = Walker(sketch, random)
    _, recorded = walker.from_the_start()
    origins = data.draw(st.sets(st.integers(0, len(walker.version.nodes) - 1)))
    cone = find_downstream(walker.version.plan, origins)
    reuse = reuse_of(walker.version, cone=cone, is_strict=data.draw(st.booleans()))
    taken = feed(reuse, data.draw(st.permutations(recorded)))
    scheduler, ran = go_on(walker, reuse)
    assert not {count for count in Counter(keys(taken + ran)).values() if count > 1}
    if scheduler.is_exhausted:
        return
    for number in {row.node for row in taken + ran}:
        numbers = sorted(row.n for row in taken + ran if row.node == number)
        assert numbers == list(range(1, len(numbers) + 1))


@given(sketches(is_free_of_races=True), st.randoms(use_true_random=False), st.data())
def test_records_that_come_too_early_are_taken_over_when_they_are_due(
    sketch: Sketch, random: Random, data: st.DataObject
) -> None:
    walker = Walker(sketch, random)
    original, recorded = walker.from_the_start()
    if original.is_exhausted or original.failure:
        return
    taken = feed(reuse_of(walker.version), data.draw(st.permutations(recorded)))
    assert keys(taken) == keys(recorded)


def adds(amount: int) -> Behaviour:
    return lambda data: [("out", data.get("in", 0) + amount)]


def numbers_to(count: int) -> Behaviour:
    return lambda _: [("out", number) for number in range(count)]


def refuses(bad: int) -> Behaviour:
    def behaviour(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        if data["in"] == bad:
            raise Fails
        yield "out", data["in"]

    return behaviour


def test_of_a_generator_with_one_failed_item_only_that_item_is_executed_again() -> None:
    sketch = Sketch({"many": numbers_to(5), "each": adds(1)}, ["many.out -> each.in"])
    original, recorded = Walker(sketch, broken=[("each", 3)]).from_the_start()
    assert original.failure
    walker = Walker(sketch)
    reuse = reuse_of(walker.version, is_strict=True)
    assert len(feed(reuse, recorded)) == 5
    assert ids(walker.version, reuse.may_run) == {"each"}
    _, ran = go_on(walker, reuse)
    assert [(row.n, row.outputs) for row in ran] == [(3, [["out", [3]]])]


def test_a_failure_that_the_graph_handles_counts_as_done() -> None:
    sketch = Sketch(
        {"bad": refuses(0), "zero": numbers_to(1), "rescue": adds(0), "after": adds(1)},
        ["zero.out -> bad.in", "bad.error -> rescue.text", "bad.out -> after.in"],
    )
    walker = Walker(sketch)
    original, recorded = walker.from_the_start()
    assert original.failure is None
    reuse = reuse_of(walker.version, is_strict=True)
    assert feed(reuse, recorded) == recorded
    assert not reuse.may_run


def test_a_node_in_a_loop_with_a_chosen_one_is_executed_again_too() -> None:
    sketch = Sketch(
        {"start": numbers_to(1), "a": adds(1), "b": refuses(4), "beside": adds(0)},
        ["start.out -> a.in", "a.out -> b.in", "b.out -> a.in", "start.out -> beside.in"],
    )
    walker = Walker(sketch)
    _, recorded = walker.from_the_start()
    cone = find_downstream(walker.version.plan, [walker.version.numbers["b"]])
    assert ids(walker.version, cone) == {"a", "b"}
    reuse = reuse_of(walker.version, cone=cone)
    assert ids(walker.version, {row.node for row in feed(reuse, recorded)}) == {"start", "beside"}
    _, ran = go_on(walker, reuse)
    assert keys(ran) == keys([row for row in recorded if row.node in cone])


def test_very_many_values_wait_in_folded_lists_unless_they_are_asked_for() -> None:
    count = UNFOLDED_AT_MOST + 2 * FOLD_LENGTH + 5
    sketch = Sketch({"many": numbers_to(count), "each": adds(1)}, ["many.out -> each.in"])
    walker = Walker(sketch)
    _, recorded = walker.from_the_start(limit=10_000)
    assert len(recorded) == count + 1

    def make(cone: Collection[int] = ()) -> Reuse:
        reuse = Reuse(
            walker.version, cone=cone, is_strict=True, max_node_executions=10_000, wrap=wrap_unstored
        )
        reuse.begin()
        return reuse

    waiting = make(cone=[walker.version.numbers["each"]])
    feed(waiting, recorded)
    assert ids(walker.version, waiting.may_run) == {"each"}
    lists: list[list[Emission]] = []

    def store(emissions: list[Emission]) -> list[Any]:
        lists.append(emissions)
        return make_reference("list", 1)

    state = waiting.snapshot(store)
    assert state["dispatched"] == UNFOLDED_AT_MOST + 1
    assert [len(emissions) for emissions in lists] == [FOLD_LENGTH, FOLD_LENGTH, 5]
    whole = make()
    assert feed(whole, recorded) == recorded
    assert not whole.may_run


def test_a_version_is_compared_node_by_node() -> None:
    def compiled(*parts: Any) -> Version:
        made = graph(*parts)
        compiled = compile_graph(made, SIGNATURES)
        return Version.from_json(compiled.plan, compiled.configuration, SIGNATURES)

    old = compiled(
        node("in", "input", name="x"),
        node("same", metadata={"title": "one"}),
        node("other", data=1),
        node("fed"),
        node("gone"),
        "in.result -> same.input",
        "in.result -> other.input",
        "same.output -> fed.input",
        "other.output -> gone.input",
    )
    new = compiled(
        node("new"),
        node("fed"),
        node("other", data=True),
        node("same", metadata={"title": "two"}),
        node("in", "input", name="x"),
        "in.result -> same.input",
        "in.result -> other.input",
        "other.output -> fed.input",
        "same.output -> new.input",
    )
    assert ids(new, find_changed(old, new)) == {"new", "fed", "other"}
    assert find_changed(old, old) == set()


def test_input_nodes_are_executed_again_when_their_run_input_is_another() -> None:
    made = graph(node("a", "input", name="a"), node("b", "input", name="b"), node("rest", "any_input"))
    compiled = compile_graph(made, SIGNATURES)
    version = Version.from_json(compiled.plan, compiled.configuration, SIGNATURES)
    assert version.nodes[2].kind is Kind.INPUT
    assert ids(version, find_newly_fed(version, {"a": 1, "b": 2}, {"a": 1, "b": 2})) == set()
    assert ids(version, find_newly_fed(version, {"a": 1, "b": 2}, {"a": 1, "b": 3})) == {"b", "rest"}
    assert ids(version, find_newly_fed(version, {"a": 1}, {"a": True})) == {"a", "rest"}
    assert ids(version, find_newly_fed(version, {"a": None}, {})) == {"a", "rest"}


def test_another_payload_reaches_the_triggers() -> None:
    compiled = compile_graph(graph(node("a", "trigger"), node("b", "input", name="x")), SIGNATURES)
    version = Version.from_json(compiled.plan, compiled.configuration, SIGNATURES)
    assert ids(version, find_newly_fed(version, {"payload": {"n": 1}}, {"payload": {"n": 2}})) == {"a"}
    assert ids(version, find_newly_fed(version, {"payload": {}, "x": 1}, {"payload": {}, "x": 2})) == {"b"}


def test_values_are_the_same_whichever_way_they_travel() -> None:
    text = "x" * 10_000
    assert is_same(wrap_unstored(text), [text])
    assert not is_same(wrap_unstored(text), [text + "y"])
    assert is_same([{"a": 1, "b": [2]}], [{"b": [2], "a": 1}])
    assert not is_same([1], [True])
    assert not is_same([1], [1.0])


def test_from_what_failed_a_record_counts_only_if_it_was_given_the_same() -> None:
    sketch = Sketch({"zero": numbers_to(1), "next": adds(1)}, ["zero.out -> next.in"])
    walker = Walker(sketch)
    _, (first, second) = walker.from_the_start()
    other = replace(second, inputs={"in": make_inline(7)})
    strict, lenient = reuse_of(walker.version, is_strict=True), reuse_of(walker.version)
    assert feed(strict, [first, other]) == [first]
    assert ids(walker.version, strict.may_run) == {"next"}
    assert feed(lenient, [first, other]) == [first, other]


def test_what_was_recorded_before_what_it_follows_from_is_taken_over_too() -> None:
    sketch = Sketch({"zero": numbers_to(2), "next": adds(1)}, ["zero.out -> next.in"])
    walker = Walker(sketch)
    _, recorded = walker.from_the_start()
    assert keys(feed(reuse_of(walker.version), recorded[::-1])) == keys(recorded)
