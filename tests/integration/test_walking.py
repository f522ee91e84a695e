"""How the engine walks graphs on a real Temporal and a real Postgres, with workflow code in the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle, WorkflowUpdateFailedError

from app.activities.node_runs import node_execution_id
from app.blocks.context import BlockContext
from app.errors import BlockUnavailable
from tests.engine import (
    Engine,
    Many,
    has_taken_a_completion,
    limited,
    make_graph,
    refuses,
    unavailable_until,
)
from tests.stack import eventually

PROBE = "probe"
ADD = "calculator_block"
OUTPUT = "agent_output_block"


def chain(size: int, block: str = ADD) -> Any:
    """Return a chain of calculators that counts from 0."""
    nodes: dict[str, Any] = {"n0": (block, {"operation": "Add", "a": 0, "b": 1})}
    nodes |= {f"n{k}": (block, {"operation": "Add", "b": 1}) for k in range(1, size)}
    nodes["out"] = (OUTPUT, {"name": "sum"})
    links = [f"n{k}.result -> n{k + 1}.a" for k in range(size - 1)]
    return make_graph(nodes, [*links, f"n{size - 1}.result -> out.value"])


async def test_a_pure_execution_is_one_workflow_task(engine: Engine) -> None:
    async with engine.worker():
        handle = await engine.start(chain(20))
        record = await engine.end(handle)
    assert record.outputs == {"sum": [20.0]}
    assert Counter(row["status"] for row in record.nodes) == {"COMPLETED": 21}
    history = await handle.fetch_history()
    tasks = [event for event in history.events if event.HasField("workflow_task_completed_event_attributes")]
    assert len(tasks) == 1


async def test_events_are_numbered_without_a_hole(engine: Engine) -> None:
    graph = make_graph(
        {"many": (PROBE, {"name": "many"}), "each": (PROBE, {}), "out": (OUTPUT, {"name": "y"})},
        ["many.out -> each.value", "each.out -> out.value"],
    )
    engine.probe.functions["many"] = lambda _value, _context: Many(range(60))
    async with engine.worker():
        record = await engine.run(graph)
    assert record.outputs == {"y": list(range(60))}
    assert [seq for seq, _ in record.events] == list(range(1, len(record.events) + 1))
    assert record.events[0][1] == "execution_started"
    assert record.events[-1][1] == "execution_completed"


async def test_a_transient_failure_is_tried_again_and_a_permanent_one_is_not(engine: Engine) -> None:
    engine.probe.functions |= {"flaky": unavailable_until(3), "refuses": refuses}
    graph = make_graph(
        {
            "flaky": (PROBE, {"name": "flaky", "value": 1}),
            "refuses": (PROBE, {"name": "refuses", "value": 2}),
            "handled": (OUTPUT, {"name": "error"}),
        },
        ["refuses.error -> handled.value"],
    )
    async with engine.worker():
        record = await engine.run(graph)
    assert record.status == "COMPLETED"
    assert record.outputs == {"error": ["2 is refused"]}
    assert [call[:2] for call in engine.probe.calls if call[0] == "flaky"] == [
        ("flaky", 1),
        ("flaky", 2),
        ("flaky", 3),
    ]
    assert [call[:2] for call in engine.probe.calls if call[0] == "refuses"] == [("refuses", 1)]
    assert record.retries == 2
    assert record.of("flaky")[0]["attempt"] == 3


async def test_an_unhandled_failure_fails_the_execution_after_the_other_branches(engine: Engine) -> None:
    engine.probe.functions["refuses"] = refuses
    graph = make_graph(
        {
            "bad": (PROBE, {"name": "refuses", "value": "x"}),
            "after": (PROBE, {}),
            "good": (PROBE, {"value": 7}),
            "out": (OUTPUT, {"name": "y"}),
        },
        ["bad.out -> after.value", "good.out -> out.value"],
    )
    async with engine.worker():
        record = await engine.run(graph)
    assert record.status == "FAILED"
    assert record.error == {"node_id": "bad", "code": "BLOCK_FAILED", "message": "x is refused"}
    assert record.outputs == {"y": [7]}
    assert record.report is not None
    assert record.report["skipped"] == ["after"]


async def test_a_node_overrides_the_retries_of_its_block(engine: Engine) -> None:
    engine.probe.functions["flaky"] = unavailable_until(9)
    metadata = {"retry": {"max_attempts": 1}}
    graph = make_graph({"n": (PROBE, {"name": "flaky", "metadata": metadata})}, [])
    async with engine.worker():
        record = await engine.run(graph)
    assert record.status == "FAILED"
    assert len(engine.probe.calls) == 1


async def test_a_block_that_overruns_its_time_fails(engine: Engine) -> None:
    engine.probe.functions["slow"] = lambda _value, _context: asyncio.sleep(600)
    metadata = {"timeout_seconds": 0.3, "retry": {"max_attempts": 1}}
    graph = make_graph({"n": (PROBE, {"name": "slow", "metadata": metadata})}, [])
    async with engine.worker():
        record = await engine.run(graph)
    assert record.error is not None
    assert record.error["code"] == "TIMED_OUT"


async def test_a_loop_without_an_end_hits_the_cap(engine: Engine) -> None:
    graph = make_graph(
        {"start": ("store_value_block", {"input": 1}), "spin": ("store_value_block", {})},
        ["start.output => spin.input", "spin.output -> spin.input"],
    )
    async with engine.worker():
        record = await engine.run(graph, limits=limited(max_node_executions=5_000))
    assert record.status == "FAILED"
    assert record.error is not None
    assert record.error["code"] == "LIMIT_EXCEEDED"


async def test_a_large_value_travels_by_reference_and_arrives_whole(engine: Engine) -> None:
    text = "0123456789" * 100_000
    engine.probe.functions |= {"make": lambda _value, _context: text, "measure": lambda value, _: len(value)}
    graph = make_graph(
        {
            "make": (PROBE, {"name": "make"}),
            "pass": ("store_value_block", {}),
            "measure": (PROBE, {"name": "measure"}),
            "out": (OUTPUT, {"name": "length"}),
        },
        ["make.out -> pass.input", "pass.output -> measure.value", "measure.out -> out.value"],
    )
    async with engine.worker():
        handle = await engine.start(graph)
        record = await engine.end(handle)
    assert record.outputs == {"length": [1_000_000]}
    history = await handle.fetch_history()
    assert sum(event.ByteSize() for event in history.events) < 20_000


async def test_a_timer_waits_durably_and_repeats(engine: Engine) -> None:
    graph = make_graph(
        {
            "wait": ("countdown_timer_block", {"input_message": "ding", "seconds": 1, "repeat": 2}),
            "out": (OUTPUT, {"name": "y"}),
        },
        ["wait.output_message -> out.value"],
    )
    async with engine.worker():
        handle = await engine.start(graph)
        record = await engine.end(handle)
    assert record.outputs == {"y": ["ding", "ding"]}
    history = await handle.fetch_history()
    timers = [event for event in history.events if event.HasField("timer_started_event_attributes")]
    assert len(timers) == 2
    assert "node_waiting" in [type_ for _, type_ in record.events]


async def test_a_pause_holds_and_a_resume_goes_on(engine: Engine) -> None:
    gate = asyncio.Event()

    async def wait(value: Any, _: BlockContext) -> Any:
        await gate.wait()
        return value

    engine.probe.functions["wait"] = wait
    graph = make_graph(
        {"a": (PROBE, {"name": "wait", "value": 1}), "b": (PROBE, {}), "out": (OUTPUT, {"name": "y"})},
        ["a.out -> b.value", "b.out -> out.value"],
    )
    async with engine.worker():
        handle = await engine.start(graph)
        await eventually(lambda: bool(engine.probe.calls))
        await handle.execute_update("pause")
        assert await engine.find_status(handle.id) == "PAUSED"
        gate.set()
        await eventually(lambda: has_taken_a_completion(handle))
        scheduled = await _count_scheduled(handle)
        assert scheduled == len(engine.probe.calls) == 1
        await handle.execute_update("resume")
        record = await engine.end(handle)
    assert record.outputs == {"y": [1]}
    types = [type_ for _, type_ in record.events]
    assert types.index("execution_paused") < types.index("execution_resumed")


async def _count_scheduled(handle: WorkflowHandle[Any, Any]) -> int:
    history = await handle.fetch_history()
    return sum(event.HasField("activity_task_scheduled_event_attributes") for event in history.events)


async def test_an_ended_execution_cannot_be_paused(engine: Engine) -> None:
    async with engine.worker():
        handle = await engine.start(chain(1))
        await engine.end(handle)
        with pytest.raises(Exception, match=r"already completed|not found") as caught:
            await handle.execute_update("pause")
    assert not isinstance(caught.value, WorkflowUpdateFailedError)


async def test_a_stop_cancels_a_running_block_and_records_it(engine: Engine) -> None:
    ended = asyncio.Event()

    async def wait(_value: Any, _: BlockContext) -> Any:
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    engine.probe.functions["wait"] = wait
    graph = make_graph({"a": (PROBE, {"name": "wait"}), "b": (PROBE, {})}, ["a.out -> b.value"])
    async with engine.worker():
        handle = await engine.start(graph)
        await eventually(lambda: bool(engine.probe.calls))
        await handle.cancel()
        record = await asyncio.wait_for(engine.end(handle), 60)
        await asyncio.wait_for(ended.wait(), 60)
    assert record.status == "CANCELLED"
    assert {row["node_id"]: row["status"] for row in record.nodes} in ({"a": "CANCELLED"}, {})
    assert record.events[-1][1] == "execution_cancelled"


async def test_a_graph_of_another_owner_is_not_executed(engine: Engine) -> None:
    async with engine.worker():
        record = await engine.run(chain(1), user="intruder")
    assert record.status == "FAILED"
    assert record.error is not None
    assert record.error["code"] == "NOT_FOUND"
    assert record.nodes == []


async def test_outputs_of_a_graph_without_output_nodes_come_from_its_leaves(engine: Engine) -> None:
    graph = make_graph({"a": (PROBE, {"value": 1}), "b": (PROBE, {"value": 2})}, [])
    async with engine.worker():
        record = await engine.run(graph)
    assert record.outputs == {"a.out": [1], "b.out": [2]}


async def test_at_most_once_is_not_repeated_when_its_outcome_is_unknown(engine: Engine) -> None:
    async def hang(_value: Any, _: BlockContext) -> Any:
        await asyncio.sleep(600)

    engine.probe.functions["hang"] = hang
    graph = make_graph({"a": (PROBE, {"name": "hang", "metadata": {"delivery": "at_most_once"}})}, [])
    async with engine.worker():
        handle = await engine.start(graph)
        await eventually(lambda: bool(engine.probe.calls))
    async with engine.worker():
        record = await engine.end(handle)
    assert len(engine.probe.calls) == 1
    assert record.error is not None
    assert record.error["code"] == "OUTCOME_UNKNOWN"


async def test_a_completion_that_was_recorded_is_never_run_again(engine: Engine) -> None:
    async def record_and_get_lost(_: Any, context: BlockContext) -> Any:
        """Leave what a worker leaves that dies between its record and its answer to Temporal."""
        await engine.pool.execute(
            "INSERT INTO node_executions "
            "(id, execution_id, node, node_id, block_id, n, status, attempt, cost, seq, inputs, outputs) "
            "VALUES ($1, $2, 0, 'a', 'probe', 1, 'COMPLETED', 1, 0, 2, '{}', $3)",
            node_execution_id(context.execution_id, 0, 1),
            context.execution_id,
            [["out", [42]]],
        )
        raise BlockUnavailable("The answer got lost")

    engine.probe.functions["lost"] = record_and_get_lost
    graph = make_graph(
        {"a": (PROBE, {"name": "lost"}), "out": (OUTPUT, {"name": "y"})}, ["a.out -> out.value"]
    )
    async with engine.worker():
        record = await engine.run(graph)
    assert record.status == "COMPLETED"
    assert record.outputs == {"y": [42]}
    assert len(engine.probe.calls) == 1


async def test_a_stop_that_comes_while_the_end_is_written_changes_nothing(engine: Engine) -> None:
    async with engine.pool.acquire() as holder, _ends_wait_for(holder), engine.worker():
        handle = await engine.start(chain(3), task_timeout=timedelta(seconds=2))
        await eventually(lambda: _waits_for_the_lock(engine))
        await handle.cancel()
        await eventually(lambda: _has_heard_of_the_stop(handle))
        await holder.execute("SELECT pg_advisory_unlock($1)", END_LOCK)
        record = await engine.end(handle)
        description = await handle.describe()
    assert record.status == "COMPLETED"
    assert description.status is WorkflowExecutionStatus.COMPLETED


END_LOCK = 4_711


@contextlib.asynccontextmanager
async def _ends_wait_for(holder: Any) -> AsyncIterator[None]:
    """Have the end of every execution wait until a lock is given back."""
    await holder.execute(
        f"""
        CREATE FUNCTION wait_at_the_end() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock({END_LOCK}); RETURN NEW; END $$;
        CREATE TRIGGER wait_at_the_end BEFORE UPDATE ON executions FOR EACH ROW
        WHEN (NEW.ended_at IS NOT NULL) EXECUTE FUNCTION wait_at_the_end();
        SELECT pg_advisory_lock({END_LOCK});
        """
    )
    try:
        yield
    finally:
        await holder.execute("DROP FUNCTION wait_at_the_end CASCADE; SELECT pg_advisory_unlock_all()")


async def _waits_for_the_lock(engine: Engine) -> bool:
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted"
    return bool(await engine.pool.fetchval(query, END_LOCK))


async def _has_heard_of_the_stop(handle: WorkflowHandle[Any, Any]) -> bool:
    asked = False
    for event in (await handle.fetch_history()).events:
        asked = asked or event.HasField("workflow_execution_cancel_requested_event_attributes")
        if asked and event.HasField("workflow_task_completed_event_attributes"):
            return True
    return False
