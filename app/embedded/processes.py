"""Child processes that do not outlive us, and the clearing away of those that did.

Knows nothing of what the processes do. A child is started in a session of its own, so that Ctrl-C in a terminal
reaches only us and we decide in which order things stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from app.errors import Category, PerdureError, Severity

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class EmbeddedStackFailed(PerdureError):
    """The embedded stack cannot run."""

    code = "EMBEDDED_STACK_FAILED"
    severity = Severity.CRITICAL
    category = Category.SYSTEM


@dataclass(frozen=True, kw_only=True)
class Command:
    """How to start one child process."""

    name: str
    """What it is, for logs and messages."""

    arguments: Sequence[str | Path]
    """Program and arguments."""

    log_path: Path | None = None
    """File that gets its output; ours is shared with it when missing."""

    environment: Mapping[str, str] | None = None
    """Variables set in addition to our own."""

    folder: Path | None = None
    """Working directory."""

    user_id: int | None = None
    """User (and primary group) to run as; only root can change it."""

    death_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends it when we are gone without having stopped it (Linux)."""


class Child:
    """A running child process."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self._process = process
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        # Not the loop's own thread pool: a waiting thread for each child would take its few threads away.
        threading.Thread(target=self._watch, args=(loop,), name=f"wait-{name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return not self._ended.done()

    async def wait(self) -> int:
        """Return its exit code when it has ended; negative for a signal."""
        return await asyncio.shield(self._ended)

    async def stop(self, request: signal.Signals, *, grace_seconds: float) -> int:
        """Ask it to end, and kill it when it has not done so in time."""
        self.send(request)
        try:
            return await asyncio.wait_for(self.wait(), grace_seconds)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End it at once, without giving it a chance to clean up."""
        self.send(signal.SIGKILL)
        return await self.wait()

    def send(self, request: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(request)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        code = self._process.wait()
        # The loop is closed when we are on our way out ourselves.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._settle, code)

    def _settle(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)


def spawn(command: Command) -> Child:
    """Start a child process.

    Call it from the main thread: the kernel takes the end of the starting thread for the end of the parent.

    Raises:
        EmbeddedStackFailed: The program cannot be started.
    """
    with contextlib.ExitStack() as files:
        log = files.enter_context(command.log_path.open("ab")) if command.log_path else None
        try:
            process = subprocess.Popen(  # noqa: S603 - the arguments are ours
                [str(argument) for argument in command.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT if log else None,
                cwd=command.folder,
                env={**os.environ, **(command.environment or {})},
                start_new_session=True,
                umask=0o077,
                # It only calls prctl through a prebound symbol, which is safe between fork and exec.
                preexec_fn=end_with_parent(command.death_signal),  # noqa: PLW1509
                **run_as(command.user_id),
            )
        except OSError as error:
            raise EmbeddedStackFailed(f"{command.name} cannot be started: {error}") from error
    return Child(command.name, process)


def run_as(user_id: int | None) -> dict[str, Any]:
    """Return the arguments that make `subprocess` run a program as another user."""
    return {} if user_id is None else {"user": user_id, "group": user_id, "extra_groups": []}


def end_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return what a child is to call before its program, so that it gets a signal when we are gone (Linux)."""
    if _LIBC is None:
        return None
    libc, parent = _LIBC, os.getpid()

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def find_process(pid: int, *, started_at: float) -> psutil.Process | None:
    """Return the process with this id if it is the one that was started then, not a later one with the same id.

    Args:
        pid: Process id.
        started_at: When it was started, in seconds since the epoch, give or take a clock adjustment.
    """
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - started_at) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if is_same else None


def find_in_folder(program: str, *, folder: Path) -> list[psutil.Process]:
    """Return the processes of a program that work in a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == program and Path(process.cwd()) == folder:
                found.append(process)
    return found


def stop_processes(
    processes: Sequence[psutil.Process], *, request: signal.Signals, grace_seconds: float
) -> None:
    """End processes that are not our children: ask, wait, kill."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(request)
            # A frozen one hears it when it goes on.
            process.resume()
    _, alive = psutil.wait_procs(processes, timeout=grace_seconds)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=grace_seconds)


def last_lines(path: Path, *, count: int = 5) -> str:
    """Return the end of a log file, for the message of a failure."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
