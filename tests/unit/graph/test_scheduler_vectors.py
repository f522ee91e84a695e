"""The worked examples that fix how a graph executes, each with its exact sequence of node executions."""

from __future__ import annotations

from typing import Any

import pytest

from app.graph.scheduler import Scheduler
from tests.unit.graph.walking import Behaviour, Fails, Sketch, walk


def gives(*values: Any) -> Behaviour:
    """Return a behaviour that emits these values on `out`."""
    return lambda _: [("out", value) for value in values]


def adds(data: dict[str, Any]) -> list[tuple[str, Any]]:
    return [("out", data["a"] + data["b"])]


def passes(data: dict[str, Any]) -> list[tuple[str, Any]]:
    return [("out", data["in"])]


def ends(_: dict[str, Any]) -> list[tuple[str, Any]]:
    return []


def test_example_a_calculator() -> None:
    sketch = Sketch(
        {"input": gives(8), "calculator": adds, "output": ends},
        ["input.out => calculator.a", "calculator.out -> output.value"],
        constants={"calculator": {"b": 34}},
        inputs=frozenset({"input"}),
    )
    result = walk(sketch)
    assert result.trace == [
        ("input", 1, {}),
        ("calculator", 1, {"a": 8, "b": 34}),
        ("output", 1, {"value": 42}),
    ]


def test_example_a_without_input_ends_after_one_node_execution() -> None:
    sketch = Sketch(
        {"input": gives(), "calculator": adds, "output": ends},
        ["input.out => calculator.a", "calculator.out -> output.value"],
        inputs=frozenset({"input"}),
    )
    result = walk(sketch)
    assert result.order == ["input"]
    assert result.scheduler.is_finished
    assert result.unreached == ["calculator", "output"]


def test_example_b_a_linked_pin_waits_although_it_has_a_default() -> None:
    sketch = Sketch(
        {
            "store1": gives({"k1": "v1", "k2": "v2"}),
            "store2": gives("k2"),
            "find": lambda data: [("out", data["input"][data["key"]])],
        },
        ["store1.out -> find.input", "store2.out -> find.key"],
        constants={"find": {"key": "", "input": {}}},
    )
    result = walk(sketch)
    assert result.order == ["store1", "store2", "find"]
    assert result.of("find") == [{"input": {"k1": "v1", "k2": "v2"}, "key": "k2"}]


@pytest.mark.parametrize("is_static_first", [False, True])
def test_example_c_a_static_value_is_filled_in(is_static_first: bool) -> None:
    behaviours: dict[str, Behaviour] = {
        "a1": gives(4),
        "a2": gives(4),
        "a3": gives(4),
        "b1": gives(5),
        "b2": passes,
        "add": adds,
    }
    if is_static_first:
        behaviours = {name: behaviours[name] for name in ("b1", "b2", "a1", "a2", "a3", "add")}
    links = ["b1.out -> b2.in", "b2.out => add.b", *(f"a{k}.out -> add.a" for k in (1, 2, 3))]
    result = walk(Sketch(behaviours, links))
    assert len(result.trace) == 8
    assert result.of("add") == [{"a": 4, "b": 5}] * 3
    assert result.starved == {}


def test_example_d_a_loop_with_an_accumulator() -> None:
    urls = ["u1", "u2", "u3"]

    def condition(data: dict[str, Any]) -> list[tuple[str, Any]]:
        return [("yes", data["yes_value"])] if data["value1"] > data["value2"] else [("no", None)]

    sketch = Sketch(
        {
            "generate": lambda _: [("generated_list", urls), *(("list_item", url) for url in urls)],
            "header": gives(["header"]),
            "count": lambda data: [("out", len(data["in"]))],
            "store": passes,
            "transcribe": lambda data: [("out", "t" + data["in"][1:])],
            "add": lambda data: [("updated", [*data["list"], data["entry"]])],
            "count_list": lambda data: [("out", len(data["in"]))],
            "condition": condition,
            "output": ends,
        },
        [
            "generate.generated_list -> count.in",
            "count.out -> store.in",
            "store.out => condition.value2",
            "generate.list_item -> transcribe.in",
            "transcribe.out -> add.entry",
            "header.out -> add.list",
            "add.updated -> add.list",
            "add.updated -> condition.yes_value",
            "add.updated -> count_list.in",
            "count_list.out -> condition.value1",
            "condition.yes -> output.value",
        ],
    )
    result = walk(sketch)
    assert [data["entry"] for data in result.of("add")] == ["t1", "t2", "t3"]
    assert result.of("output") == [{"value": ["header", "t1", "t2", "t3"]}]
    assert result.starved == {"add": 1}


