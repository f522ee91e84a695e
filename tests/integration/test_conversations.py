"""Conversations that are long, many, paused, stopped, run again or carried out twice, on a real Temporal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from app.activities.contracts.messages import PAUSE_UPDATE, RESUME_UPDATE
from app.activities.contracts.node_calls import NodeCall
from app.blocks.context import BlockContext
from app.graph.conversations import Turn
from app.workers.config import WorkerConfig
from app.workers.opening import make_workers
from tests.engine import (
    KEYS,
    Engine,
    Many,
    Record,
    has_taken_a_completion,
    refuses,
)
from tests.integration.test_rerun_engine import rerun
from tests.orchestrator import ADDER, PROBE, TO_ADDER, a_graph, callers, calls, run, says, start
from tests.stack import eventually
from tests.stubs import LanguageModelStub


@pytest.fixture
async def worker(engine: Engine, language_model: LanguageModelStub) -> AsyncIterator[None]:
    """A worker that asks the stub."""
    async with engine.worker(llm_base_url=language_model.url):
        yield


async def test_a_conversation_goes_on_over_several_runs(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    turns = [calls(("add", {"a": k, "b": 1}), ("ask", {"value": k})) for k in range(12)]
    language_model.answer = says(*turns, "Enough.")
    tools = {"adder": ADDER, "probe": (PROBE, {"metadata": {"customized_name": "ask"}})}
    graph = a_graph([*TO_ADDER, "boss.tools -> probe.value"], tools, multiple_tool_calls=True)

    handle = await start(engine, graph, events_per_run=40)
    record = await engine.end(handle)

    assert record.outputs == {"answer": ["Enough."]}
    assert len(language_model.requests) == 13
    assert [row["n"] for row in record.of("probe")] == list(range(1, 13))
    description = await engine.client.get_workflow_handle(handle.id).describe()
    assert description.run_id != handle.first_execution_run_id
    assert [seq for seq, _ in record.events] == list(range(1, len(record.events) + 1))


async def test_many_conversations_pass_through_shards(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("add", {"a": 1, "b": 2})), "It is 3.")
    engine.probe.functions["many"] = lambda _value, _context: Many(f"Question {k}" for k in range(30))
    tools = {"adder": ADDER, "many": (PROBE, {"name": "many"})}

    record = await run(engine, a_graph([*TO_ADDER, "many.out -> boss.prompt"], tools), shard_size=5, window=5)

    assert record.outputs == {"answer": ["It is 3."] * 30}
    assert len(language_model.requests) == 60
    assert callers(record, "adder") == {row["id"] for row in record.of("boss")}


async def test_a_conversation_without_end_stops_at_the_limit(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = lambda _: calls(("add", {"a": 1, "b": 2}))

    record = await run(engine, a_graph(TO_ADDER, {"adder": ADDER}), max_node_executions=6)

    assert record.status == "FAILED"
    assert record.error is not None
    assert record.error["code"] == "LIMIT_EXCEEDED"
    assert len(record.of("adder")) == 5


async def test_a_pause_holds_between_two_turns(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    gate = asyncio.Event()

    async def waits(value: Any, _: BlockContext) -> Any:
        await gate.wait()
        return value

    engine.probe.functions["waits"] = waits
    language_model.answer = says(calls(("ask", {"value": 1})), "One.")
    tool = (PROBE, {"name": "waits", "metadata": {"customized_name": "ask"}})
    handle = await start(engine, a_graph(["boss.tools -> probe.value"], {"probe": tool}))
    await eventually(lambda: bool(engine.probe.calls))

    await handle.execute_update(PAUSE_UPDATE)
    gate.set()
    await eventually(lambda: has_taken_a_completion(handle))
    assert len(language_model.requests) == 1
    await handle.execute_update(RESUME_UPDATE)

    assert (await engine.end(handle)).outputs == {"answer": ["One."]}


async def test_a_stop_in_the_middle_of_a_tool_stops_both(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    engine.probe.functions["hangs"] = lambda _value, _context: asyncio.sleep(600)
    language_model.answer = says(calls(("ask", {"value": 1})), "Never said.")
    tool = (PROBE, {"name": "hangs", "metadata": {"customized_name": "ask"}})
    handle = await start(engine, a_graph(["boss.tools -> probe.value"], {"probe": tool}))
    await eventually(lambda: _is_running(engine, handle.id, "probe"))

    await handle.cancel()
    record = await engine.end(handle)

    assert record.status == "CANCELLED"
    assert {row["node_id"]: row["status"] for row in record.nodes} == {
        "boss": "CANCELLED",
        "probe": "CANCELLED",
    }


async def _is_running(engine: Engine, execution_id: str, node_id: str) -> bool:
    return bool(
        await engine.pool.fetch(
            "SELECT FROM node_executions WHERE execution_id = $1 AND node_id = $2 AND status = 'RUNNING'",
            execution_id,
            node_id,
        )
    )


async def test_a_rerun_takes_a_conversation_over_with_all_that_it_called(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("ask", {"value": 1})), calls(("ask", {"value": 2})), "Both.")
    engine.probe.functions["late"] = refuses
    tools = {
        "probe": (PROBE, {"name": "tool", "metadata": {"customized_name": "ask"}}),
        "late": (PROBE, {"name": "late"}),
        "more": (PROBE, {"name": "more"}),
    }
    links = ["boss.tools -> probe.value", "boss.finished -> late.value", "late.out -> more.value"]
    original = await start(engine, a_graph(links, tools))
    first = await engine.end(original)
    del engine.probe.functions["late"]
    engine.probe.calls.clear()

    record = await engine.end(await rerun(engine, original.id))

    assert first.status == "FAILED"
    assert record.status == "COMPLETED"
    assert len(language_model.requests) == 3
    assert [name for name, *_ in engine.probe.calls] == ["late", "more"]
    (asked,) = record.of("boss")
    assert [(row["n"], row["is_reused"], row["called_by"]) for row in record.of("probe")] == [
        (1, True, asked["id"]),
        (2, True, asked["id"]),
    ]


async def test_a_tool_that_is_run_again_has_its_conversation_held_again(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("ask", {"value": 1})), "One.")
    tool = (PROBE, {"name": "tool", "metadata": {"customized_name": "ask"}})
    feeder = (PROBE, {"name": "feeder", "value": "What is it?"})
    links = ["boss.tools -> probe.value", "feeder.out -> boss.prompt"]
    original = await start(engine, a_graph(links, {"probe": tool, "feeder": feeder}))
    await engine.end(original)
    engine.probe.calls.clear()

    record = await engine.end(await rerun(engine, original.id, nodes=[1]))

    assert record.outputs == {"answer": ["One."]}
    assert [name for name, *_ in engine.probe.calls] == ["tool"]
    assert len(language_model.requests) == 4
    assert {row["node_id"]: row["is_reused"] for row in record.nodes} == {
        "feeder": True,
        "boss": False,
        "probe": False,
        "out": False,
    }


async def test_numbers_of_what_was_called_are_not_given_twice(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("ask", {"value": 1})), "One.")
    engine.probe.functions["fails"] = refuses
    tools = {
        "probe": (PROBE, {"name": "tool", "metadata": {"customized_name": "ask"}}),
        "late": (PROBE, {"name": "fails"}),
    }
    links = ["boss.tools -> probe.value", "boss.finished -> late.value", "late.out -> probe.value"]
    original = await start(engine, a_graph(links, tools))
    await engine.end(original)
    del engine.probe.functions["fails"]

    record = await engine.end(await rerun(engine, original.id))

    assert [(row["n"], row["is_reused"]) for row in record.of("probe")] == [(1, True), (2, False)]
    again = await engine.end(await rerun(engine, record_id(record), nodes=[3]))
    assert [(row["n"], row["is_reused"]) for row in again.of("probe")] == [(1, True), (2, True)]


def record_id(record: Record) -> str:
    return str(record.nodes[0]["execution_id"])


async def test_a_turn_that_is_tried_again_is_not_taken_again(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("add", {"a": 1, "b": 2})), calls(("add", {"a": 3, "b": 4})), "Seven.")
    handle = await start(engine, a_graph(TO_ADDER, {"adder": ADDER}))
    await engine.end(handle)
    config = WorkerConfig(
        engine.database_url, f"{engine.task_queue}-2", encryption_keys=KEYS, llm_base_url=language_model.url
    )
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=handle.id)

    async with make_workers(engine.client, config, registry=engine.registry) as workers:
        activities = [each for worker in workers for each in worker.config().get("activities", ())]
        take_turn = next(each for each in activities if name_of(each) == "OrchestratorBlock")
        first = await environment.run(take_turn, NodeCall(0, 1, [], is_repeated=True))
        second = await environment.run(
            take_turn, NodeCall(0, 1, [], is_repeated=True, turn=Turn(2, ((1, 1),)))
        )
        third = await environment.run(
            take_turn, NodeCall(0, 1, [], is_repeated=True, turn=Turn(3, ((1, 2),)))
        )

    assert first.calls == [[1, [[0, [1]], [1, [2]]]]]
    assert second.calls == [[1, [[0, [3]], [1, [4]]]]]
    assert third.calls == []
    assert [source for emission in third.emissions for source, _ in emission] == [2]
    assert len(language_model.requests) == 3


def name_of(function: Any) -> Any:
    return getattr(function, "__temporal_activity_definition").name
