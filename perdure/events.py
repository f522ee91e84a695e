"""An execution's events as they come: read from the text of a stream, in order, each once. Knows no connection."""

from __future__ import annotations

import json
from typing import cast

from perdure.types import Event

LAST = frozenset({"execution_completed", "execution_failed", "execution_cancelled"})
TOKEN = "token"  # noqa: S105 - the name of an event


class EventLog:
    """Puts events together that come over one connection after another."""

    def __init__(self, after: int = 0) -> None:
        """Begin behind a number."""
        self.seq = after
        """Of the last event that was taken."""
        self.is_over = False
        """Whether that was the last one of the execution."""
        self._lines: list[str] = []

    def connect(self) -> dict[str, str]:
        """Forget half an event of the connection before; return the headers that ask for what comes next."""
        self._lines.clear()
        start = {"Last-Event-ID": str(self.seq)} if self.seq else {}
        return {"Accept": "text/event-stream", **start}

    def read(self, line: str) -> Event | None:
        """Take one line; return the event that it completes, unless that was there before.

        Raises:
            Gap: There is one missing before it.
        """
        if line:
            if line.startswith("data:"):
                self._lines.append(line.removeprefix("data:").removeprefix(" "))
            elif line.startswith("event:") and line.removeprefix("event:").strip() == TOKEN:
                self._lines.insert(0, TOKEN)
            return None
        lines, self._lines = self._lines, []
        if not lines:
            return None
        if lines[0] == TOKEN:
            return Event(seq=None, type=TOKEN, data=json.loads("\n".join(lines[1:])), at=None)
        return self._take(cast(Event, json.loads("\n".join(lines))))

    def _take(self, event: Event) -> Event | None:
        seq = event["seq"]
        if seq is None or seq <= self.seq:
            return None
        if seq != self.seq + 1:
            raise Gap(f"{seq} came after {self.seq}")
        self.seq = seq
        self.is_over = event["type"] in LAST
        return event


class Gap(Exception):
    """A connection has lost events: they are asked for again."""
