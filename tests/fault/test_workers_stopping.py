"""What happens to running blocks when a worker is asked to stop."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import pytest

from app.graph.definition import GraphDefinition
from tests.engine import Engine, limited, make_graph
from tests.processes import WorkerProcess
from tests.stack import eventually
from tests.stubs import WebStub

StartWorker = Callable[..., WorkerProcess]

PATIENT = limited(heartbeat_seconds=60)
"""So that a lost heartbeat is not what has a block tried again."""


@pytest.fixture
def start_worker(
    engine: Engine, task_queue: str, worker_process: StartWorker
) -> Callable[..., Awaitable[WorkerProcess]]:
    """Start a worker for the engine's executions, and wait until it takes work."""
    engine.task_queue = task_queue

    async def start(*arguments: str, **settings: str) -> WorkerProcess:
        return await worker_process(*arguments, **settings).ready()

    return start


def one_request(web: WebStub, path: str, **metadata: object) -> GraphDefinition:
    constants = {"url": web.url + path, "method": "GET", "metadata": metadata}
    return make_graph({"request": ("send_web_request_block", constants)}, [])


async def test_a_worker_that_is_asked_to_stop_lets_a_block_end(
    engine: Engine, start_worker: Callable[..., Awaitable[WorkerProcess]], web: WebStub
) -> None:
    worker = await start_worker(DRAIN_SECONDS="60")
    handle = await engine.start(one_request(web, "/held"), limits=PATIENT)
    await eventually(lambda: bool(web.requests))

    worker.process.terminate()
    await eventually(lambda: worker.has_logged("process_stopping"))
    web.let_go.set()
    assert await worker.ended() == 0
    await start_worker()
    record = await engine.end(handle)
    assert record.status == "COMPLETED", record.error
    assert [row["attempt"] for row in record.of("request")] == [1]
    assert len(web.requests) == 1


async def test_a_block_that_does_not_end_in_time_is_handed_to_another_worker(
    engine: Engine, start_worker: Callable[..., Awaitable[WorkerProcess]], web: WebStub
) -> None:
    first = await start_worker(DRAIN_SECONDS="1")
    # A single attempt: what is handed back must not count as one.
    graph = one_request(web, "/held", retry={"max_attempts": 1})
    handle = await engine.start(graph, limits=PATIENT)
    await eventually(lambda: bool(web.requests))

    second = await start_worker(DRAIN_SECONDS="1")
    assert await first.stop() == 0
    await eventually(lambda: len(web.requests) == 2)
    await start_worker()
    assert await second.stop() == 0
    await eventually(lambda: len(web.requests) == 3)
    web.let_go.set()

    record = await engine.end(handle)
    assert record.status == "COMPLETED", record.error
    assert [(row["attempt"], row["status"]) for row in record.of("request")] == [(1, "COMPLETED")]
    assert record.retries == 0
    assert len(web.requests) == 3
    assert [seq for seq, _ in record.events] == list(range(1, len(record.events) + 1))


async def test_a_block_whose_last_attempt_is_lost_with_its_worker_fails(
    engine: Engine, start_worker: Callable[..., Awaitable[WorkerProcess]], web: WebStub
) -> None:
    worker = await start_worker()
    graph = one_request(web, "/held", retry={"max_attempts": 1})
    handle = await engine.start(graph, limits=limited(heartbeat_seconds=2))
    await eventually(lambda: bool(web.requests))
    worker.kill()

    await start_worker()
    record = await engine.end(handle)
    assert record.status == "FAILED"
    assert record.error is not None
    assert record.error["code"] == "WORKER_LOST"
    assert len(web.requests) == 1


@pytest.mark.parametrize("request_to_stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_request_to_stop_ends_a_worker_at_once(
    engine: Engine,
    start_worker: Callable[..., Awaitable[WorkerProcess]],
    web: WebStub,
    request_to_stop: signal.Signals,
) -> None:
    worker = await start_worker(DRAIN_SECONDS="600")
    await engine.start(one_request(web, "/held"))
    await eventually(lambda: bool(web.requests))

    worker.process.send_signal(request_to_stop)
    await eventually(lambda: worker.has_logged("process_stopping"))
    assert await worker.stop(request_to_stop) == 128 + request_to_stop
