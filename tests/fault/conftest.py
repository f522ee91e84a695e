"""What tests of faults share: a worker that may be killed, users who reach it, and APIs that may be killed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.embedded.home import Home
from tests.fault.mortals import MortalWorker, calling
from tests.processes import ServerProcess
from tests.stack import ENCRYPTION_KEY, Stack


@pytest.fixture(scope="session")
def any_mortal_worker(stack: Stack, session_folder: Path) -> Iterator[MortalWorker]:
    """A worker, dead or alive."""
    worker = MortalWorker(stack, session_folder / "mortal-worker")
    yield worker
    worker.kill()


@pytest.fixture
async def mortal_worker(any_mortal_worker: MortalWorker) -> MortalWorker:
    """A worker that runs, and may be killed."""
    await any_mortal_worker.ready()
    return any_mortal_worker


@pytest.fixture
async def caller(stack: Stack, mortal_worker: MortalWorker) -> AsyncIterator[httpx.AsyncClient]:
    """A user whose executions are left to the mortal worker."""
    async with calling(stack, task_queue=mortal_worker.task_queue) as client:
        yield client


@pytest.fixture
def api_process(
    stack: Stack, task_queue: str, short_folder: Path, server_process: Callable[..., ServerProcess]
) -> Callable[[], ServerProcess]:
    """Start the API alone, in a process of its own; another one takes over its folder."""
    home = Home(short_folder / "home")

    def start() -> ServerProcess:
        return server_process(
            home.path,
            DATABASE_URL=stack.database_url,
            TEMPORAL_ADDRESS=stack.temporal_address,
            TASK_QUEUE=task_queue,
            JWT_SECRET=home.secrets().jwt_secret,
            ENCRYPTION_KEY=ENCRYPTION_KEY,
            HEARTBEAT_SECONDS="5",
        )

    return start
