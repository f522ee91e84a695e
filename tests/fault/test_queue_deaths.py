"""The queue of a user's executions, while the worker that runs them dies."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.engine import Engine, make_graph
from tests.processes import WorkerProcess
from tests.stack import eventually

LIMIT = 2
NUMBER = 6
_OVERLAPS = """
SELECT max(running) FROM (
    SELECT (
        SELECT count(*) FROM executions other
        WHERE other.user_id = $1 AND other.started_at <= one.started_at AND other.ended_at > one.started_at
    ) AS running
    FROM executions one WHERE one.user_id = $1
) AS counted
"""


async def test_a_dying_worker_loses_nobody_in_the_queue(
    engine: Engine, task_queue: str, worker_process: Callable[..., WorkerProcess]
) -> None:
    owner = str(uuid.uuid4())
    engine.task_queue = task_queue
    graph = make_graph({"wait": ("countdown_timer_block", {"seconds": 1})}, [])
    worker = await worker_process(RUNNING_PER_USER=str(LIMIT)).ready()
    handles = [await engine.start(graph, owner=owner) for _ in range(NUMBER)]

    await eventually(lambda: _have_ended(engine, owner, 1))
    worker.kill()
    await worker_process(RUNNING_PER_USER=str(LIMIT)).ready()

    for handle in handles:
        assert (await engine.end(handle)).status == "COMPLETED"
    assert await engine.pool.fetchval(_OVERLAPS, owner) == LIMIT


async def _have_ended(engine: Engine, owner: str, number: int) -> bool:
    query = "SELECT count(*) FROM executions WHERE user_id = $1 AND ended_at IS NOT NULL"
    return bool(await engine.pool.fetchval(query, owner) >= number)
