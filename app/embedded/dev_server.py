"""The Temporal dev server on a database file, with its Web UI, stopped with us."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from app.embedded.ports import choose_port
from app.embedded.processes import Child, Command, EmbeddedStackFailed, last_lines, spawn
from app.temporal import TemporalTarget, connect, register_search_attributes

HOST = "127.0.0.1"
_START_SECONDS = 30.0
_ATTEMPTS = 3
_DYNAMIC_CONFIG = {
    # With the default of 20 each hop between two tasks of a workflow waits 45 ms.
    "history.transferProcessorMaxPollRPS": "2000",
    "history.timerProcessorMaxPollRPS": "2000",
    # With the default of a second, meant for hosts whose clocks differ, each timer and each retry comes that much late.
    "history.timerProcessorMaxTimeShift": '"10ms"',
    # With the default of 100 the server fails workflow tasks during which many activities end.
    "history.maximumBufferedEventsBatch": "2000",
    # Without it fairness keys, which keep one user from starving others, do nothing.
    "matching.enableFairness": "true",
    # With the default of a second each run that took less keeps the next one of its execution waiting.
    "history.workflowIdReuseMinimalInterval": '"10ms"',
}

log = structlog.get_logger("app.embedded")


class EmbeddedTemporal:
    """One Temporal dev server with its data in one file."""

    name = "temporal"

    def __init__(
        self,
        database_path: Path,
        *,
        log_path: Path,
        port: int = 0,
        ui_port: int = 0,
        namespace: str = "default",
        ui_codec_endpoint: str | None = None,
    ) -> None:
        """Prepare a server without starting it.

        Args:
            database_path: SQLite file with everything that the server knows.
            log_path: File for the server's log.
            port: Port of the front end; 0 means any free one, which it then keeps over restarts.
            ui_port: Port of the Web UI, likewise.
            namespace: Namespace to have besides `default`.
            ui_codec_endpoint: Where the Web UI has payloads decrypted; without it, it shows them as they are stored.
        """
        self._database_path = database_path
        self._log_path = log_path
        self._wanted_ports = (port, ui_port)
        self._ports: tuple[int, int] | None = None
        self._namespace = namespace
        self._ui_codec_endpoint = ui_codec_endpoint
        self._child: Child | None = None

    @property
    def address(self) -> str:
        """host:port of the front end; known once it was started."""
        return f"{HOST}:{self._known_ports[0]}"

    @property
    def ui_url(self) -> str:
        """Address of the Web UI; known once it was started."""
        return f"http://{HOST}:{self._known_ports[1]}"

    @property
    def pid(self) -> int | None:
        """Process id of the server, when it runs."""
        return self._child.pid if self._child and self._child.is_running else None

    def reserve_ports(self) -> None:
        """Settle the ports, before anything else is started.

        Raises:
            EmbeddedStackFailed: A port is taken; the message names its setting.
        """
        if self._ports is None:
            port, ui_port = self._wanted_ports
            self._ports = (
                choose_port(HOST, port, setting="PERDURE_TEMPORAL_PORT"),
                choose_port(HOST, ui_port, setting="PERDURE_TEMPORAL_UI_PORT"),
            )

    async def start(self) -> None:
        """Start the server and return when it answers and knows our search attributes.

        Raises:
            EmbeddedStackFailed: It does not start.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            is_restart = self._ports is not None
            self.reserve_ports()
            self._child = spawn(self._command())
            try:
                await register_search_attributes(await self._connect_when_ready(self._child))
            except EmbeddedStackFailed:
                # It picks further ports of its own, and so may others meanwhile; that is a matter of luck.
                if attempt == _ATTEMPTS:
                    raise
                log.warning("child_start_repeated", name=self.name, attempt=attempt)
                await self._child.kill()
                self._ports = self._ports if is_restart else None
            else:
                return

    async def wait(self) -> int:
        """Return the server's exit code when it has ended."""
        return await self._child.wait() if self._child else 0

    async def stop(self) -> None:
        """Stop the server; nothing happens when it does not run."""
        if self._child:
            await self._child.stop(signal.SIGTERM, grace_seconds=5)
            self._child = None

    async def kill(self) -> None:
        """Kill the server as a crash would, for tests of faults; `start` brings it back on the same ports."""
        if self._child:
            await self._child.kill()

    @property
    def _known_ports(self) -> tuple[int, int]:
        if self._ports is None:
            raise EmbeddedStackFailed("The ports of Temporal are not known before it was started")
        return self._ports

    def _command(self) -> Command:
        port, ui_port = self._known_ports
        return Command(
            name=self.name,
            arguments=[
                *(_find_program(), "server", "start-dev", "--ip", HOST, "--log-level", "error"),
                *("--port", str(port), "--ui-port", str(ui_port), "--ui-disable-news-fetch"),
                *("--db-filename", self._database_path, "--namespace", self._namespace),
                # As safe as the default against the death of a process, and two to three times as fast.
                *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
                *_options(
                    "--ui-codec-endpoint", [self._ui_codec_endpoint] if self._ui_codec_endpoint else []
                ),
                *_options("--dynamic-config-value", [f"{k}={v}" for k, v in _DYNAMIC_CONFIG.items()]),
            ],
            log_path=self._log_path,
        )

    async def _connect_when_ready(self, child: Child) -> Client:
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while asyncio.get_running_loop().time() < deadline and child.is_running:
            try:
                client = await connect(TemporalTarget(address=self.address, namespace=self._namespace))
                await client.count_workflows()
            except (RuntimeError, RPCError):
                await asyncio.sleep(0.05)
            else:
                return client
        problem = "does not answer" if child.is_running else "ended while starting"
        raise EmbeddedStackFailed(f"Temporal {problem}:\n{last_lines(self._log_path)}")


def _find_program() -> Path:
    beside = Path(sysconfig.get_path("scripts")) / "temporal"
    found = beside if beside.exists() else shutil.which("temporal")
    if found is None:
        raise EmbeddedStackFailed("The Temporal dev server is not installed; see requirements/embedded.in")
    return Path(found)


def _options(name: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (name, value)]
