"""What Temporal stores of an execution is of no use without the key, and keys can be changed while executions run."""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from temporalio.client import Client, WorkflowHandle

from app.encryption.keys import parse_encryption_keys
from app.temporal import TemporalTarget, connect
from tests.e2e.rest import graph, node, save, start, wait
from tests.engine import Engine, make_engine, make_graph
from tests.processes import ServerProcess, WorkerProcess
from tests.stack import ENCRYPTION_KEY, Stack, eventually
from tests.stubs import WebStub

CANARY = f"canary{uuid.uuid4().hex}"
NEW_KEY = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
SOON = timedelta(seconds=2)
"""After which Temporal gives to another worker what a killed one has in hand."""

StartWorker = Callable[..., WorkerProcess]


async def test_nothing_of_a_value_or_an_error_is_found_in_what_temporal_stores(
    server: ServerProcess, web: WebStub
) -> None:
    body = graph(
        [
            node("in", "agent_input_block", name="word"),
            node("echo", "send_web_request_block", url=f"{web.url}/echo", metadata={"title": CANARY}),
            node("lost", "send_web_request_block", url=f"http://{CANARY}.invalid/", method="GET"),
        ],
        ["in.result -> echo.body", "echo.response -> lost.body"],
    )
    async with server.client() as client:
        execution = await start(client, await save(client, body | {"name": CANARY}), {"word": CANARY})
        ended = await wait(client, execution["id"])
    # It was everywhere: in the input, in what a block gave, in a title, in a name, in the message of the failure.
    assert ended["status"] == "FAILED"
    assert CANARY in ended["error"]["message"]
    assert any(CANARY in str(request) for request in web.requests)

    temporal = await Client.connect(server.run_info.temporal_address)
    stored = await read_history(temporal.get_workflow_handle(execution["id"]))
    assert b"BLOCK_UNAVAILABLE" in stored
    assert CANARY.encode() not in stored

    files = b"".join(path.read_bytes() for path in server.home.path.glob("temporal.db*"))
    assert execution["id"].encode() in files
    assert CANARY.encode() not in files
    logs = b"".join(path.read_bytes() for path in (server.home.path / "logs").glob("temporal*"))
    assert CANARY.encode() not in logs + server.log.encode()


@pytest.mark.parametrize("before", [ENCRYPTION_KEY, None], ids=["another key", "no key"])
async def test_an_execution_goes_on_when_a_new_key_comes(
    stack: Stack, worker_process: StartWorker, task_queue: str, before: str | None
) -> None:
    async with engine_with(stack, task_queue, before) as engine:
        handle = await engine.start(
            make_graph({"wait": ("countdown_timer_block", {"seconds": 3})}, []), task_timeout=SOON
        )
    first = await worker_process(ENCRYPTION_KEY=ENCRYPTION_KEY).ready()
    await eventually(lambda: has_set_a_timer(handle))
    first.kill()
    await worker_process(ENCRYPTION_KEY=f"{NEW_KEY} {ENCRYPTION_KEY}").ready()

    async with engine_with(stack, task_queue, f"{NEW_KEY} {ENCRYPTION_KEY}") as engine:
        record = await engine.end(handle_of(engine, handle.id))
    assert record.status == "COMPLETED"
    keys = [key.id for key in parse_encryption_keys(f"{ENCRYPTION_KEY} {NEW_KEY}")]
    stored = await read_history(handle)
    assert all(key.encode() in stored for key in keys)
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


async def has_set_a_timer(handle: WorkflowHandle[object, int]) -> bool:
    return any(
        event.HasField("timer_started_event_attributes") for event in (await handle.fetch_history()).events
    )


async def read_history(handle: WorkflowHandle[object, int]) -> bytes:
    """Return everything that Temporal says of an execution, as it is stored."""
    events = (await handle.fetch_history()).events
    description = (await handle.describe()).raw_description
    return b"".join(event.SerializeToString() for event in events) + description.SerializeToString()
