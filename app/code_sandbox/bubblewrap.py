"""The sandbox made of bubblewrap: namespaces without network, a root that holds the system's programs and no more.

Each job gets a sandbox of its own, with its files in memory, and nothing of it is left afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import IO, Any

import psutil

from app.code_sandbox.folder import MAX_FILES, pack
from app.code_sandbox.jobs import MEGABYTE, Job, Limits, Outcome
from app.code_sandbox.outcomes import read_outcome
from app.code_sandbox.seccomp import make_filter
from app.code_sandbox.watching import Bounds, Pipes, watch
from app.errors import BlockLimitExceeded, BlockUnavailable

PROGRAM = "bwrap"
CONCURRENCY = 4
"""Sandboxes that a worker has at once; further ones wait."""
NOBODY = 65_534
"""The user that a sandbox is on the host when the worker is root."""
SHARED_MEMORY_BYTES = 16 * MEGABYTE
END_SECONDS = 10.0
"""How long bubblewrap may take to end once all processes in a sandbox are dead."""
_PROGRAMS = ("supervise.py", "run_python.py", "run_js.js")
_USED_OF_ETC = ("/etc/ld.so.cache", "/etc/alternatives")


class BubblewrapSandbox:
    """Executes code in sandboxes of bubblewrap, each in a thread that watches it."""

    def __init__(self, *, limits: Limits | None = None, program: str = PROGRAM) -> None:
        """Open the pool of threads.

        Args:
            limits: What one job may use up.
            program: bubblewrap, by path or by name.

        Raises:
            LookupError: No filter of system calls is known for this machine.
        """
        self._limits = limits or Limits()
        self._program = shutil.which(program)
        self._filter = make_filter()
        # A sandbox dies with the thread that started it: these live as long as we do.
        self._threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="code-sandbox")

    async def run(self, job: Job) -> Outcome:
        """Execute code; nothing of it is left when this returns, fails or is cancelled.

        Raises:
            BlockError: The code failed, or its language is not installed.
            BlockLimitExceeded: It reached a limit.
            BlockUnavailable: The sandbox cannot be built now.
        """
        is_to_stop = threading.Event()
        running = self._threads.submit(self._run, job, is_to_stop)
        waiting = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            is_to_stop.set()
            if not running.cancel():
                await asyncio.wait([waiting])
                # What became of it nobody asks any more; it has to be looked at once.
                waiting.exception()
            raise

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, job: Job, is_to_stop: threading.Event) -> Outcome:
        if self._program is None:
            raise BlockUnavailable("bubblewrap is not installed on this worker")
        with contextlib.ExitStack() as open_files:
            answers, answering = (open_files.enter_context(end) for end in _pipe())
            given = {name: open_files.enter_context(_in_memory(_text_of(name))) for name in _PROGRAMS}
            seccomp = open_files.enter_context(_in_memory(self._filter))
            command = [
                self._program,
                *self._walls(given, seccomp),
                "--",
                "python3",
                "-I",
                "/run/perdure/supervise.py",
            ]
            process = open_files.enter_context(
                _started(
                    [*command, str(answering.fileno())],
                    [answering.fileno(), seccomp.fileno(), *(file.fileno() for file in given.values())],
                )
            )
            answering.close()
            assert process.stdout is not None
            assert process.stderr is not None
            of = {answers.fileno(): self._limits.folder_bytes * 3 // 2}
            of |= dict.fromkeys((process.stdout.fileno(), process.stderr.fileno()), self._limits.output_bytes)
            pipes = Pipes(given=self._given(job), read={descriptor: bytearray() for descriptor in of})
            bounds = Bounds(
                seconds=job.timeout_seconds, memory_bytes=self._limits.memory_bytes, output_bytes=of
            )
            watch(process, pipes, bounds, is_to_stop=is_to_stop, overrun=_overrun)
            answered, stdout, stderr = map(bytes, pipes.read.values())
        return read_outcome(answered, _text(stdout), _text(stderr))

    def _walls(self, programs: Mapping[str, IO[bytes]], seccomp: IO[bytes]) -> list[str]:
        size = str(self._limits.folder_bytes)
        return [
            "--unshare-all",
            "--unshare-user",
            *("--uid", "1000", "--gid", "1000", "--hostname", "sandbox"),
            *("--cap-drop", "ALL", "--die-with-parent", "--new-session"),
            *("--seccomp", str(seccomp.fileno())),
            *("--clearenv", "--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin"),
            *_system(),
            *("--proc", "/proc", "--dev", "/dev"),
            *("--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"),  # noqa: S108 - its own
            *("--size", size, "--tmpfs", "/tmp"),  # noqa: S108 - its own
            *("--size", size, "--tmpfs", "/work", "--chdir", "/work"),
            *(
                word
                for name, file in programs.items()
                for word in ("--ro-bind-data", str(file.fileno()), f"/run/perdure/{name}")
            ),
            *("--remount-ro", "/dev", "--remount-ro", "/"),
        ]

    def _given(self, job: Job) -> bytes:
        return pack(
            job.folder,
            language=job.language,
            code=job.code,
            setup_commands=list(job.setup_commands),
            cpu_seconds=job.timeout_seconds,
            memory_bytes=self._limits.memory_bytes,
            node_megabytes=self._limits.memory_bytes // (2 * MEGABYTE),
            folder_bytes=self._limits.folder_bytes,
            processes=self._limits.processes,
            open_files=self._limits.open_files,
            max_files=MAX_FILES,
        )


@contextlib.contextmanager
def _started(command: Sequence[str], descriptors: Sequence[int]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a sandbox and, whatever happens, leave none of its processes alive.

    Raises:
        BlockUnavailable: It cannot be started.
    """
    # Root on the host would be root in what the walls do not hold, such as the limit on processes.
    dropped: dict[str, Any] = (
        {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    try:
        process = subprocess.Popen(  # noqa: S603 - nothing of the command comes from users
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=descriptors,
            cwd="/",
            env={"PATH": os.defpath},
            start_new_session=True,
            **dropped,
        )
    except OSError as error:
        raise BlockUnavailable(f"The sandbox cannot be started: {error.strerror}") from error
    with process:
        try:
            yield process
        finally:
            _end(process)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    # With the first process inside die all others, and then bubblewrap itself ends: that is how the end is seen. Were
    # bubblewrap killed first, they would die as surely, but unseen.
    with contextlib.suppress(psutil.Error):
        inside = psutil.Process(process.pid).children()
        for first in inside:
            first.kill()
        if not inside:
            process.kill()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _system() -> Iterator[str]:
    """Yield what shows the system's programs and libraries, and nothing else of the machine."""
    yield from ("--ro-bind", "/usr", "/usr")
    for path in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64")):
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.exists():
            yield from ("--ro-bind", str(path), str(path))
    for used in _USED_OF_ETC:
        yield from ("--ro-bind-try", used, used)


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)


def _in_memory(content: bytes) -> IO[bytes]:
    file = os.fdopen(os.memfd_create("perdure"), "w+b")
    file.write(content)
    file.flush()
    file.seek(0)
    return file


def _text_of(name: str) -> bytes:
    return resources.files("app.code_sandbox.inside").joinpath(name).read_bytes()


def _overrun(what: str) -> BlockLimitExceeded:
    return BlockLimitExceeded(f"The code {what}")


def _text(printed: bytes) -> str:
    return printed.decode(errors="replace")
