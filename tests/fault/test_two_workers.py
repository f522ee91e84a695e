"""Two workers on one task queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.engine import Engine, make_graph
from tests.processes import WorkerProcess
from tests.stack import eventually
from tests.stubs import WebStub


async def test_two_workers_share_the_load(
    engine: Engine, task_queue: str, worker_process: Callable[..., WorkerProcess], web: WebStub
) -> None:
    engine.task_queue = task_queue
    workers = [worker_process(), worker_process()]
    for worker in workers:
        await worker.ready()
    request = ("send_web_request_block", {"url": f"{web.url}/delay/0.2", "method": "GET"})
    graph = make_graph({"a": request, "b": request}, [])
    pids: set[str] = set()

    async def both_have_worked() -> bool:
        handles = [await engine.start(graph) for _ in range(10)]
        records = await asyncio.gather(*(engine.end(handle) for handle in handles))
        assert {record.status for record in records} == {"COMPLETED"}
        for handle in handles:
            async for event in handle.fetch_history_events():
                if event.HasField("activity_task_started_event_attributes"):
                    pids.add(event.activity_task_started_event_attributes.identity.split("@")[0])
        return pids == {str(worker.pid) for worker in workers}

    # Temporal hears of a worker a moment after it is ready.
    await eventually(both_have_worked)
    assert len(web.requests) % 20 == 0
