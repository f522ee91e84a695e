"""What must not be lost between two runs of one execution, on a real Temporal and a real Postgres."""

from __future__ import annotations

import asyncio
from typing import Any

from app.blocks.context import BlockContext
from tests.engine import Engine, limited, make_graph
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


async def _has_rung(engine: Engine, execution_id: str) -> bool:
    history = await engine.client.get_workflow_handle(execution_id).fetch_history()
    return any(event.HasField("timer_fired_event_attributes") for event in history.events)


async def _has_handed_over(engine: Engine, execution_id: str) -> bool:
    return len(await runs_of(engine.client, execution_id)) > 1
