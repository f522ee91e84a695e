"""`server.py` and `worker.py` on a Postgres and a Temporal that somebody else runs."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from app.api.auth import issue_token
from tests.processes import Program, ServerProcess, WorkerProcess, worker_environment
from tests.stack import ENCRYPTION_KEY, Stack, eventually

JWT_SECRET = "a secret of the tests that is long enough for HS256"

StartServer = Callable[..., ServerProcess]
StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def external(stack: Stack, task_queue: str, own_database_url: str) -> dict[str, str]:
    """Settings that name the stack, without their prefix."""
    return {
        "DATABASE_URL": own_database_url,
        "TEMPORAL_ADDRESS": stack.temporal_address,
        "TASK_QUEUE": task_queue,
        "JWT_SECRET": JWT_SECRET,
        "ENCRYPTION_KEY": ENCRYPTION_KEY,
    }


@pytest.fixture
async def api(server_process: StartServer, external: dict[str, str]) -> AsyncIterator[ServerProcess]:
    """A server that runs the API only."""
    server = await server_process(**external).ready()
    yield server
    assert await server.stop() == 0
    assert server.home.run_info() is None


async def test_the_server_then_runs_the_api_only(api: ServerProcess, external: dict[str, str]) -> None:
    info = api.run_info
    assert (info.database_url, info.worker_pids) == (external["DATABASE_URL"], [])
    assert [process.name() for process in api.family()] == [api.family()[0].name()]
    headers = {"Authorization": f"Bearer {issue_token(JWT_SECRET, email='user@example.com')}"}
    async with httpx.AsyncClient(base_url=info.api_url, headers=headers) as client:
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/api/user")).json()["email"] == "user@example.com"
    assert JWT_SECRET not in api.log


async def test_a_missing_secret_stops_the_start_with_its_name(
    server_process: StartServer, external: dict[str, str]
) -> None:
    server = server_process(**{**external, "JWT_SECRET": ""})
    assert await server.ended() == 1
    assert "PERDURE_JWT_SECRET" in server.log
    assert "Traceback" not in server.log


async def test_a_worker_serves_the_queues_of_its_pools_until_it_is_interrupted(
    worker_process: StartWorker, task_queue: str
) -> None:
    worker = await worker_process("--pool", "llm", "--concurrency", "3").ready()
    assert f'["{task_queue}-llm"]' in worker.log
    assert await worker.stop(signal.SIGINT) == 0


async def test_a_worker_waits_for_services_that_are_not_there_yet(
    stack: Stack, worker_process: StartWorker
) -> None:
    await stack.temporal.kill()
    try:
        worker = worker_process()
        await eventually(lambda: worker.has_logged("service_away"))
        assert worker.process.poll() is None
    finally:
        await stack.temporal.start()
    await worker.ready()
    assert await worker.stop() == 0


async def test_a_worker_that_still_waits_stops_when_asked(
    stack: Stack, short_folder: Path, task_queue: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    environment = worker_environment(stack, task_queue=task_queue) | {"PERDURE_TEMPORAL_ADDRESS": nobody}
    worker = WorkerProcess(short_folder, environment)
    await eventually(lambda: worker.has_logged("service_away"))
    assert await worker.stop() == 0


async def test_a_worker_without_any_server_says_what_to_do(short_folder: Path) -> None:
    worker: Program = WorkerProcess(short_folder, {"PERDURE_HOME": str(short_folder / "empty")})
    assert await worker.ended() == 1
    assert "start server.py first" in worker.log
