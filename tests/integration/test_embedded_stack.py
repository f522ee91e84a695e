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
from app.embedded.processes import find_in_folder
from tests.processes import ServerProcess
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


async def test_a_request_to_stop_leaves_nothing_running_and_stale_process_ids_are_let_be(
    server_process: Start,
) -> None:
    first = await server_process().ready()
    await check_stop(first, signal.SIGINT)
    # As after a restart of a container: the old ids belong to other programs.
    note = f'{{"worker-1": {{"pid": {os.getpid()}, "started_at": 1.0}}}}'
    (first.home.path / "children.json").write_text(note)
    lines = [str(os.getpid()), str(first.home.path / "postgres"), "1", "5432", "", "", "0 0", "ready"]
    (first.home.path / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")

    second = await server_process(first.home.path).ready()

    await check_stop(second, signal.SIGTERM)


async def test_a_request_to_stop_while_starting_leaves_nothing_running(server_process: Start) -> None:
    server = server_process()
    await eventually(lambda: len(server.family()) > 1)

    assert await server.stop() == 0
    assert not find_postgres(server.home.path)


@pytest.mark.parametrize("setting", ["PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT"])
async def test_a_taken_port_is_refused_by_the_name_of_its_setting(
    server_process: Start, setting: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = server_process(**{setting: str(taken.getsockname()[1])})

        assert await server.ended() == 1

    assert f"set PERDURE_{setting} to another port" in server.log.splitlines()[-1]
    assert "Traceback" not in server.log
    assert not find_postgres(server.home.path)


async def test_a_second_server_on_the_same_folder_is_refused(
    server: ServerProcess, server_process: Start
) -> None:
    second = server_process(server.home.path)

    assert await second.ended() == 1
    assert f"Another server (pid {server.pid})" in second.log
    assert server.run_info.pid == server.pid


async def test_a_killed_server_leaves_its_data_and_nothing_that_runs(server_process: Start) -> None:
    first = await server_process().ready()
    workflow_id = await leave_traces(first)
    children = first.family()[1:]

    first.kill()
    second = await server_process(first.home.path).ready()

    await eventually(lambda: all(has_ended(child) for child in children))
    await check_traces(second, workflow_id)

    # A frozen process cannot follow the kernel's request to end: the next server has to end it.
    frozen = [child for child in second.family() if "postgres" in child.name()]
    for child in frozen:
        child.suspend()

    second.kill()
    third = await server_process(first.home.path).ready()

    assert all(has_ended(child) for child in frozen)
    await check_traces(third, workflow_id)
    assert await third.stop() == 0


async def test_killed_children_are_started_again(server_process: Start) -> None:
    server = await server_process().ready()
    workflow_id = await leave_traces(server)
    before = server.run_info

    for program in ("worker", "temporal", "postgres"):
        os.kill(pid_of(server, program), signal.SIGKILL)

        await eventually(partial(is_started_again, server, program), timeout_seconds=30)
        assert server.run_info.temporal_address == before.temporal_address
        await check_traces(server, workflow_id)
    await eventually(lambda: server.run_info.worker_pids not in ([], before.worker_pids))
    assert await server.stop() == 0


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


async def test_a_stack_keeps_its_addresses_when_a_part_is_killed_and_started_again(
    short_folder: Path,
) -> None:
    async with Stack(short_folder) as stack:
        addresses = (stack.database_url, stack.temporal_address)
        await stack.postgres.kill()
        await stack.temporal.kill()
        await stack.postgres.start()
        await stack.temporal.start()

        assert (stack.database_url, stack.temporal_address) == addresses
        assert await (await stack.connect()).count_workflows() is not None


async def check_stop(server: ServerProcess, request_to_stop: signal.Signals) -> None:
    """Stop a server and check that nothing runs any more, and that nothing says so."""
    assert len(server.family()) > 3

    assert await server.stop(request_to_stop) == 0

    assert server.home.run_info() is None
    assert not (server.home.path / "children.json").exists()
    assert not find_postgres(server.home.path)


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
