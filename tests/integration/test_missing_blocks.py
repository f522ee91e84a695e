"""Workers that do not have a block: its node fails, or waits for a worker that has it. Executions go on."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowHandle

from app.activities import missing_blocks
from app.blocks.base import Block
from app.blocks.library.calculation import CalculatorBlock
from app.blocks.registry import BLOCK_CLASSES, BlockRegistry
from tests.engine import Engine, make_graph
from tests.stack import eventually

ECHO = "store_value_block"


async def test_a_pure_block_that_a_worker_does_not_have_fails_its_node_and_the_rest_runs(
    engine: Engine,
) -> None:
    graph = make_graph(
        {
            "sum": ("calculator_block", {"operation": "Add", "a": 1, "b": 2}),
            "told": (ECHO, {}),
            "beside": (ECHO, {"input": "here"}),
        },
        ["sum.error -> told.input"],
    )
    handle = await engine.start(graph)
    engine.registry = without(CalculatorBlock)
    async with engine.worker():
        record = await engine.end(handle)

    assert record.status == "COMPLETED", record.error
    assert record.outputs == {
        "beside.output": ["here"],
        "told.output": ["The block 'CalculatorBlock' does not exist here"],
    }
    (failed,) = record.of("sum")
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "BLOCK_MISSING")


async def test_a_call_waits_for_a_worker_that_has_its_block(engine: Engine) -> None:
    complete = engine.registry
    once = {"retry": {"max_attempts": 1}}
    handle = await engine.start(make_graph({"call": ("probe", {"value": 7, "metadata": once})}, []))
    engine.registry = without()
    async with engine.worker():
        await eventually(lambda: has_been_handed_back(handle))
    engine.registry = complete
    async with engine.worker():
        record = await engine.end(handle)

    assert record.status == "COMPLETED", record.error
    assert record.outputs == {"out": [7]}
    assert [row["attempt"] for row in record.of("call")] == [1]
    assert [seq for seq, _ in record.events] == list(range(1, len(record.events) + 1))


async def test_a_block_that_no_worker_has_for_long_fails_its_node(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing_blocks, "MOST_HAND_BACKS", 2)
    handle = await engine.start(
        make_graph({"call": ("probe", {}), "told": (ECHO, {})}, ["call.error -> told.input"])
    )
    engine.registry = without()
    async with engine.worker():
        record = await engine.end(handle)

    assert record.status == "COMPLETED", record.error
    assert record.outputs == {"output": ["No worker here has the block 'Probe'"]}
    (failed,) = record.of("call")
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "BLOCK_MISSING")


def without(*missing: type[Block]) -> BlockRegistry:
    """Return our own blocks but these, and without the test's."""
    return BlockRegistry(make() for make in BLOCK_CLASSES if make not in missing)


async def has_been_handed_back(handle: WorkflowHandle[object, int]) -> bool:
    """Answer whether a call has been taken by a worker that could not make it."""
    pending = (await handle.describe()).raw_description.pending_activities
    return any(call.last_failure.application_failure_info.type == "BLOCK_MISSING" for call in pending)
