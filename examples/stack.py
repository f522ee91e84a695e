"""A Perdure of its own for a program: `server.py` in a folder that is thrown away, on free ports."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90.0
STOP_SECONDS = 30.0
TAIL_LINES = 40
PREFIX = "PERDURE_"


class StackFailed(Exception):
    """The server did not start or did not stop; the message ends with what it logged last."""


@dataclass(frozen=True)
class Stack:
    """A server that is ready."""

    api_url: str
    temporal_ui_url: str
    home: Path
    log: Path

    def make_token(self, email: str) -> str:
        """Return a token for a user."""
        command = [str(Path(sys.executable).with_name("perdure")), "token", "--user", email]
        made = subprocess.run(
            command, env=_environment(self.home), cwd=self.home, capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise StackFailed(f"`perdure token` failed: {made.stderr.strip()}")
        return made.stdout.strip()

    def kill_workers(self) -> list[int]:
        """Kill the worker processes as a crash would, and return their ids; the server starts new ones."""
        pids: list[int] = json.loads((self.home / "run.json").read_text())["worker_pids"]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return pids

    def tail(self) -> str:
        """Return the last lines of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])


@contextlib.contextmanager
def run_stack(settings: Mapping[str, str]) -> Iterator[Stack]:
    """Run the server with the embedded stack, and stop it and throw its data away afterwards.

    Args:
        settings: For its environment, besides the provider keys that are in ours.

    Raises:
        StackFailed: It did not start or did not stop.
    """
    with tempfile.TemporaryDirectory(prefix="perdure-") as folder:
        home = Path(folder)
        log = home / "demo-server.log"
        ports = {"PERDURE_PORT": "0", "PERDURE_TEMPORAL_PORT": "0", "PERDURE_TEMPORAL_UI_PORT": "0"}
        with log.open("wb") as output:
            server = subprocess.Popen(
                [sys.executable, str(ROOT / "server.py")],
                env={**_environment(home), **ports, **settings},
                cwd=home,  # away from a .env that may name another database
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the server through us only
            )
        try:
            yield _wait_until_ready(server, home, log)
        finally:
            _stop(server)


def _environment(home: Path) -> dict[str, str]:
    """Return our environment without what belongs to another Perdure."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**ours, "PERDURE_HOME": str(home)}


def _wait_until_ready(server: subprocess.Popen[bytes], home: Path, log: Path) -> Stack:
    run_file = home / "run.json"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            run = json.loads(run_file.read_text())
            return Stack(run["api_url"], run["temporal_ui_url"], home, log)
        time.sleep(0.1)  # between two looks for run.json
    ended = "ended while starting" if server.poll() is not None else f"was not ready in {START_SECONDS:g} s"
    raise StackFailed(f"server.py {ended}:\n{Stack('', '', home, log).tail()}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
