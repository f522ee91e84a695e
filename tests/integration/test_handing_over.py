"""What must not be lost between two runs of one execution, on a real Temporal and a real Postgres."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

from temporalio.service import RPCError

from app.blocks.context import BlockContext
from tests.engine import Engine, Many, limited, make_graph
from tests.integration.test_long_executions import OUTPUT, PROBE, assert_whole, remote_chain, runs_of
from tests.stack import eventually


async def test_the_time_of_an_execution_counts_over_all_its_runs(engine: Engine) -> None:
    async with engine.worker(), asyncio.timeout(60):
        handle = await engine.start(remote_chain(400), limits=limited(events_per_run=30, timeout_seconds=3.0))
        record = await engine.end(handle)
    assert record.error is not None
    assert record.error["code"] == "TIMED_OUT"
    assert_whole(record)
    assert len(await runs_of(engine.client, handle.id)) > 1


async def test_a_timer_that_rang_during_a_pause_is_heard_by_the_next_run(engine: Engine) -> None:
    gate = asyncio.Event()

    async def gated(value: Any, _: BlockContext) -> Any:
        await gate.wait()
        return value

    engine.probe.functions["gated"] = gated
    graph = make_graph(
        {
            "far": (PROBE, {"name": "gated"}),
            "wait": ("countdown_timer_block", {"seconds": 1}),
            "out": (OUTPUT, {"name": "rang"}),
        },
        ["wait.output_message -> out.value"],
    )
    async with engine.worker(), asyncio.timeout(60):
        handle = await engine.start(graph, limits=limited(events_per_run=10))
        await eventually(lambda: bool(engine.probe.calls))
        await handle.execute_update("pause")
        await eventually(lambda: _has_rung(engine, handle.id))
        gate.set()
        await eventually(lambda: _has_handed_over(engine, handle.id))
        await handle.execute_update("resume")
        record = await engine.end(handle)
    assert record.outputs == {"rang": ["timer finished"]}
    assert_whole(record)


async def test_what_a_terminated_shard_has_done_is_known_to_the_next_run(engine: Engine) -> None:
    gate = asyncio.Event()

    async def gated(value: Any, _: BlockContext) -> Any:
        # Of the first 65, which go into a shard; the rest is too little for another.
        if value % 10 == 9 and value < 60:
            await gate.wait()
        return value

    engine.probe.functions["many"] = lambda _value, _context: Many(range(130))
    engine.probe.functions["gated"] = gated
    nodes: dict[str, Any] = {
        "many": (PROBE, {"name": "many"}),
        "each": (PROBE, {"name": "gated"}),
        "out": (OUTPUT, {"name": "y"}),
    }
    graph = make_graph(nodes, ["many.out -> each.value", "each.out -> out.value"])
    async with engine.worker(), asyncio.timeout(100):
        handle = await engine.start(graph, limits=limited(shard_size=65, window=60, events_per_run=20))
        await eventually(lambda: sum(name == "gated" for name, _, _ in engine.probe.calls) > 40)
        await handle.execute_update("pause")
        shards = [shard async for shard in engine.client.list_workflows(f"ParentWorkflowId = '{handle.id}'")]
        done = {
            row["inputs"]["value"][0]
            for row in (await engine.record(handle.id)).of("each")
            if row["status"] == "COMPLETED"
        }
        before = len(await runs_of(engine.client, handle.id))
        for shard in shards:
            with contextlib.suppress(RPCError):
                await engine.client.get_workflow_handle(shard.id).terminate()

        async def has_handed_over() -> bool:
            # Each makes the run a little longer.
            await handle.execute_update("pause")
            return len(await runs_of(engine.client, handle.id)) > before

        await eventually(has_handed_over)
        gate.set()
        await handle.execute_update("resume")
        record = await engine.end(handle)
    assert record.outputs == {"y": list(range(130))}
    assert len(done) > 20
    calls = Counter(value for name, _, value in engine.probe.calls if name == "gated" and value in done)
    assert set(calls.values()) == {1}
    assert_whole(record)


async def _has_rung(engine: Engine, execution_id: str) -> bool:
    history = await engine.client.get_workflow_handle(execution_id).fetch_history()
    return any(event.HasField("timer_fired_event_attributes") for event in history.events)


async def _has_handed_over(engine: Engine, execution_id: str) -> bool:
    return len(await runs_of(engine.client, execution_id)) > 1
