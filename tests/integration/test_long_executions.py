"""Executions that outgrow one workflow run, one payload or one window, on a real Temporal and a real Postgres."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from app.blocks.context import BlockContext
from tests.engine import Engine, Many, Record, limited, make_graph
from tests.stack import eventually

PROBE = "probe"
ADD = "calculator_block"
OUTPUT = "agent_output_block"
STORE = "store_value_block"

SHORT = limited(events_per_run=60)


async def runs_of(client: Client, execution_id: str) -> list[str]:
    """Return the ids of the workflow runs of an execution, first to last."""
    runs = []
    run_id: str | None = (await client.get_workflow_handle(execution_id).describe()).run_id
    while run_id:
        handle = client.get_workflow_handle(execution_id, run_id=run_id)
        runs.append(run_id)
        first = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
        run_id = first.continued_execution_run_id or None
    return runs[::-1]


def assert_whole(record: Record) -> None:
    """Check that the log has no hole and no double, and that nothing is left open."""
    assert [seq for seq, _ in record.events] == list(range(1, len(record.events) + 1))
    assert {row["status"] for row in record.nodes} <= {"COMPLETED", "FAILED", "CANCELLED"}
    keys = Counter((row["node_id"], row["n"]) for row in record.nodes)
    assert set(keys.values()) == {1}


def remote_chain(size: int) -> Any:
    """Return a chain of remote nodes that passes a value on."""
    nodes: dict[str, Any] = {"n0": (PROBE, {"value": "v"})}
    nodes |= {f"n{k}": (PROBE, {}) for k in range(1, size)}
    nodes["out"] = (OUTPUT, {"name": "end"})
    links = [f"n{k}.out -> n{k + 1}.value" for k in range(size - 1)]
    return make_graph(nodes, [*links, f"n{size - 1}.out -> out.value"])


def fan(size_of: str = "many") -> Any:
    """Return a remote generator, a remote node for each item, and an output."""
    return make_graph(
        {"many": (PROBE, {"name": size_of}), "each": (PROBE, {}), "out": (OUTPUT, {"name": "y"})},
        ["many.out -> each.value", "each.out -> out.value"],
    )


async def test_a_chain_of_remote_calls_goes_on_over_several_runs(engine: Engine) -> None:
    async with engine.worker():
        handle = await engine.start(remote_chain(40), limits=SHORT)
        record = await engine.end(handle)
    assert record.outputs == {"end": ["v"]}
    assert len(engine.probe.calls) == 40
    assert_whole(record)
    assert len(await runs_of(engine.client, handle.id)) > 2


async def test_a_fan_out_goes_on_over_several_runs_in_its_order(engine: Engine) -> None:
    engine.probe.functions["many"] = lambda _value, _context: Many(range(150))
    async with engine.worker():
        handle = await engine.start(fan(), limits=limited(events_per_run=120, window=10))
        record = await engine.end(handle)
    assert record.outputs == {"y": list(range(150))}
    assert len(engine.probe.calls) == 151
    assert_whole(record)
    assert len(await runs_of(engine.client, handle.id)) > 2


async def test_a_pure_loop_goes_on_over_several_runs_and_ends_at_its_cap(engine: Engine) -> None:
    graph = make_graph(
        {"start": (STORE, {"input": 1}), "spin": (STORE, {})},
        ["start.output => spin.input", "spin.output -> spin.input"],
    )
    async with engine.worker():
        # More than a workflow task takes, however fast the machine is.
        handle = await engine.start(graph, limits=limited(max_node_executions=30_000, events_per_run=12))
        record = await engine.end(handle)
    assert record.error is not None
    assert record.error["code"] == "LIMIT_EXCEEDED"
    assert len(record.nodes) == 30_000
    assert_whole(record)
    assert len(await runs_of(engine.client, handle.id)) > 1


async def test_a_timer_outlives_the_run_that_started_it(engine: Engine) -> None:
    chain = remote_chain(30)
    timer = make_graph(
        {"wait": ("countdown_timer_block", {"seconds": 1, "repeat": 3}), "rang": (OUTPUT, {"name": "rings"})},
        ["wait.output_message -> rang.value"],
    )
    both = type(chain)((*chain.nodes, *timer.nodes), (*chain.links, *timer.links))
    async with engine.worker():
        handle = await engine.start(both, limits=SHORT)
        record = await engine.end(handle)
    assert record.outputs == {"end": ["v"], "rings": ["timer finished"] * 3}
    assert len(record.of("wait")) == 1
    assert_whole(record)
    assert len(await runs_of(engine.client, handle.id)) > 1


async def test_a_pause_outlives_the_run_in_which_it_was_asked_for(engine: Engine) -> None:
    gate = asyncio.Event()

    async def slowly(value: Any, _: BlockContext) -> Any:
        if len(engine.probe.calls) == 12:
            await gate.wait()
        return value

    engine.probe.functions["gate"] = slowly
    graph = make_graph(
        {f"n{k}": (PROBE, {"name": "gate"} | ({"value": 1} if k == 0 else {})) for k in range(40)},
        [f"n{k}.out -> n{k + 1}.value" for k in range(39)],
    )
    async with engine.worker():
        handle = await engine.start(graph, limits=limited(events_per_run=74))
        await eventually(lambda: len(engine.probe.calls) == 12)
        await handle.execute_update("pause")
        before = await runs_of(engine.client, handle.id)
        gate.set()
        await eventually(lambda: _has_more_runs(engine, handle, before))
        # Answered once the new run has begun and knows where it stands.
        await handle.execute_update("pause")
        assert len(engine.probe.calls) == 12
        assert await engine.find_status(handle.id) == "PAUSED"
        await handle.execute_update("resume")
        record = await engine.end(handle)
    assert record.status == "COMPLETED"
    assert len(engine.probe.calls) == 40
    assert_whole(record)


async def test_pauses_and_resumes_reach_an_execution_that_keeps_handing_over(engine: Engine) -> None:
    async with engine.worker():
        handle = await engine.start(remote_chain(60), limits=limited(events_per_run=30))
        for _ in range(5):
            await handle.execute_update("pause")
            await handle.execute_update("resume")
        record = await engine.end(handle)
    assert record.outputs == {"end": ["v"]}
    assert len(engine.probe.calls) == 60
    assert_whole(record)
    types = Counter(kind for _, kind in record.events)
    assert types["execution_paused"] == types["execution_resumed"] == 5
    assert len(await runs_of(engine.client, handle.id)) > 5


async def test_a_call_that_takes_long_does_not_hold_up_the_others(engine: Engine) -> None:
    gate = asyncio.Event()

    async def waits(value: Any, _: BlockContext) -> Any:
        await gate.wait()
        return value

    engine.probe.functions["slow"] = waits
    chain = remote_chain(40)
    slow = make_graph(
        {"slow": (PROBE, {"name": "slow"}), "late": (OUTPUT, {"name": "late"})}, ["slow.out -> late.value"]
    )
    both = type(chain)((*slow.nodes, *chain.nodes), (*slow.links, *chain.links))
    async with engine.worker():
        handle = await engine.start(both, limits=limited(events_per_run=100, patience_seconds=0.5))
        # The slow call cannot move to another run; the chain goes past the length at which a run would be handed over.
        await eventually(lambda: len(engine.probe.calls) == 41)
        gate.set()
        record = await engine.end(handle)
    assert record.outputs == {"end": ["v"], "late": [None]}
    assert_whole(record)


async def test_a_very_large_fan_out_is_carried_by_shards(engine: Engine) -> None:
    engine.probe.functions["many"] = lambda _value, _context: Many(range(210))
    async with engine.worker():
        handle = await engine.start(fan(), limits=limited(shard_size=30, window=20))
        record = await engine.end(handle)
    assert record.outputs == {"y": list(range(210))}
    assert len(engine.probe.calls) == 211
    assert_whole(record)
    history = await handle.fetch_history()
    shards = [e for e in history.events if e.HasField("child_workflow_execution_completed_event_attributes")]
    assert len(shards) > 3
    assert len(history.events) < 900


async def test_shards_give_back_what_they_have_not_started_when_a_run_hands_over(engine: Engine) -> None:
    engine.probe.functions["many"] = lambda _value, _context: Many(range(240))
    async with engine.worker():
        limits = limited(shard_size=40, window=5, events_per_run=70)
        handle = await engine.start(fan(), limits=limits)
        record = await engine.end(handle)
    assert record.outputs == {"y": list(range(240))}
    assert len(engine.probe.calls) == 241
    assert_whole(record)
    assert len(await runs_of(engine.client, handle.id)) > 1


async def test_what_a_terminated_shard_has_done_is_not_done_again(engine: Engine) -> None:
    gate = asyncio.Event()

    async def gated(value: Any, _: BlockContext) -> Any:
        if value is not None and value >= 200:
            await gate.wait()
        return value

    engine.probe.functions["many"] = lambda _value, _context: Many(range(260))
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
        handle = await engine.start(graph, limits=limited(shard_size=65, window=60, heartbeat_seconds=2))
        await eventually(
            lambda: sum(value is not None and value >= 200 for _, _, value in engine.probe.calls) > 20
        )
        done = {
            row["inputs"]["value"][0]
            for row in (await engine.record(handle.id)).of("each")
            if row["status"] == "COMPLETED"
        }
        shards = [shard async for shard in engine.client.list_workflows(f"ParentWorkflowId = '{handle.id}'")]
        terminated = [shard.id for shard in shards if await _terminate(engine, shard.id)]
        gate.set()
        record = await engine.end(handle)
    assert terminated
    assert record.outputs == {"y": list(range(260))}
    assert len(done) > 100
    calls = Counter(value for _, _, value in engine.probe.calls if value in done)
    assert set(calls.values()) == {1}
    assert_whole(record)


async def test_a_generator_of_very_many_items_stays_small_in_the_workflow(engine: Engine) -> None:
    graph = make_graph(
        {
            "items": ("step_through_items_block", {"items": list(range(5_000))}),
            "add": (ADD, {"operation": "Add", "b": 1}),
            "out": (OUTPUT, {"name": "sums"}),
        },
        ["items.item -> add.a", "add.result -> out.value"],
    )
    async with engine.worker():
        handle = await engine.start(graph)
        record = await engine.end(handle)
    assert record.outputs == {"sums": [item + 1.0 for item in range(5_000)]}
    assert_whole(record)


async def test_inputs_too_large_together_for_one_payload_arrive_whole(engine: Engine) -> None:
    count = 700
    text = "x" * 4_000
    engine.probe.functions["measure"] = lambda value, _context: sum(map(len, value.values()))
    nodes: dict[str, Any] = {f"t{k}": (STORE, {"input": text}) for k in range(count)}
    nodes |= {"measure": (PROBE, {"name": "measure"}), "out": (OUTPUT, {"name": "size"})}
    links = [f"t{k}.output -> measure.value_#_k{k}" for k in range(count)]
    async with engine.worker():
        handle = await engine.start(make_graph(nodes, [*links, "measure.out -> out.value"]))
        record = await engine.end(handle)
    assert record.outputs == {"size": [count * 4_000]}


async def test_a_plan_too_large_for_one_payload_is_fetched_in_parts(engine: Engine) -> None:
    names = [f"{k:05}-" + "é" * 300 for k in range(2_500)]
    graph = make_graph(
        {name: (PROBE, {"value": 1}) for name in names[:20]}
        | {name: (STORE, {"input": 1}) for name in names},
        [],
    )
    async with engine.worker():
        record = await engine.run(graph)
    assert record.status == "COMPLETED"
    assert len(record.nodes) == 2_500


async def test_an_execution_that_overruns_its_time_fails_and_says_so(engine: Engine) -> None:
    started = asyncio.Event()

    async def for_ever(value: Any, _: BlockContext) -> Any:
        started.set()
        await asyncio.Event().wait()

    engine.probe.functions["for_ever"] = for_ever
    graph = make_graph({"a": (PROBE, {"name": "for_ever"}), "b": (PROBE, {"value": 1})}, [])
    async with engine.worker():
        record = await engine.run(graph, limits=limited(timeout_seconds=1.5))
    assert started.is_set()
    assert record.status == "FAILED"
    assert record.error is not None
    assert record.error["code"] == "TIMED_OUT"
    assert {row["node_id"]: row["status"] for row in record.nodes} == {"a": "CANCELLED", "b": "COMPLETED"}


async def test_a_stop_reaches_a_later_run(engine: Engine) -> None:
    async with engine.worker():
        handle = await engine.start(remote_chain(2_000), limits=limited(events_per_run=30))
        await eventually(lambda: len(engine.probe.calls) > 12)
        await handle.cancel()
        record = await engine.end(handle)
    assert record.status == "CANCELLED"
    assert_whole(record)


@pytest.mark.parametrize("wide", [300])
async def test_a_large_fan_out_does_not_hold_up_another_branch(engine: Engine, wide: int) -> None:
    engine.probe.functions["many"] = lambda _value, _context: Many(range(wide))
    graph = make_graph(
        {
            "many": (PROBE, {"name": "many"}),
            "each": (PROBE, {}),
            "first": (PROBE, {"value": "small"}),
            "second": (PROBE, {}),
            "third": (PROBE, {}),
        },
        ["many.out -> each.value", "first.out -> second.value", "second.out -> third.value"],
    )
    async with engine.worker():
        record = await engine.run(graph, limits=limited(window=5))
    assert record.status == "COMPLETED"
    small = [index for index, (_, _, value) in enumerate(engine.probe.calls) if value == "small"]
    assert len(small) == 3
    assert small[-1] < wide // 2


async def _has_more_runs(engine: Engine, handle: WorkflowHandle[Any, Any], before: list[str]) -> bool:
    return len(await runs_of(engine.client, handle.id)) > len(before)


async def _terminate(engine: Engine, workflow_id: str) -> bool:
    """Answer whether there was something left to terminate."""
    try:
        await engine.client.get_workflow_handle(workflow_id).terminate()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True
