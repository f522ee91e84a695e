"""`worker.py` as a child process of the server."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from app.embedded.processes import Child, Command, spawn

_MARGIN_SECONDS = 5.0
"""What a worker may take beyond the time that it gives its running blocks."""


class EmbeddedWorker:
    """One worker process."""

    def __init__(
        self, script: Path, *, name: str, environment: Mapping[str, str], drain_seconds: float
    ) -> None:
        """Prepare a worker without starting it.

        Args:
            script: The program `worker.py`.
            name: What it is called in logs.
            environment: Its settings, in addition to our own.
            drain_seconds: How long it lets running blocks go on when it is stopped.
        """
        self.name = name
        self._script = script
        self._environment = environment
        self._drain_seconds = drain_seconds
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the worker, when it runs."""
        return self._child.pid if self._child and self._child.is_running else None

    async def start(self) -> None:
        """Start the process; it takes work a moment later.

        Raises:
            EmbeddedStackFailed: It cannot be started.
        """
        self._child = spawn(
            Command(name=self.name, arguments=[sys.executable, self._script], environment=self._environment)
        )

    async def wait(self) -> int:
        """Return the worker's exit code when it has ended."""
        return await self._child.wait() if self._child else 0

    async def stop(self) -> None:
        """Stop the worker after giving its running blocks some time; nothing happens when it does not run."""
        if self._child:
            grace_seconds = self._drain_seconds + _MARGIN_SECONDS
            await self._child.stop(signal.SIGTERM, grace_seconds=grace_seconds)
            self._child = None