def test_example_e_a_static_value_emitted_again_begins_a_firing() -> None:
    sketch = Sketch(
        {
            "x1": gives("x1"),
            "y1": gives("y1"),
            "y2": gives("y2"),
            "x2": gives("x2"),
            "y3": gives("y3"),
            "y4": gives("y4"),
            "n": ends,
        },
        [*(f"x{k}.out => n.x" for k in (1, 2)), *(f"y{k}.out -> n.y" for k in (1, 2, 3, 4))],
    )
    result = walk(sketch)
    assert result.of("n") == [
        {"x": "x1", "y": "y1"},
        {"x": "x1", "y": "y2"},
        {"x": "x2", "y": "y3"},
        {"x": "x2", "y": "y4"},
    ]


def test_example_f_a_retry_loop_that_feeds_itself_hits_the_cap() -> None:
    def model(_: dict[str, Any]) -> list[tuple[str, Any]]:
        raise Fails

    sketch = Sketch(
        {
            "zero": gives(0),
            "one": gives(1),
            "prompt": gives("p"),
            "model": model,
            "store": lambda data: [("out", data["data"])],
            "add": adds,
            "condition": lambda data: [("yes", "p")] if data["value1"] < 3 else [("no", data["value1"])],
            "output": ends,
        },
        [
            "zero.out -> add.a",
            "one.out => store.data",
            "prompt.out -> model.prompt",
            "model.error -> store.input",
            "store.out => add.b",
            "add.out -> condition.value1",
            "add.out -> add.a",
            "condition.yes -> model.prompt",
            "condition.no -> output.value",
        ],
    )
    result = walk(sketch, limit=60)
    assert result.scheduler.is_exhausted
    assert result.scheduler.is_finished
    assert [data["value"] for data in result.of("output")][:3] == [3, 4, 5]
    assert len(result.trace) <= 60


def test_two_links_into_one_pin_need_one_value() -> None:
    sketch = Sketch({"a": gives(1), "b": gives(), "c": ends}, ["a.out -> c.in", "b.out -> c.in"])
    assert walk(sketch).of("c") == [{"in": 1}]


def test_a_diamond_joins_once_per_pairing() -> None:
    sketch = Sketch(
        {"a": gives(1, 2), "left": passes, "right": passes, "join": adds},
        ["a.out -> left.in", "a.out -> right.in", "left.out -> join.a", "right.out -> join.b"],
    )
    assert walk(sketch).of("join") == [{"a": 1, "b": 1}, {"a": 2, "b": 2}]


def test_three_values_on_one_pin_and_one_on_the_other_leave_two_starved() -> None:
    sketch = Sketch({"a": gives(1, 2, 3), "b": gives(9), "c": adds}, ["a.out -> c.a", "b.out -> c.b"])
    result = walk(sketch)
    assert result.of("c") == [{"a": 1, "b": 9}]
    assert result.starved == {"c": 2}


def test_a_static_value_that_comes_last_releases_all_that_wait() -> None:
    sketch = Sketch(
        {"a": gives(1, 2, 3), "b": gives(9), "late": passes, "c": adds},
        ["a.out -> c.a", "b.out -> late.in", "late.out => c.b"],
    )
    assert walk(sketch).of("c") == [{"a": 1, "b": 9}, {"a": 2, "b": 9}, {"a": 3, "b": 9}]


def test_a_generator_fires_its_successor_in_order_whatever_order_they_end_in() -> None:
    _, plan = Sketch(
        {"a": gives(0, 1, 2), "b": passes, "c": ends}, ["a.out -> b.in", "b.out -> c.in"]
    ).compile()
    scheduler = Scheduler(plan, max_node_executions=100)
    scheduler.start()
    generator = scheduler.take_remote()
    assert generator is not None
    scheduler.settle(generator.node, generator.n, [[[0, [value]]] for value in range(3)])
    firings = [scheduler.take_remote() for _ in range(3)]
    for firing in reversed(firings):
        assert firing is not None
        scheduler.settle(firing.node, firing.n, [[[0, firing.inputs[0]]]])
    last = [scheduler.take_remote() for _ in range(3)]
    assert [firing and firing.inputs for firing in last] == [{0: [0]}, {0: [1]}, {0: [2]}]


