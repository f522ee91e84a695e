"""`server.py` and `worker.py` as real processes, so that they can really be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import psutil

from app.api.auth import issue_token
from app.embedded.home import Home, RunInfo
from app.embedded.processes import end_with_parent
from tests.preloaded import ROOT, ForkedProcess, preloaded
from tests.stack import ENCRYPTION_KEY, Stack, eventually

FREE_PORTS = {"PERDURE_PORT": "0", "PERDURE_TEMPORAL_PORT": "0", "PERDURE_TEMPORAL_UI_PORT": "0"}
START_SECONDS = 120.0
STOP_SECONDS = 60.0


class Program:
    """One of the project's programs, running as a process of its own."""

    script = ""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], *arguments: str, is_cold: bool = False
    ) -> None:
        """Start it.

        Args:
            folder: Where it works (away from a developer's .env) and logs.
            environment: Settings; those of our own environment are kept from it.
            arguments: Command line.
            is_cold: Start its script with an interpreter of its own, which has yet to load all modules.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.log_path = folder / f"{Path(self.script).stem}-{os.urandom(3).hex()}.log"
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
        environment = {**ours, "PERDURE_LOG_FORMAT": "json", **environment}
        self.process: subprocess.Popen[bytes] | ForkedProcess
        if is_cold:
            self.process = self._start_cold(arguments, environment, folder)
        else:
            self.log_path.touch()
            self.process = preloaded().start(
                self.script, *arguments, environment=environment, folder=folder, log_path=self.log_path
            )

    def _start_cold(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> subprocess.Popen[bytes]:
        with self.log_path.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, str(ROOT / self.script), *arguments],
                env=environment,
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A test run that is killed leaves nothing behind.
                preexec_fn=end_with_parent(signal.SIGKILL),  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything that it has printed."""
        return self.log_path.read_text(errors="replace")

    def has_logged(self, action: str) -> bool:
        """Return whether it has logged an action."""
        return f'"action": "{action}"' in self.log

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Freeze it."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    async def stop(self, request: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(request)
        return await self.ended()

    async def ended(self, timeout_seconds: float = STOP_SECONDS) -> int:
        """Wait until it has ended, and return its exit code."""
        try:
            return await asyncio.to_thread(self.process.wait, timeout_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.script} still runs:\n{self.log[-5000:]}") from None

    def _check_alive(self) -> None:
        code = self.process.poll()
        assert code is None, f"{self.script} ended with {code}:\n{self.log[-5000:]}"


class WorkerProcess(Program):
    """A worker on a stack."""

    script = "worker.py"

    async def ready(self) -> WorkerProcess:
        """Wait until it takes work."""

        def is_ready() -> bool:
            self._check_alive()
            return self.has_logged("worker_ready")

        await eventually(is_ready, timeout_seconds=START_SECONDS)
        return self


def worker_environment(stack: Stack, *, task_queue: str, database_url: str | None = None) -> dict[str, str]:
    """Return the settings of a worker on a stack."""
    return {
        "PERDURE_DATABASE_URL": database_url or stack.database_url,
        "PERDURE_TEMPORAL_ADDRESS": stack.temporal_address,
        "PERDURE_TASK_QUEUE": task_queue,
        "PERDURE_ENCRYPTION_KEY": ENCRYPTION_KEY,
        "PERDURE_ALLOWED_PRIVATE_HOSTS": "127.0.0.1,localhost",
    }


class ServerProcess(Program):
    """A server with an embedded stack of its own."""

    script = "server.py"

    def __init__(
        self, home: Path, environment: Mapping[str, str] | None = None, *, is_cold: bool = False
    ) -> None:
        """Start it on a folder, on free ports unless told otherwise."""
        self.home = Home(home)
        allowed = {"PERDURE_ALLOWED_PRIVATE_HOSTS": "127.0.0.1,localhost"}
        beside = home.with_name(f"{home.name}-outside")
        settings = {"PERDURE_HOME": str(home), **FREE_PORTS, **allowed, **(environment or {})}
        super().__init__(beside, settings, is_cold=is_cold)

    @property
    def run_info(self) -> RunInfo:
        """What its run.json says."""
        info = self.home.run_info()
        assert info is not None, "The server is not ready"
        return info

    async def ready(self) -> ServerProcess:
        """Wait until its API answers."""

        def is_ready() -> bool:
            self._check_alive()
            info = self.home.run_info()
            return info is not None and info.pid == self.pid

        await eventually(is_ready, timeout_seconds=START_SECONDS)
        return self

    def token(self, email: str = "user@example.com", *, role: str = "user") -> str:
        """Return a token that it accepts."""
        return issue_token(self.home.secrets().jwt_secret, email=email, role=role)

    def client(self, email: str = "user@example.com", *, role: str = "user") -> httpx.AsyncClient:
        """Return a REST client of a user; to be closed."""
        headers = {"Authorization": f"Bearer {self.token(email, role=role)}"}
        return httpx.AsyncClient(base_url=self.run_info.api_url, headers=headers, timeout=30)

    def family(self) -> list[psutil.Process]:
        """Return it and every process below it."""
        me = psutil.Process(self.pid)
        return [me, *me.children(recursive=True)]

    async def stop(self, request: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, check that nothing is left running, and return its exit code."""
        family = self.family() if self.process.poll() is None else []
        code = await super().stop(request)
        # The server itself is our child and already reaped; what it started must have gone with it.
        left = [process for process in family if process.pid != self.pid and process.is_running()]
        assert not left, f"Left running: {left}"
        return code
