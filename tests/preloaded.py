"""The project's programs as processes that need not load their modules first, which is most of what a start costs.

One process per test run has loaded them, and forks whenever a program is to start. What is forked has an environment,
a command line, a log, a session and an end of its own, as if it had been started by its script.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

from app.embedded.processes import end_with_parent

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("server", "worker")
LOADED_LATER = ("app.llm.model_clients",)
"""By a worker, when it is first asked for it."""


class ForkedProcess:
    """What was forked, with as much of the ways of `subprocess.Popen` as tests need."""

    def __init__(self) -> None:
        self.forked: Future[int] = Future()
        self.exited: Future[int] = Future()

    @property
    def pid(self) -> int:
        return self.forked.result()

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        return self.exited.result() if self.exited.done() else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit code.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        try:
            return self.exited.result(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None

    def send_signal(self, request: int) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, request)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Preloaded:
    """Our end of the process that has loaded the modules."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unborn: list[ForkedProcess] = []
        self._alive: dict[int, ForkedProcess] = {}
        self._source = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGKILL),  # noqa: PLW1509
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def start(
        self, script: str, *arguments: str, environment: Mapping[str, str], folder: Path, log_path: Path
    ) -> ForkedProcess:
        """Start a program, in a folder and with a file for what it prints."""
        made = ForkedProcess()
        wanted = [Path(script).stem, arguments, dict(environment), str(folder), str(log_path)]
        assert self._source.stdin is not None
        with self._lock:
            self._unborn.append(made)
            self._source.stdin.write(json.dumps(wanted).encode() + b"\n")
            self._source.stdin.flush()
        return made

    def _listen(self) -> None:
        assert self._source.stdout is not None
        for line in self._source.stdout:
            pid, code = json.loads(line)
            if code is None:
                self._alive[pid] = made = self._unborn.pop(0)
                made.forked.set_result(pid)
            else:
                self._alive.pop(pid).exited.set_result(code)
        gone = RuntimeError("The process that programs are forked from has ended")
        for made in self._unborn:
            made.forked.set_exception(gone)
        for made in self._alive.values():
            made.exited.set_exception(gone)


@functools.cache
def preloaded() -> Preloaded:
    """Return the one of this test run; it ends with us."""
    return Preloaded()


def main() -> int:
    """Fork programs as asked for on standard input, and tell of their ends; or be such a program."""
    # What a program prints while it is loaded is no reply.
    replies = os.dup(1)
    os.dup2(2, 1)
    gc.disable()
    for name in PROGRAMS + LOADED_LATER:
        importlib.import_module(name)
    # What was loaded stays shared: no search for garbage goes over it.
    gc.freeze()
    for line in _requests(replies):
        end_with_us = end_with_parent(signal.SIGKILL)
        pid = os.fork()
        if not pid:
            os.close(replies)
            if end_with_us:
                end_with_us()
            return _be(*json.loads(line))
        _reply(replies, pid, None)
    return 0


def _requests(replies: int) -> Iterator[bytes]:
    """Yield what is asked for until nobody can ask any more; meanwhile tell of ends."""
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    read = b""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == ended:
                    os.read(ended, 4096)
                    for pid, code in _reap():
                        _reply(replies, pid, code)
                elif not (more := os.read(0, 65_536)):
                    return
                else:
                    *lines, read = (read + more).split(b"\n")
                    yield from lines


def _reap() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended[0], os.waitstatus_to_exitcode(ended[1])


def _reply(replies: int, pid: int, code: int | None) -> None:
    os.write(replies, json.dumps([pid, code]).encode() + b"\n")


def _be(program: str, arguments: list[str], environment: dict[str, str], folder: str, log_path: str) -> int:
    """Be a program from now on; return its exit code."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for taken, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, taken)
    os.close(log)
    os.close(nothing)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = [f"{program}.py", *arguments]
    code: int = sys.modules[program].main()
    return code


if __name__ == "__main__":
    sys.exit(main())
