"""The folder of one server: who holds it, its secrets, which children were started, and how to reach it.

Everything here is small files, written aside and renamed, so that a reader never sees half of one.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
import signal
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import structlog

from app.embedded.processes import EmbeddedStackFailed, find_process, stop_processes

log = structlog.get_logger("app.embedded")


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """How to reach a running server: the content of run.json."""

    api_url: str
    temporal_address: str
    temporal_ui_url: str | None
    database_url: str
    pid: int
    worker_pids: list[int]


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What the embedded stack made for itself."""

    jwt_secret: str
    encryption_key: str


class Home:
    """The folder of one server."""

    def __init__(self, path: Path) -> None:
        """Use a folder, which is made when missing.

        Raises:
            EmbeddedStackFailed: It cannot be made or written to.
        """
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EmbeddedStackFailed(
                f"PERDURE_HOME {path} cannot be used: {error.strerror or error}"
            ) from None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, so that no second server works on the same data.

        The kernel gives it back when we end, however we end.

        Raises:
            EmbeddedStackFailed: Another server holds it.
        """
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise EmbeddedStackFailed(
                    f"Another server (pid {holder}) uses {self.path}; stop it, or set PERDURE_HOME to another folder"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    @property
    def has_secrets(self) -> bool:
        """Whether somebody has been here before."""
        return self._secrets_path.exists()

    @property
    def _secrets_path(self) -> Path:
        return self.path / "secrets.json"

    def secrets(self) -> Secrets:
        """Return the secrets of this folder, made on first use and kept readable for the owner only.

        Raises:
            EmbeddedStackFailed: The file cannot be read.
        """
        path = self._secrets_path
        if not self.has_secrets:
            made = Secrets(
                jwt_secret=secrets.token_urlsafe(48),
                encryption_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            )
            # Somebody may have been quicker; then theirs are the secrets.
            with contextlib.suppress(FileExistsError):
                _write(path, asdict(made), is_new=True)
        try:
            return Secrets(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            raise EmbeddedStackFailed(f"{path} cannot be read; stored credentials depend on it") from None

    def write_run_info(self, info: RunInfo) -> None:
        """Tell others how to reach this server."""
        _write(self.path / "run.json", asdict(info))

    def run_info(self) -> RunInfo | None:
        """Return how to reach the server of this folder, or None when none is ready."""
        try:
            return RunInfo(**json.loads((self.path / "run.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def remove_run_info(self) -> None:
        """Tell others that this server is not to be reached any more."""
        (self.path / "run.json").unlink(missing_ok=True)

    def remember_children(self, pids: Mapping[str, int]) -> None:
        """Note which children run, so that the next server can stop them when we could not.

        Args:
            pids: Process ids by name.
        """
        noted = {}
        for name, pid in pids.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                noted[name] = {"pid": pid, "started_at": psutil.Process(pid).create_time()}
        _write(self.path / "children.json", noted)

    def forget_children(self) -> None:
        """Note that all children have been stopped."""
        (self.path / "children.json").unlink(missing_ok=True)

    def stop_leftovers(self) -> None:
        """Stop the children of a former server that was killed; processes that only share an id are let be."""
        try:
            noted = json.loads((self.path / "children.json").read_text())
        except (FileNotFoundError, ValueError):
            return
        found = {
            name: find_process(child["pid"], started_at=child["started_at"]) for name, child in noted.items()
        }
        leftovers = {name: process for name, process in found.items() if process is not None}
        if leftovers:
            log.warning("leftover_stopped", names=sorted(leftovers))
            stop_processes(list(leftovers.values()), request=signal.SIGTERM, grace_seconds=5)
        self.forget_children()


def _write(path: Path, content: Mapping[str, Any], *, is_new: bool = False) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    if not is_new:
        aside.replace(path)
        return
    try:
        # Unlike a rename, this fails when the name is taken.
        path.hardlink_to(aside)
    finally:
        aside.unlink()
