"""`server.py` with nothing configured: what it starts, leaves behind, and survives. Real processes, real SIGKILL."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Callable
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


async def test_everything_starts_with_nothing_configured(server_process: Start) -> None:
    server = await server_process().ready()

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
    assert (await temporal.count_workflows("GraphStatus = 'RUNNING'")).count == 0
    assert await server.stop() == 0


@pytest.mark.parametrize("request_to_stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_request_to_stop_leaves_nothing_running(
    server_process: Start, request_to_stop: signal.Signals
) -> None:
    server = await server_process().ready()
    assert len(server.family()) > 3

    assert await server.stop(request_to_stop) == 0

    assert server.home.run_info() is None
    assert not (server.home.path / "children.json").exists()
    assert not find_postgres(server.home.path)


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


async def test_a_second_server_on_the_same_folder_is_refused(server_process: Start) -> None:
    first = await server_process().ready()

    second = server_process(first.home.path)

    assert await second.ended() == 1
    assert f"Another server (pid {first.pid})" in second.log
    assert first.run_info.pid == first.pid
    assert await first.stop() == 0


async def test_a_killed_server_takes_its_children_with_it_and_its_data_is_found_again(
    server_process: Start,
) -> None:
    first = await server_process().ready()
    workflow_id = await leave_traces(first)
    children = first.family()[1:]

    first.kill()
    second = await server_process(first.home.path).ready()

    await eventually(lambda: all(has_ended(child) for child in children))
    await check_traces(second, workflow_id)
    assert await second.stop() == 0


async def test_children_that_outlive_a_killed_server_are_stopped_by_the_next(server_process: Start) -> None:
    first = await server_process().ready()
    workflow_id = await leave_traces(first)
    children = first.family()[1:]
    # A frozen process cannot follow the kernel's request to end.
    frozen = [child for child in children if "postgres" in child.name()]
    for child in frozen:
        child.suspend()

    first.kill()
    second = await server_process(first.home.path).ready()

    assert all(has_ended(child) for child in frozen)
    await check_traces(second, workflow_id)
    assert await second.stop() == 0


async def test_a_stale_process_id_of_somebody_else_is_let_be(
    server_process: Start, short_folder: Path
) -> None:
    first = await server_process().ready()
    assert await first.stop() == 0
    # As after a restart of a container: the old ids belong to other programs.
    note = f'{{"worker-1": {{"pid": {os.getpid()}, "started_at": 1.0}}}}'
    (first.home.path / "children.json").write_text(note)
    lines = [str(os.getpid()), str(first.home.path / "postgres"), "1", "5432", "", "", "0 0", "ready"]
    (first.home.path / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")

    second = await server_process(first.home.path).ready()

    assert await second.stop() == 0


@pytest.mark.parametrize("victim", ["worker", "temporal", "postgres"])
async def test_a_killed_child_is_started_again(server_process: Start, victim: str) -> None:
    server = await server_process().ready()
    workflow_id = await leave_traces(server)
    before = server.run_info
    victims = {
        "worker": before.worker_pids[0],
        "temporal": next(child.pid for child in server.family() if child.name() == "temporal"),
        "postgres": int((server.home.path / "postgres" / "postmaster.pid").read_text().splitlines()[0]),
    }

    os.kill(victims[victim], signal.SIGKILL)

    await eventually(lambda: server.has_logged("child_restarted"), timeout_seconds=30)
    if victim == "worker":
        await eventually(lambda: server.run_info.worker_pids not in ([], before.worker_pids))
    assert server.run_info.temporal_address == before.temporal_address
    await check_traces(server, workflow_id)
    assert await server.stop() == 0


async def test_what_the_folder_holds_is_readable_for_its_owner_only(server_process: Start) -> None:
    server = await server_process().ready()

    for path in server.home.path.iterdir():
        assert not stat.S_IMODE(path.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH), path
    assert server.home.secrets().jwt_secret not in server.log
    assert await server.stop() == 0


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
