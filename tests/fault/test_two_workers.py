"""Two workers on one task queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.engine import Engine, make_graph
from tests.processes import WorkerProcess
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

    handles = [await engine.start(graph) for _ in range(30)]
    records = await asyncio.gather(*(engine.end(handle) for handle in handles))
    assert {record.status for record in records} == {"COMPLETED"}
    assert len(web.requests) == 60

    pids = set()
    for handle in handles:
        history = await handle.fetch_history()
        for event in history.events:
            if event.HasField("activity_task_started_event_attributes"):
                pids.add(event.activity_task_started_event_attributes.identity.split("@")[0])
    assert pids == {str(worker.pid) for worker in workers}
