"""Records the histories that every later version of the workflow must be able to replay.

`python -m tests.replay.recording` executes the shapes below on a fresh stack and writes one file each. A file that is
there is never written again: histories are added, not changed. Delete one only when no such execution can be open.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle

from app.blocks.context import BlockContext
from tests.engine import Engine, Many, limited, make_engine, make_graph, refuses, unavailable_until
from tests.stack import Stack, eventually, run_stack

HISTORIES = Path(__file__).parent / "histories"
PROBE = "probe"
OUTPUT = "agent_output_block"
ADD = "calculator_block"

Handle = WorkflowHandle[Any, int]
Shape = Callable[[Engine], Awaitable[Handle]]


async def pure_chain(engine: Engine) -> Handle:
    """One wave does everything."""
    nodes: dict[str, Any] = {"n0": (ADD, {"operation": "Add", "a": 0, "b": 1})}
    nodes |= {f"n{k}": (ADD, {"operation": "Add", "b": 1}) for k in range(1, 20)}
    return await engine.start(make_graph(nodes, [f"n{k}.result -> n{k + 1}.a" for k in range(19)]))


async def remote_diamond(engine: Engine) -> Handle:
    """Remote calls side by side, joined by a pure block."""
    graph = make_graph(
        {
            "a": (PROBE, {"value": 1}),
            "left": (PROBE, {}),
            "right": (PROBE, {}),
            "join": (ADD, {"operation": "Add"}),
            "out": (OUTPUT, {"name": "sum"}),
        },
        [
            "a.out -> left.value",
            "a.out -> right.value",
            "left.out -> join.a",
            "right.out -> join.b",
            "join.result -> out.value",
        ],
    )
    return await engine.start(graph)


async def fan_beyond_the_window(engine: Engine) -> Handle:
    """More remote calls than the window lets through at once."""
    engine.probe.functions["many"] = lambda _value, _context: Many(range(150))
    graph = make_graph(
        {"many": (PROBE, {"name": "many"}), "each": (PROBE, {}), "add": (ADD, {"operation": "Add", "b": 1})},
        ["many.out -> each.value", "each.out -> add.a"],
    )
    return await engine.start(graph, limits=limited(window=20))


async def handled_failure(engine: Engine) -> Handle:
    """A failure goes out on the error pin."""
    engine.probe.functions["refuses"] = refuses
    graph = make_graph(
        {"bad": (PROBE, {"name": "refuses"}), "out": (OUTPUT, {"name": "error"})}, ["bad.error -> out.value"]
    )
    return await engine.start(graph)


async def exhausted_retries(engine: Engine) -> Handle:
    """A failure that nothing handles fails the execution."""
    engine.probe.functions["flaky"] = unavailable_until(9)
    return await engine.start(make_graph({"flaky": (PROBE, {"name": "flaky"})}, []))


async def timer_with_rounds(engine: Engine) -> Handle:
    """A timer goes off twice."""
    graph = make_graph(
        {
            "wait": ("countdown_timer_block", {"seconds": 1, "repeat": 2}),
            "out": (OUTPUT, {"name": "rings"}),
        },
        ["wait.output_message -> out.value"],
    )
    return await engine.start(graph)


async def paused_and_resumed(engine: Engine) -> Handle:
    """Paused while a block runs, resumed later."""
    gate = _gate(engine)
    handle = await engine.start(
        make_graph({"a": (PROBE, {"name": "gate"}), "b": (PROBE, {})}, ["a.out -> b.value"])
    )
    await eventually(lambda: bool(engine.probe.calls))
    await handle.execute_update("pause")
    gate.set()
    await handle.execute_update("resume")
    return handle


async def stopped_in_the_middle(engine: Engine) -> Handle:
    """Cancelled while blocks run."""
    _gate(engine)
    handle = await engine.start(
        make_graph({"a": (PROBE, {"name": "gate"}), "b": (PROBE, {"name": "gate"})}, [])
    )
    await eventually(lambda: len(engine.probe.calls) == 2)
    await handle.cancel()
    return handle


async def capped_loop(engine: Engine) -> Handle:
    """A loop without an end, in several waves and workflow tasks."""
    graph = make_graph(
        {"start": ("store_value_block", {"input": 1}), "spin": ("store_value_block", {})},
        ["start.output => spin.input", "spin.output -> spin.input"],
    )
    return await engine.start(graph, limits=limited(max_node_executions=6_000))


def _gate(engine: Engine) -> asyncio.Event:
    gate = asyncio.Event()

    async def wait(value: Any, _: BlockContext) -> Any:
        await gate.wait()
        return value

    engine.probe.functions["gate"] = wait
    return gate


SHAPES: tuple[Shape, ...] = (
    pure_chain,
    remote_diamond,
    fan_beyond_the_window,
    handled_failure,
    exhausted_retries,
    timer_with_rounds,
    paused_and_resumed,
    stopped_in_the_middle,
    capped_loop,
)


async def record(stack: Stack, shapes: tuple[Shape, ...]) -> None:
    """Execute shapes and write their histories down."""
    client = await Client.connect(stack.temporal_address, identity="recorder")
    for shape in shapes:
        async with make_engine(client, stack.database_url) as engine, engine.worker():
            handle = await shape(engine)
            await engine.end(handle)
            history = await handle.fetch_history()
        HISTORIES.mkdir(exist_ok=True)
        document = _without_traces(json.loads(history.to_json()))
        (HISTORIES / f"{shape.__name__}.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")


def _without_traces(document: Any) -> Any:
    """Return a history without the stack traces of failures: they name files of the machine that recorded it."""
    if isinstance(document, dict):
        return {key: _without_traces(value) for key, value in document.items() if key != "stackTrace"}
    if isinstance(document, list):
        return [_without_traces(value) for value in document]
    return document


async def main() -> None:
    """Record the shapes that have no file yet."""
    missing = tuple(shape for shape in SHAPES if not (HISTORIES / f"{shape.__name__}.json").exists())
    with tempfile.TemporaryDirectory() as folder:
        async with run_stack(Path(folder)) as stack:
            await record(stack, missing)
    sys.stdout.write(f"recorded {', '.join(shape.__name__ for shape in missing) or 'nothing'}\n")


if __name__ == "__main__":
    asyncio.run(main())
