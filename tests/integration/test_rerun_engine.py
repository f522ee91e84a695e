"""Reruns on a real Temporal and a real Postgres: what is taken over, what is called again."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from temporalio.client import WorkflowHandle

from app.activities.contracts.execution import WORKFLOW_NAME, Rerun
from app.activities.starts import read_start
from app.graph.definition import GraphDefinition
from tests.engine import Engine, Many, make_graph, refuses

PROBE = "probe"
OUTPUT = "agent_output_block"
INPUT = "agent_input_block"
STORE = "store_value_block"


def chain(size: int = 5) -> GraphDefinition:
    """Return a chain of probes, each named after its place."""
    nodes: dict[str, Any] = {f"n{k}": (PROBE, {"name": f"n{k}", "value": "x"}) for k in range(1, size + 1)}
    nodes["out"] = (OUTPUT, {"name": "y"})
    links = [f"n{k}.out -> n{k + 1}.value" for k in range(1, size)]
    return make_graph(nodes, [*links, f"n{size}.out -> out.value"])


async def rerun(
    engine: Engine,
    original: str,
    *,
    nodes: list[int] | None = None,
    graph: GraphDefinition | None = None,
    **changes: Any,
) -> WorkflowHandle[Any, int]:
    """Run an execution again."""
    start = await read_start(engine.client, original)
    if graph is not None:
        graph_id, plan_hash = await engine.save(graph, start.user_id)
        changes |= {"graph_id": graph_id, "plan_hash": plan_hash}
    again = replace(
        start,
        trigger="rerun",
        parent_id=original,
        created_at=datetime.now(UTC).isoformat(),
        rerun=Rerun(original, nodes),
        **changes,
    )
    return await engine.client.start_workflow(
        WORKFLOW_NAME, again, id=str(uuid.uuid4()), task_queue=engine.task_queue, result_type=int
    )


def called(engine: Engine) -> Counter[str]:
    """Return how often each probe was called, and forget it."""
    calls = Counter(name for name, _, _ in engine.probe.calls)
    engine.probe.calls.clear()
    return calls


async def test_from_what_failed_only_the_rest_is_called(engine: Engine) -> None:
    engine.probe.functions["n3"] = refuses
    async with engine.worker():
        original = await engine.start(chain())
        first = await engine.end(original)
        assert first.status == "FAILED"
        assert called(engine) == {"n1": 1, "n2": 1, "n3": 1}
        del engine.probe.functions["n3"]

        handle = await rerun(engine, original.id)
        record = await engine.end(handle)

        assert record.status == "COMPLETED"
        assert record.outputs == {"y": ["x"]}
        assert called(engine) == {"n3": 1, "n4": 1, "n5": 1}
        assert [(row["node_id"], row["is_reused"]) for row in record.nodes] == [
            ("n1", True),
            ("n2", True),
            ("n3", False),
            ("n4", False),
            ("n5", False),
            ("out", False),
        ]
        for row, old in zip(record.nodes[:2], first.nodes[:2], strict=True):
            assert {**row, "id": 0, "execution_id": 0, "seq": 0, "is_reused": False} == {
                **old,
                "id": 0,
                "execution_id": 0,
                "seq": 0,
            }
        assert [seq for seq, _ in record.events] == list(range(1, len(record.events) + 1))
        assert [kind for _, kind in record.events[:2]] == ["execution_started", "execution_reused"]
        assert (await engine.record(original.id)) == first


async def test_from_a_node_in_the_middle_that_node_and_all_that_follows_is_called(engine: Engine) -> None:
    async with engine.worker():
        original = await engine.start(chain())
        await engine.end(original)
        called(engine)
        record = await engine.end(await rerun(engine, original.id, nodes=[2]))
    assert record.outputs == {"y": ["x"]}
    assert called(engine) == {"n3": 1, "n4": 1, "n5": 1}


async def test_of_a_generator_only_the_item_that_failed_is_called(engine: Engine) -> None:
    failing = {3}

    def each(value: Any, context: Any) -> Any:
        return refuses(value, context) if value in failing else value * 10

    engine.probe.functions |= {"many": lambda _value, _context: Many(range(600)), "each": each}
    graph = make_graph(
        {
            "many": (PROBE, {"name": "many"}),
            "each": (PROBE, {"name": "each"}),
            "out": (OUTPUT, {"name": "y"}),
        },
        ["many.out -> each.value", "each.out -> out.value"],
    )
    async with engine.worker():
        original = await engine.start(graph)
        assert (await engine.end(original)).status == "FAILED"
        called(engine)
        failing.clear()
        record = await engine.end(await rerun(engine, original.id))
    assert record.status == "COMPLETED"
    assert called(engine) == {"each": 1}
    assert record.outputs == {"y": [number * 10 for number in range(600)]}


async def test_a_rerun_of_a_rerun_takes_over_what_both_have_done(engine: Engine) -> None:
    engine.probe.functions["n2"] = refuses
    async with engine.worker():
        original = await engine.start(chain())
        await engine.end(original)
        del engine.probe.functions["n2"]
        engine.probe.functions["n4"] = refuses
        second = await rerun(engine, original.id)
        assert (await engine.end(second)).status == "FAILED"
        assert called(engine) == {"n1": 1, "n2": 2, "n3": 1, "n4": 1}
        del engine.probe.functions["n4"]
        record = await engine.end(await rerun(engine, second.id))
    assert record.outputs == {"y": ["x"]}
    assert called(engine) == {"n4": 1, "n5": 1}
    assert [row["node_id"] for row in record.nodes] == ["n1", "n2", "n3", "n4", "n5", "out"]


async def test_other_inputs_reach_only_what_they_feed(engine: Engine) -> None:
    graph = make_graph(
        {
            "a": (INPUT, {"name": "a"}),
            "b": (INPUT, {"name": "b"}),
            "with_a": (PROBE, {"name": "with_a"}),
            "with_b": (PROBE, {"name": "with_b"}),
            "out_a": (OUTPUT, {"name": "a"}),
            "out_b": (OUTPUT, {"name": "b"}),
        },
        [
            "a.result => with_a.value",
            "b.result => with_b.value",
            "with_a.out -> out_a.value",
            "with_b.out -> out_b.value",
        ],
    )
    async with engine.worker():
        original = await engine.start(graph, {"a": 1, "b": 2})
        await engine.end(original)
        called(engine)
        record = await engine.end(await rerun(engine, original.id, inputs=[{"a": 1, "b": 3}]))
    assert record.outputs == {"a": [1], "b": [3]}
    assert called(engine) == {"with_b": 1}


async def test_of_another_version_what_has_not_changed_is_taken_over(engine: Engine) -> None:
    async with engine.worker():
        original = await engine.start(chain())
        await engine.end(original)
        called(engine)
        # n1 stands elsewhere in the list, n3 has another constant, n5 is gone and there is a new node.
        changed = make_graph(
            {
                "new": (PROBE, {"name": "new"}),
                "n2": (PROBE, {"name": "n2", "value": "x"}),
                "n1": (PROBE, {"name": "n1", "value": "x", "metadata": {"title": "first"}}),
                "n3": (PROBE, {"name": "renamed", "value": "x"}),
                "n4": (PROBE, {"name": "n4", "value": "x"}),
                "out": (OUTPUT, {"name": "y"}),
            },
            [
                "n1.out -> n2.value",
                "n2.out -> n3.value",
                "n3.out -> n4.value",
                "n2.out -> new.value",
                "n4.out -> out.value",
            ],
        )
        record = await engine.end(await rerun(engine, original.id, graph=changed))
    assert record.outputs == {"y": ["x"]}
    assert called(engine) == {"renamed": 1, "n4": 1, "new": 1}
    assert Counter(row["is_reused"] for row in record.nodes) == {True: 2, False: 4}


async def test_a_loop_goes_on_where_it_failed(engine: Engine) -> None:
    def step(value: Any, context: Any) -> Any:
        if value >= 6:
            return Many()
        if value == broken:
            refuses(value, context)
        return value + 1

    broken: int | None = 4
    engine.probe.functions["step"] = step
    graph = make_graph(
        {"one": (STORE, {"input": 1}), "step": (PROBE, {"name": "step"}), "out": (OUTPUT, {"name": "y"})},
        ["one.output -> step.value", "step.out -> step.value", "step.out -> out.value"],
    )
    async with engine.worker():
        original = await engine.start(graph)
        assert (await engine.end(original)).status == "FAILED"
        assert called(engine) == {"step": 4}
        broken = None
        record = await engine.end(await rerun(engine, original.id))
    assert record.outputs == {"y": [2, 3, 4, 5, 6]}
    assert called(engine) == {"step": 3}


async def test_large_values_are_taken_over_by_reference(engine: Engine) -> None:
    text = "0123456789" * 100_000
    engine.probe.functions |= {
        "make": lambda _value, _context: {"text": text, "small": 1},
        "measure": lambda value, _: len(value),
    }
    graph = make_graph(
        {
            "make": (PROBE, {"name": "make"}),
            "measure": (PROBE, {"name": "measure"}),
            "small": (OUTPUT, {"name": "small"}),
            "out": (OUTPUT, {"name": "length"}),
        },
        ["make.out_#_text -> measure.value", "make.out_#_small -> small.value", "measure.out -> out.value"],
    )
    async with engine.worker():
        original = await engine.start(graph)
        await engine.end(original)
        called(engine)
        record = await engine.end(await rerun(engine, original.id, nodes=[1]))
        assert record.outputs == {"length": [1_000_000], "small": [1]}
        assert called(engine) == {"measure": 1}
    used = await engine.pool.fetch(
        "SELECT sha256 FROM value_uses WHERE execution_id = $1", uuid.UUID(original.id)
    )
    assert used


async def test_a_rerun_of_what_is_deleted_meanwhile_fails_and_calls_nothing(engine: Engine) -> None:
    async with engine.worker():
        original = await engine.start(chain(2))
        await engine.end(original)
        called(engine)
        await engine.pool.execute("UPDATE executions SET deleted_at = now() WHERE id = $1", original.id)
        record = await engine.end(await rerun(engine, original.id, nodes=[1]))
    assert record.status == "FAILED"
    assert record.error == {
        "node_id": None,
        "code": "NOT_FOUND",
        "message": "The execution that was to be run again has been deleted.",
    }
    assert called(engine) == {}


async def test_a_timer_that_has_gone_off_is_not_set_again(engine: Engine) -> None:
    engine.probe.functions["bad"] = refuses
    graph = make_graph(
        {
            "timer": ("countdown_timer_block", {"input_message": "ding", "seconds": 0, "repeat": 3}),
            "each": (PROBE, {"name": "each"}),
            "bad": (PROBE, {"name": "bad"}),
            "out": (OUTPUT, {"name": "y"}),
        },
        ["timer.output_message -> each.value", "each.out -> bad.value", "bad.out -> out.value"],
    )
    async with engine.worker():
        original = await engine.start(graph)
        assert (await engine.end(original)).status == "FAILED"
        assert called(engine) == {"each": 3, "bad": 3}
        del engine.probe.functions["bad"]
        handle = await rerun(engine, original.id)
        record = await engine.end(handle)
        assert called(engine) == {"bad": 3}
    assert record.outputs == {"y": ["ding"] * 3}
    assert [row["is_reused"] for row in record.of("timer") + record.of("each")] == [True] * 4
    history = await handle.fetch_history()
    assert not [event for event in history.events if event.HasField("timer_fired_event_attributes")]


async def test_of_another_users_execution_nothing_is_taken_over(engine: Engine) -> None:
    async with engine.worker():
        original = await engine.start(chain(2), owner="somebody")
        await engine.end(original)
        called(engine)
        graph_id, plan_hash = await engine.save(chain(2))
        stranger = await rerun(
            engine, original.id, nodes=[1], user_id="owner", graph_id=graph_id, plan_hash=plan_hash
        )
        record = await engine.end(stranger)
    assert record.error is not None
    assert record.error["code"] == "NOT_FOUND"
    assert record.nodes == []
    assert called(engine) == {}
