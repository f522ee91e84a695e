"""`server.py` with nothing configured: what it starts, leaves behind, and survives. Real processes, real SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
from temporalio.client import Client

from app.database import plain_url
from app.embedded.processes import EmbeddedStackFailed, find_in_folder
from app.settings.settings import read_settings
from server import run
from tests.processes import ServerProcess, WorkerProcess
from tests.stack import Stack, eventually

Start = Callable[..., ServerProcess]


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def find_postgres(home: Path) -> list[psutil.Process]:
    return find_in_folder("postgres", folder=home / "postgres")


async def test_everything_starts_with_nothing_configured(server: ServerProcess) -> None:
    info = server.run_info
    assert info.pid == server.pid
    assert len(info.worker_pids) == 1
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{info.api_url}/health/live")).status_code == 200
        assert (await client.get(info.temporal_ui_url or "")).status_code == 200
    connection = await asyncpg.connect(plain_url(info.database_url))
    assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    await connection.close()
    temporal = await Client.connect(info.temporal_address)
    assert (await temporal.count_workflows("GraphStatus = 'NEVER'")).count == 0


async def test_a_request_to_stop_while_starting_leaves_nothing_running(server_process: Start) -> None:
    server = server_process()
    await eventually(lambda: len(server.family()) > 1)

    assert await server.stop() == 0
    assert not find_postgres(server.home.path)


async def test_a_taken_port_is_refused_by_the_name_of_its_setting(server_process: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = server_process(PORT=str(taken.getsockname()[1]))

        assert await server.ended() == 1

    assert "set PERDURE_PORT to another port" in server.log.splitlines()[-1]
    assert "Traceback" not in server.log
    assert not find_postgres(server.home.path)


@pytest.mark.parametrize("setting", ["temporal_port", "temporal_ui_port"])
async def test_so_is_a_taken_port_of_temporal(short_folder: Path, setting: str) -> None:
    settings = {"home": short_folder / "home", "port": 0, "temporal_port": 0, "temporal_ui_port": 0}
    embedded = {"database_url": None, "temporal_address": None}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings[setting] = taken.getsockname()[1]

        with pytest.raises(EmbeddedStackFailed, match=f"set PERDURE_{setting.upper()} to another port"):
            await run(read_settings(**settings, **embedded))

    assert not find_postgres(short_folder / "home")


async def test_a_second_server_on_the_same_folder_is_refused(
    server: ServerProcess, server_process: Start
) -> None:
    second = server_process(server.home.path)

    assert await second.ended() == 1
    assert f"Another server (pid {server.pid})" in second.log
    assert server.run_info.pid == server.pid


@pytest.mark.timeout(300)
async def test_data_outlives_killed_children_killed_servers_and_stale_process_ids(
    server_process: Start,
) -> None:
    first = await server_process().ready()
    home, workflow_id = first.home.path, await leave_traces(first)
    await kill_children(first, workflow_id)

    children = first.family()[1:]
    first.kill()
    second = await server_process(home).ready()

    await eventually(lambda: all(has_ended(child) for child in children))
    await check_traces(second, workflow_id)

    # A frozen process cannot follow the kernel's request to end: the next server has to end it.
    frozen = [child for child in second.family() if "postgres" in child.name()]
    for child in frozen:
        child.suspend()
    second.kill()
    third = await server_process(home).ready()

    assert all(has_ended(child) for child in frozen)
    await check_traces(third, workflow_id)
    await check_stop(third, signal.SIGINT)

    leave_stale_ids(home)
    fourth = await server_process(home).ready()

    await check_traces(fourth, workflow_id)
    await check_stop(fourth, signal.SIGTERM)


async def kill_children(server: ServerProcess, workflow_id: str) -> None:
    """Kill what a server has started, and check that it is started again with all that it knew."""
    before = server.run_info
    for program in ("worker", "temporal", "postgres"):
        os.kill(pid_of(server, program), signal.SIGKILL)

        await eventually(partial(is_started_again, server, program))
        assert server.run_info.temporal_address == before.temporal_address
        await check_traces(server, workflow_id)
    await eventually(lambda: server.run_info.worker_pids not in ([], before.worker_pids))


def is_started_again(server: ServerProcess, program: str) -> bool:
    lines = (line for line in server.log.splitlines() if '"action": "child_restarted"' in line)
    return any(json.loads(line)["name"].startswith(program) for line in lines)


def pid_of(server: ServerProcess, program: str) -> int:
    """Return the process id of a child of a server."""
    if program == "worker":
        return server.run_info.worker_pids[0]
    if program == "postgres":
        return int((server.home.path / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    return next(child.pid for child in server.family() if child.name() == program)


def test_what_the_folder_holds_is_readable_for_its_owner_only(server: ServerProcess) -> None:
    for path in server.home.path.iterdir():
        assert not stat.S_IMODE(path.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH), path
    assert server.home.secrets().jwt_secret not in server.log


async def test_a_stack_keeps_its_addresses_when_a_part_is_killed_and_started_again(stack: Stack) -> None:
    addresses = (stack.database_url, stack.temporal_address)
    await stack.postgres.kill()
    await stack.temporal.kill()
    await stack.postgres.start()
    await stack.temporal.start()

    assert (stack.database_url, stack.temporal_address) == addresses
    assert await (await stack.connect()).count_workflows() is not None


async def test_a_further_worker_finds_the_embedded_stack_by_its_folder(
    server: ServerProcess, short_folder: Path
) -> None:
    worker = WorkerProcess(short_folder, {"PERDURE_HOME": str(server.home.path)})
    await worker.ready()
    assert await worker.stop() == 0


async def check_stop(server: ServerProcess, request_to_stop: signal.Signals) -> None:
    """Stop a server and check that nothing runs any more, and that nothing says so."""
    assert len(server.family()) > 3

    assert await server.stop(request_to_stop) == 0

    assert server.home.run_info() is None
    assert not (server.home.path / "children.json").exists()
    assert not find_postgres(server.home.path)


def leave_stale_ids(home: Path) -> None:
    """Have a folder name processes that are others by now, as after a restart of a container."""
    (home / "children.json").write_text(f'{{"worker-1": {{"pid": {os.getpid()}, "started_at": 1.0}}}}')
    lines = [str(os.getpid()), str(home / "postgres"), "1", "5432", "", "", "0 0", "ready"]
    (home / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")


async def leave_traces(server: ServerProcess) -> str:
    """Write a row into Postgres and start a workflow that nobody takes."""
    connection = await asyncpg.connect(plain_url(server.run_info.database_url))
    await connection.execute("CREATE TABLE traces AS SELECT 'kept' AS word")
    await connection.close()
    client = await Client.connect(server.run_info.temporal_address)
    handle = await client.start_workflow("Traces", id="traces", task_queue="nobody")
    return handle.id


async def check_traces(server: ServerProcess, workflow_id: str) -> None:
    """Check that the row and the workflow are still there."""

    async def read() -> bool:
        try:
            connection = await asyncpg.connect(plain_url(server.run_info.database_url))
        except (OSError, asyncpg.CannotConnectNowError):
            return False
        try:
            assert await connection.fetchval("SELECT word FROM traces") == "kept"
        finally:
            await connection.close()
        return True

    await eventually(read)
    client = await Client.connect(server.run_info.temporal_address)
    description = await client.get_workflow_handle(workflow_id).describe()
    assert description.status is not None
    assert description.status.name == "RUNNING"
