"""A command in a terminal of its own, with somebody who types."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
import subprocess
import termios
from types import TracebackType
from typing import Self

from tests.e2e.commands import PERDURE
from tests.stack import eventually

ROWS, COLUMNS = 30, 120
CTRL_C = "\x03"
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs `perdure` in a pseudo-terminal; `text` is all that it has written, without what moves the cursor."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.set_blocking(self._master, False)
        self._process = subprocess.Popen(
            [PERDURE, *arguments],
            env={**os.environ, "TERM": "xterm-256color", **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # Only the terminal of a session turns Ctrl-C into a signal.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        os.close(slave)
        self._written = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        try:
            while data := os.read(self._master, 65_536):
                self._written += data.decode(errors="replace")
        except OSError:
            pass  # nothing there now, or nothing any more
        return _CONTROLS.sub("", self._written)

    async def shows(self, text: str) -> None:
        """Wait until something was written."""
        await eventually(lambda: text in self.text, timeout_seconds=60)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    async def ended(self) -> int:
        """Wait until the command has ended; return its exit code."""

        def has_ended() -> bool:
            # What nobody reads would keep it from ending.
            _ = self.text
            return self._process.poll() is not None

        await eventually(has_ended, timeout_seconds=60)
        return await asyncio.to_thread(self._process.wait)
