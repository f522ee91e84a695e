"""What would break an execution if it were not bounded or foreseen, on a real Temporal and a real Postgres."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

from app.activities.contracts.execution import WORKFLOW_NAME, ExecutionStart, StoredState
from app.activities.contracts.messages import STEER_SIGNAL
from app.blocks.context import BlockContext
from app.errors import MESSAGE_LIMIT, BlockError
from tests.engine import OWNER, Engine, Many, limited, make_graph
from tests.integration.test_long_executions import OUTPUT, PROBE, STORE, assert_whole, remote_chain, runs_of
from tests.stack import eventually

STEP = "step_through_items_block"


async def test_a_loop_that_feeds_remote_nodes_ends_at_its_cap(engine: Engine) -> None:
    graph = make_graph(
        {"start": (STORE, {"input": 1}), "spin": (STORE, {}), "far": (PROBE, {})},
        ["start.output => spin.input", "spin.output -> spin.input", "spin.output -> far.value"],
    )
    async with engine.worker(), asyncio.timeout(60):
        record = await engine.run(graph, limits=limited(max_node_executions=100))
    assert record.error is not None
    assert record.error["code"] == "LIMIT_EXCEEDED"
    assert_whole(record)


async def test_very_many_calls_with_heavy_inputs_are_carried_by_shards(engine: Engine) -> None:
    parts = 140
    engine.probe.functions["many"] = lambda _value, _context: Many(range(8))
    engine.probe.functions["measure"] = lambda value, _context: len(value)
    nodes: dict[str, Any] = {"many": (PROBE, {"name": "many"})}
    nodes |= {"list": (PROBE, {"name": "list"}), "measure": (PROBE, {"name": "measure"})}
    nodes["out"] = (OUTPUT, {"name": "sizes"})
    engine.probe.functions["list"] = lambda value, _context: {f"k{k}": [value, "x"] for k in range(parts)}
    links = ["many.out -> list.value", "measure.out -> out.value"]
    links += [f"list.out_#_k{k} -> measure.value_#_k{k}" for k in range(parts)]
    async with engine.worker(), asyncio.timeout(60):
        record = await engine.run(make_graph(nodes, links), limits=limited(shard_size=2, window=1))
    assert record.outputs == {"sizes": [parts] * 8}


async def test_many_emissions_over_many_links_stay_small(engine: Engine) -> None:
    keys = 110
    engine.probe.functions["many"] = lambda _value, _context: Many(
        {f"k{k}": "x" * 500 for k in range(keys)} for _ in range(250)
    )
    nodes = {"many": (PROBE, {"name": "many"}), "keep": (STORE, {})}
    links = [f"many.out_#_k{k} -> keep.input_#_k{k}" for k in range(keys)]
    async with engine.worker(), asyncio.timeout(60):
        record = await engine.run(make_graph(nodes, links))
    assert record.status == "COMPLETED"
    assert len(record.of("keep")) == 250


async def test_long_integers_stay_out_of_the_workflow(engine: Engine) -> None:
    graph = make_graph(
        {"items": (STEP, {"items": [10**4_000 + k for k in range(700)]}), "out": (OUTPUT, {"name": "y"})},
        ["items.item -> out.value"],
    )
    async with engine.worker(), asyncio.timeout(60):
        record = await engine.run(graph)
    assert record.status == "COMPLETED"
    assert len(record.outputs["y"]) == 700


async def test_a_pause_reaches_the_shards(engine: Engine) -> None:
    gate = asyncio.Event()

    async def gated(value: Any, _: BlockContext) -> Any:
        if value is not None:
            await gate.wait()
        return value

    engine.probe.functions["many"] = lambda _value, _context: Many(range(200))
    engine.probe.functions["gated"] = gated
    graph = make_graph(
        {
            "many": (PROBE, {"name": "many"}),
            "each": (PROBE, {"name": "gated"}),
            "out": (OUTPUT, {"name": "y"}),
        },
        ["many.out -> each.value", "each.out -> out.value"],
    )
    async with engine.worker():
        handle = await engine.start(graph, limits=limited(shard_size=50, window=5))
        await eventually(lambda: len(engine.probe.calls) >= 11)
        await handle.execute_update("pause")
        gate.set()
        await eventually(lambda: _has_no_shard(engine, handle.id))
        assert len(engine.probe.calls) < 60
        await handle.execute_update("resume")
        record = await engine.end(handle)
    assert record.outputs == {"y": list(range(200))}
    assert len(engine.probe.calls) == 201


async def _has_no_shard(engine: Engine, execution_id: str) -> bool:
    running = f"ParentWorkflowId = '{execution_id}' AND ExecutionStatus = 'Running'"
    return not [shard async for shard in engine.client.list_workflows(running)]


async def test_a_stop_ends_a_run_whose_state_has_not_come(engine: Engine) -> None:
    graph_id, plan_hash = await engine.save(remote_chain(2))
    start = ExecutionStart(
        user_id=OWNER,
        graph_id=graph_id,
        graph_version=1,
        graph_name="test",
        plan_hash=plan_hash,
        inputs=[{}],
        trigger="api",
        created_at=datetime.now(UTC).isoformat(),
        state=StoredState(["0" * 64, 10], 1),
    )
    handle = await engine.client.start_workflow(
        WORKFLOW_NAME, start, id=str(uuid.uuid4()), task_queue=engine.task_queue, result_type=int
    )
    # It waits until it is known where the execution stands, and must not wait longer than the execution.
    await handle.signal(STEER_SIGNAL, True)
    await handle.cancel()
    async with engine.worker(), asyncio.timeout(60):
        record = await engine.end(handle)
    assert record.status == "CANCELLED"


async def test_a_timer_that_never_rings_holds_nothing_up(engine: Engine) -> None:
    graph = make_graph({"wait": ("countdown_timer_block", {"seconds": 1, "repeat": 0})}, [])
    async with engine.worker(), asyncio.timeout(60):
        record = await engine.run(graph)
    assert [row["status"] for row in record.of("wait")] == ["COMPLETED"]


async def test_the_message_of_a_failure_is_cut(engine: Engine) -> None:
    def fails(_value: Any, _context: BlockContext) -> Any:
        raise BlockError("x" * 3_000_000)

    engine.probe.functions["fails"] = fails
    graph = make_graph(
        {"far": (PROBE, {"name": "fails"}), "out": (OUTPUT, {"name": "error"})}, ["far.error -> out.value"]
    )
    async with engine.worker(), asyncio.timeout(60):
        record = await engine.run(graph)
    assert record.outputs == {"error": ["x" * MESSAGE_LIMIT]}


async def test_pure_work_does_not_lengthen_a_run_without_end_while_a_call_takes_long(engine: Engine) -> None:
    async def takes_long(value: Any, _: BlockContext) -> Any:
        await asyncio.sleep(4)
        return value

    engine.probe.functions["takes long"] = takes_long
    graph = make_graph(
        {
            "far": (PROBE, {"name": "takes long"}),
            "start": (STORE, {"input": "x" * 3_000}),
            "spin": (STORE, {}),
        },
        ["start.output => spin.input", "spin.output -> spin.input"],
    )
    async with engine.worker():
        handle = await engine.start(graph, limits=limited(max_node_executions=1_200, events_per_run=5))
        record = await engine.end(handle)
    assert len(record.nodes) == 1_200
    assert_whole(record)
    for run_id in await runs_of(engine.client, handle.id):
        run = engine.client.get_workflow_handle(handle.id, run_id=run_id)
        assert len((await run.fetch_history()).events) < 42