def test_what_is_emitted_on_the_way_goes_out_while_the_node_runs_on() -> None:
    _, plan = Sketch({"a": ends, "b": ends}, ["a.out -> b.in"]).compile()
    scheduler = Scheduler(plan, max_node_executions=100)
    scheduler.start()
    firing = scheduler.take_remote()
    assert firing is not None
    scheduler.emit(firing.node, firing.n, [[[0, ["early"]]]])
    follower = scheduler.take_remote()
    assert follower is not None
    assert follower.inputs == {0: ["early"]}
    assert not scheduler.is_finished


def test_dynamic_pins_each_wait_and_fold_together() -> None:
    sketch = Sketch(
        {"a": gives(1), "b": gives(2), "c": ends},
        ["a.out -> c.values_#_a", "b.out -> c.values_#_b", "a.out -> c.list_$_0", "b.out -> c.list_$_1"],
    )
    (data,) = walk(sketch).of("c")
    assert data["values"] == {"a": 1, "b": 2}
    assert data["list"] == [1, 2]


def test_a_source_selector_sends_the_part_and_nothing_when_there_is_none() -> None:
    sketch = Sketch({"a": gives({"name": "n"}, {"other": 1}), "b": ends}, ["a.out_#_name -> b.in"])
    assert walk(sketch).of("b") == [{"in": "n"}]


def test_a_null_is_delivered_to_an_optional_pin_and_is_no_value_for_a_required_one() -> None:
    links = ["a.out -> b.in"]
    assert walk(Sketch({"a": gives(None), "b": ends}, links)).of("b") == [{"in": None}]
    result = walk(Sketch({"a": gives(None), "b": ends}, links, required={"b": ["in"]}))
    assert result.of("b") == []
    assert result.starved == {"b": 1}


def fails_after(*emitted: tuple[str, Any]) -> Behaviour:
    def behaviour(_: dict[str, Any]) -> list[tuple[str, Any]]:
        raise Fails(*emitted)

    return behaviour


def test_a_linked_error_pin_handles_the_failure_and_earlier_outputs_stay() -> None:
    sketch = Sketch(
        {"a": fails_after(("out", 1)), "b": ends, "c": ends}, ["a.out -> b.in", "a.error -> c.in"]
    )
    result = walk(sketch)
    assert result.of("b") == [{"in": 1}]
    assert result.of("c") == [{"in": "it failed"}]
    assert result.scheduler.failure is None


def test_an_unhandled_failure_is_kept_and_other_branches_run_to_their_end() -> None:
    sketch = Sketch(
        {"a": fails_after(), "b": gives(1), "c": passes, "d": ends}, ["a.out -> d.in", "b.out -> c.in"]
    )
    result = walk(sketch)
    assert result.order == ["a", "b", "c"]
    failure = result.scheduler.failure
    assert failure is not None
    assert (failure.node, failure.code, failure.message) == (0, "BLOCK_FAILED", "it failed")
    assert result.unreached == ["d"]


def test_a_loop_ends_by_its_condition() -> None:
    sketch = Sketch(
        {
            "start": gives(0),
            "add": lambda data: [("out", data["in"] + 1)],
            "check": lambda data: [("again" if data["in"] < 5 else "done", data["in"])],
            "output": ends,
        },
        [
            "start.out -> add.in",
            "add.out -> check.in",
            "check.again -> add.in",
            "check.done -> output.value",
        ],
    )
    result = walk(sketch)
    assert result.of("output") == [{"value": 5}]
    assert len(result.of("add")) == 5


def test_a_loop_that_never_ends_hits_the_cap() -> None:
    sketch = Sketch(
        {"start": gives(0), "spin": passes},
        ["start.out -> spin.in", "spin.out -> spin.in"],
        local=frozenset({"start", "spin"}),
    )
    result = walk(sketch, limit=50)
    assert result.scheduler.is_exhausted
    assert result.scheduler.dispatched == 50


def test_links_fan_out_in_the_order_the_graph_lists_them() -> None:
    sketch = Sketch(
        {"a": gives({"k": 1}), "z": ends, "y": ends, "x": ends},
        ["a.out -> y.in", "a.out_#_k -> x.in", "a.out -> z.in"],
    )
    assert walk(sketch).order == ["a", "y", "x", "z"]


def test_an_input_node_fires_at_the_start_even_when_it_is_linked() -> None:
    sketch = Sketch({"a": gives(1), "input": ends}, ["a.out -> input.value"], inputs=frozenset({"input"}))
    assert walk(sketch).of("input") == [{}, {"value": 1}]
