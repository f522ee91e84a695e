"""What dies in tests of faults, and is started again by the test: a worker, and the API in a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
from temporalio.client import Client

from app.activities.contracts.execution import ExecutionLimits
from tests.processes import WorkerProcess, worker_environment
from tests.rest_api import run_api
from tests.stack import Stack

QUICK = ExecutionLimits(heartbeat_seconds=5)
"""So that a dead worker is soon noticed, and one that a busy machine holds up is not taken for dead."""


class MortalWorker:
    """A worker on a queue of its own. What takes the place of a dead one serves the next test too."""

    task_queue = "mortal"

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._process: WorkerProcess | None = None

    async def ready(self) -> None:
        """Have one that takes work."""
        if self._process is None or self._process.process.poll() is not None:
            self._start()
        assert self._process is not None
        await self._process.ready()

    def replace(self) -> None:
        """Kill it as a crash would, in whatever state it is, and start another one."""
        self.kill()
        self._start()

    def kill(self) -> None:
        """Kill it; nothing happens when none runs."""
        if self._process is not None:
            self._process.kill()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep it from doing anything until the block ends."""
        assert self._process is not None
        self._process.pause()
        try:
            yield
        finally:
            self._process.resume()

    def _start(self) -> None:
        settings = worker_environment(self._stack, task_queue=self.task_queue)
        self._process = WorkerProcess(self._folder, settings)


@asynccontextmanager
async def calling(
    stack: Stack, *, task_queue: str, limits: ExecutionLimits = QUICK
) -> AsyncIterator[httpx.AsyncClient]:
    """Give a new user of an API in this process, whose executions are left to the workers of a queue."""

    async def connect() -> Client:
        return await stack.connect()

    async with (
        run_api(stack.database_url, connect, task_queue=task_queue, limits=limits) as api,
        api.caller() as client,
    ):
        yield client
