"""What Temporal stores of an execution is of no use without the key, and keys can be changed while executions run."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from temporalio.client import WorkflowHandle

from app.blocks.context import BlockContext
from app.encryption.keys import parse_encryption_keys
from app.temporal import TemporalTarget, connect
from tests.engine import Engine, Probe, make_engine, make_graph
from tests.processes import WorkerProcess
from tests.stack import ENCRYPTION_KEY, Stack, eventually

NEW_KEY = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
SOON = timedelta(seconds=2)
"""After which Temporal gives to another worker what a killed one has in hand."""

StartWorker = Callable[..., WorkerProcess]


@pytest.mark.parametrize("before", [ENCRYPTION_KEY, None], ids=["another key", "no key"])
async def test_an_execution_goes_on_when_a_new_key_comes(
    stack: Stack, task_queue: str, before: str | None
) -> None:
    async with engine_with(stack, task_queue, before) as engine:
        graph = make_graph({"one": (Probe.id, {"name": "one", "value": 1})}, [])
        handle = await engine.start(graph, task_timeout=SOON)
    async with engine_with(stack, task_queue, ENCRYPTION_KEY) as engine:
        engine.probe.functions["one"] = hangs
        async with engine.worker():
            await eventually(lambda: engine.probe.calls)

    both = f"{NEW_KEY} {ENCRYPTION_KEY}"
    async with engine_with(stack, task_queue, both) as engine, engine.worker():
        record = await engine.end(handle_of(engine, handle.id))
    assert record.status == "COMPLETED"
    stored = await read_history(handle)
    assert all(key.id.encode() in stored for key in parse_encryption_keys(both))
    assert (b'"user_id"' in stored) is (before is None)


async def test_without_its_key_an_execution_stands_still_and_does_not_fail(
    stack: Stack, worker_process: StartWorker, task_queue: str
) -> None:
    async with engine_with(stack, task_queue, ENCRYPTION_KEY) as engine:
        handle = await engine.start(
            make_graph({"one": ("store_value_block", {"input": 1})}, []), task_timeout=SOON
        )
    stranger = await worker_process(ENCRYPTION_KEY=NEW_KEY).ready()
    key_id = parse_encryption_keys(ENCRYPTION_KEY)[0].id
    await eventually(lambda: f"encrypted with key {key_id}" in stranger.log)
    stranger.kill()
    await worker_process(ENCRYPTION_KEY=f"{NEW_KEY} {ENCRYPTION_KEY}").ready()

    async with engine_with(stack, task_queue, f"{NEW_KEY} {ENCRYPTION_KEY}") as engine:
        assert (await engine.end(handle_of(engine, handle.id))).status == "COMPLETED"


@asynccontextmanager
async def engine_with(stack: Stack, task_queue: str, keys: str | None) -> AsyncIterator[Engine]:
    """Make an engine whose client has other keys than the stack's."""
    parsed = parse_encryption_keys(keys) if keys else ()
    client = await connect(TemporalTarget(address=stack.temporal_address, encryption_keys=parsed))
    async with make_engine(client, stack.database_url) as engine:
        engine.task_queue = task_queue
        yield engine


def handle_of(engine: Engine, workflow_id: str) -> WorkflowHandle[object, int]:
    return engine.client.get_workflow_handle(workflow_id, result_type=int)


async def hangs(value: object, _: BlockContext) -> None:
    """Do nothing for as long as it is let."""
    await asyncio.Event().wait()


async def read_history(handle: WorkflowHandle[object, int]) -> bytes:
    """Return everything that Temporal says of an execution, as it is stored."""
    events = (await handle.fetch_history()).events
    description = (await handle.describe()).raw_description
    return b"".join(event.SerializeToString() for event in events) + description.SerializeToString()
