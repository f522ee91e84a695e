"""What is done to an execution reaches those nested in it, and the other way round."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

from temporalio.client import WorkflowHandle

from app.activities.contracts.messages import Release
from app.blocks.context import BlockContext
from app.graph.definition import GraphDefinition
from tests.engine import Engine, Many, has_taken_a_completion, limited, make_graph
from tests.integration.test_long_executions import runs_of
from tests.integration.test_nesting_engine import AGENT, OUTPUT, PROBE, doubling, nested_of, nesting
from tests.stack import eventually


def make_gate(engine: Engine) -> asyncio.Event:
    """Have the probe called `wait` wait until the gate is opened."""
    gate = asyncio.Event()

    async def wait(value: Any, _: BlockContext) -> Any:
        await gate.wait()
        return value

    engine.probe.functions["wait"] = wait
    return gate


async def only_nested(engine: Engine, parent_id: str) -> str:
    """Return the id of the one execution nested in another, once its probe is called."""
    await eventually(lambda: bool(engine.probe.calls))
    [row] = await nested_of(engine, parent_id)
    return str(row["id"])


async def test_a_stop_goes_down_to_what_is_nested(engine: Engine) -> None:
    make_gate(engine)
    lowest, _ = await engine.save(doubling(name="wait"))
    middle, _ = await engine.save(nesting(lowest, "agent.again -> a.value", x=1))
    async with engine.worker():
        handle = await engine.start(nesting(middle, "agent.a -> a.value"))
        await eventually(lambda: bool(engine.probe.calls))
        async with asyncio.timeout(60):
            await handle.cancel()
            record = await engine.end(handle)
            [child] = await nested_of(engine, handle.id)
            [grandchild] = await nested_of(engine, str(child["id"]))
            for nested in (child, grandchild):
                await eventually(partial(_has_status, engine, str(nested["id"]), "CANCELLED"))
    assert record.status == "CANCELLED"
    assert [row["status"] for row in record.nodes] == ["CANCELLED"]


async def _has_status(engine: Engine, execution_id: str, status: str) -> bool:
    return await engine.find_status(execution_id) == status


async def test_a_stopped_nested_execution_fails_its_node(engine: Engine) -> None:
    make_gate(engine)
    graph_id, _ = await engine.save(doubling(name="wait"))
    graph = nesting(graph_id, "agent.once -> a.value", "agent.error -> b.value", x=1)
    async with engine.worker():
        handle = await engine.start(graph)
        await engine.client.get_workflow_handle(await only_nested(engine, handle.id)).cancel()
        record = await engine.end(handle)
    assert record.outputs == {"a": [1], "b": ["The nested execution was stopped."]}
    [agent] = record.of("agent")
    assert agent["error"]["code"] == "NESTED_CANCELLED"


async def test_a_nested_execution_that_is_terminated_fails_its_node(engine: Engine) -> None:
    make_gate(engine)
    graph_id, _ = await engine.save(doubling(name="wait"))
    async with engine.worker():
        handle = await engine.start(nesting(graph_id, "agent.once -> a.value", x=1))
        nested_id = await only_nested(engine, handle.id)
        await engine.client.get_workflow_handle(nested_id).terminate(reason="no patience")
        record = await engine.end(handle)
    assert record.error is not None
    assert record.error["code"] == "NESTED_FAILED"
    assert "Terminated from outside: no patience" in record.error["message"]
    assert record.outputs == {"a": [1]}
    assert await engine.find_status(nested_id) == "FAILED"


async def test_what_is_nested_is_stopped_when_the_time_of_its_parent_is_up(engine: Engine) -> None:
    make_gate(engine)
    graph_id, _ = await engine.save(doubling(name="wait"))
    async with engine.worker():
        limits = limited(timeout_seconds=1.0)
        handle = await engine.start(nesting(graph_id, "agent.again -> a.value", x=1), limits=limits)
        nested_id = await only_nested(engine, handle.id)
        record = await engine.end(handle)
        nested = await engine.end(engine.client.get_workflow_handle(nested_id, result_type=int))
    assert record.error is not None
    assert (record.status, record.error["code"]) == ("FAILED", "TIMED_OUT")
    assert nested.status in {"CANCELLED", "FAILED"}


async def test_a_pause_goes_down_and_so_does_a_resume(engine: Engine) -> None:
    gate = make_gate(engine)
    inner = make_graph(
        {"first": (PROBE, {"name": "wait", "value": 1}), "then": (PROBE, {}), "out": (OUTPUT, {"name": "y"})},
        ["first.out -> then.value", "then.out -> out.value"],
    )
    graph_id, _ = await engine.save(inner)
    async with engine.worker():
        handle = await engine.start(nesting(graph_id, "agent.y -> a.value"))
        nested_id = await only_nested(engine, handle.id)
        nested = engine.client.get_workflow_handle(nested_id)
        await handle.execute_update("pause")
        await eventually(lambda: _has_status(engine, nested_id, "PAUSED"))
        gate.set()
        await eventually(lambda: has_taken_a_completion(nested))
        assert len(engine.probe.calls) == 1

        await handle.execute_update("resume")
        record = await engine.end(handle)
    assert record.outputs == {"a": [1]}
    assert (await engine.record(nested_id)).outputs == {"y": [1]}


async def test_a_release_that_comes_too_early_changes_nothing(engine: Engine) -> None:
    gate = make_gate(engine)
    graph_id, _ = await engine.save(doubling(name="wait"))
    async with engine.worker():
        handle = await engine.start(nesting(graph_id, "agent.again -> a.value", x=1))
        await only_nested(engine, handle.id)
        for _ in range(3):
            await handle.signal("release", Release(0, 1))
            await eventually(lambda: _has_taken_its_signals(handle))
        gate.set()
        record = await engine.end(handle)
    assert record.outputs == {"a": [1]}
    assert [row["status"] for row in record.of("agent")] == ["COMPLETED"]


async def _has_taken_its_signals(handle: WorkflowHandle[Any, Any]) -> bool:
    signals = tasks = -1
    for event in (await handle.fetch_history()).events:
        if event.HasField("workflow_execution_signaled_event_attributes"):
            signals = event.event_id
        if event.HasField("workflow_task_completed_event_attributes"):
            tasks = event.event_id
    return -1 < signals < tasks


async def test_many_nested_executions_take_turns(engine: Engine) -> None:
    gate = make_gate(engine)
    engine.probe.functions["many"] = lambda _value, _context: Many(range(14))
    graph_id, _ = await engine.save(doubling(name="wait"))
    graph = make_graph(
        {
            "many": (PROBE, {"name": "many"}),
            "agent": (AGENT, {"graph_id": graph_id}),
            "out": (OUTPUT, {"name": "y"}),
        },
        ["many.out -> agent.x", "agent.once -> out.value"],
    )
    async with engine.worker():
        handle = await engine.start(graph, limits=limited(events_per_run=60, nested_at_once=5))

        async def statuses() -> Counter[str]:
            return Counter(row["status"] for row in await nested_of(engine, handle.id))

        async def is_full() -> bool:
            return await statuses() == {"RUNNING": 5, "QUEUED": 9}

        await eventually(is_full)
        gate.set()
        record = await engine.end(handle)
    assert record.outputs == {"y": list(range(14))}
    assert await statuses() == {"COMPLETED": 14}
    assert len(await runs_of(engine.client, handle.id)) > 1


async def test_twenty_nested_executions_at_once_keep_their_order(engine: Engine) -> None:
    engine.probe.functions["many"] = lambda _value, _context: Many(range(20))

    async def later_first(value: Any, _: BlockContext) -> Any:
        await asyncio.sleep(0.02 * (20 - value))
        return value

    engine.probe.functions["later first"] = later_first
    graph_id, _ = await engine.save(doubling(name="later first"))
    graph = make_graph(
        {
            "many": (PROBE, {"name": "many"}),
            "agent": (AGENT, {"graph_id": graph_id}),
            "out": (OUTPUT, {"name": "y"}),
        },
        ["many.out -> agent.x", "agent.again -> out.value"],
    )
    async with engine.worker():
        handle = await engine.start(graph)
        record = await engine.end(handle)
    assert record.status == "COMPLETED"
    assert record.outputs == {"y": list(range(20))}
    nested = await nested_of(engine, handle.id)
    assert Counter(row["status"] for row in nested) == {"COMPLETED": 20}
    assert [seq for seq, _ in record.events] == list(range(1, len(record.events) + 1))


def nesting_beside_a_chain(graph_id: str, size: int) -> GraphDefinition:
    """Return a graph that executes another one while it makes many calls, so that runs hand over meanwhile."""
    nodes: dict[str, Any] = {f"n{k}": (PROBE, {}) for k in range(size)}
    nodes |= {"agent": (AGENT, {"graph_id": graph_id, "inputs": {"x": 1}}), "out": (OUTPUT, {"name": "y"})}
    links = [f"n{k}.out -> n{k + 1}.value" for k in range(size - 1)]
    return make_graph(nodes, [*links, "agent.again -> out.value"])


async def test_the_end_of_what_is_nested_is_heard_by_a_later_run(engine: Engine) -> None:
    gate = make_gate(engine)
    graph_id, _ = await engine.save(doubling(name="wait"))
    async with engine.worker():
        handle = await engine.start(nesting_beside_a_chain(graph_id, 30), limits=limited(events_per_run=60))
        await eventually(lambda: len(engine.probe.calls) > 30)
        assert len(await runs_of(engine.client, handle.id)) > 1
        gate.set()
        record = await engine.end(handle)
    assert record.outputs["y"] == [1]


async def test_a_stop_of_a_later_run_goes_down_too(engine: Engine) -> None:
    make_gate(engine)
    graph_id, _ = await engine.save(doubling(name="wait"))
    async with engine.worker():
        handle = await engine.start(nesting_beside_a_chain(graph_id, 30), limits=limited(events_per_run=60))
        await eventually(lambda: len(engine.probe.calls) > 30)
        [nested] = await nested_of(engine, handle.id)
        async with asyncio.timeout(60):
            await handle.cancel()
            record = await engine.end(handle)
            await eventually(partial(_has_status, engine, str(nested["id"]), "CANCELLED"))
    assert record.status == "CANCELLED"
