"""Both stores are backed up while executions are under way, everything is lost, both are restored: executions go on.

The commands are those of docs/howto/back-up.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.embedded.accounts import find_binaries
from tests.e2e.rest import get, requests, save, start, sums, wait
from tests.processes import ServerProcess
from tests.reviews import answer, asked, asking
from tests.stack import eventually
from tests.stubs import WebStub

PROGRAMS = find_binaries()
SOON = {"RECONCILE_SECONDS": "1", "HEARTBEAT_SECONDS": "5"}
"""A block that was running at the backup is given up for lost soon after the restore, and so is what Temporal lost."""
STORES = ("temporal.db", "temporal.db-wal", "temporal.db-shm")


async def run(program: str, *arguments: str | Path) -> None:
    """Run one of Postgres's own programs."""
    command = [str(PROGRAMS / program), *map(str, arguments)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def postgres_of(server: ServerProcess) -> str:
    return server.run_info.database_url.replace("+asyncpg", "")


async def back_up_temporal(server: ServerProcess, folder: Path) -> None:
    """Copy Temporal's database as it is at one moment, while Temporal writes to it."""
    with (
        closing(sqlite3.connect(server.home.path / "temporal.db")) as source,
        closing(sqlite3.connect(folder / "temporal.db")) as copy,
    ):
        source.backup(copy)


async def back_up_postgres(server: ServerProcess, folder: Path) -> None:
    await run("pg_dump", "--format=custom", f"--file={folder / 'perdure.dump'}", postgres_of(server))


async def restore(home: Path, folder: Path, serve: Callable[..., ServerProcess]) -> None:
    """Put both stores back into a new home."""
    home.mkdir(mode=0o700)  # noqa: ASYNC240 - nothing else goes on meanwhile
    shutil.copy(folder / "secrets.json", home)
    bare = await serve(home, WORKERS="0").ready()
    arguments = ("--clean", "--if-exists", "--single-transaction", "--exit-on-error")
    await run("pg_restore", *arguments, f"--dbname={postgres_of(bare)}", folder / "perdure.dump")
    assert await bare.stop() == 0
    for name in STORES:
        (home / name).unlink(missing_ok=True)
    shutil.copy(folder / "temporal.db", home)


@pytest.mark.slow
async def test_executions_go_on_after_both_stores_were_lost_and_restored(
    server_process: Callable[..., ServerProcess], short_folder: Path, web: WebStub
) -> None:
    kept = short_folder / "backup"
    kept.mkdir()
    server = await server_process(short_folder / "first", **SOON).ready()
    async with server.client() as client:
        ended = await start(client, await save(client, sums(3)), wait=60)
        waiting = await start(client, await save(client, asking("please")))
        await asked(client, waiting["id"])
        running = await start(client, await save(client, requests(web.url, "/held", "/echo")))
        await eventually(lambda: web.requests)
        await back_up_temporal(server, kept)
        between = await start(client, await save(client, asking("begun between the two")))
        await asked(client, between["id"])
        await back_up_postgres(server, kept)
        shutil.copy(server.home.path / "secrets.json", kept)
        lost = await start(client, await save(client, sums(3)), wait=60)
    for process in server.family():
        # Some end with the one that was killed before them.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    server.process.wait()
    shutil.rmtree(server.home.path)

    await restore(short_folder / "second", kept, server_process)
    server = await server_process(short_folder / "second", **SOON).ready()

    web.let_go.set()
    async with server.client() as client:
        assert (await get(client, ended["id"]))["outputs"] == {"sum": [3]}
        assert (await client.get(f"/api/executions/{lost['id']}")).status_code == 404
        response = await answer(client, await asked(client, waiting["id"]), approved=True)
        assert response.status_code == 200, response.text
        assert (await wait(client, waiting["id"]))["status"] == "COMPLETED"
        assert (await wait(client, running["id"]))["status"] == "COMPLETED"
        # Temporal has never heard of it: the reconciler says so.
        error: dict[str, Any] = (await wait(client, between["id"]))["error"]
        assert error["code"] == "LOST"
        assert (await start(client, await save(client, sums(2)), wait=60))["status"] == "COMPLETED"
    async with server.client("root@example.com", role="admin") as admin:
        overview = (await admin.get("/api/admin/overview")).json()
        assert overview["ledger_differences"] == 0, overview
    assert await server.stop() == 0
