"""An execution's events as they come: read from the text of a stream, in order, each once. Knows no connection."""

from __future__ import annotations

import json
from typing import Any, cast

from perdure.errors import UNREADABLE, ApiError
from perdure.types import Event

LAST = frozenset({"execution_completed", "execution_failed", "execution_cancelled"})
TOKEN = "token"  # noqa: S105 - the name of an event
RESET, SNAPSHOT = "reset", "snapshot"


class EventLog:
    """Puts events together that come over one connection after another."""

    def __init__(self, after: int = 0) -> None:
        """Begin behind a number."""
        self.seq = after
        """Of the last event that was taken."""
        self.is_over = False
        """Whether that was the last one of the execution."""
        self._type = ""
        self._lines: list[str] = []

    def connect(self) -> dict[str, str]:
        """Forget half an event of the connection before; return the headers that ask for what comes next."""
        self._type = ""
        self._lines.clear()
        start = {"Last-Event-ID": str(self.seq)} if self.seq else {}
        return {"Accept": "text/event-stream", **start}

    def read(self, line: str) -> Event | None:
        """Take one line; return the event that it completes, unless that was there before.

        Raises:
            ApiError: It is none of this API.
            Gap: There is one missing before it.
        """
        if line:
            if line.startswith("data:"):
                self._lines.append(line.removeprefix("data:").removeprefix(" "))
            elif line.startswith("event:"):
                self._type = line.removeprefix("event:").strip()
            return None
        event_type, lines = self._type, self._lines
        self._type, self._lines = "", []
        if not lines or event_type == RESET:
            return None
        data = _read(lines)
        if event_type == SNAPSHOT:
            # What was asked for lies behind the end of the log: it goes on where that ends.
            self.seq = data["event_seq"]
            return None
        if event_type == TOKEN:
            return Event(seq=None, type=TOKEN, data=data, at=None)
        return self._take(cast(Event, data))

    def _take(self, event: Event) -> Event | None:
        seq = event["seq"]
        if seq is None or seq <= self.seq:
            return None
        if seq != self.seq + 1:
            raise Gap(f"{seq} came after {self.seq}")
        self.seq = seq
        self.is_over = event["type"] in LAST
        return event


def _read(lines: list[str]) -> dict[str, Any]:
    try:
        data = json.loads("\n".join(lines))
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ApiError(UNREADABLE, "That is no event of this API", status=200)
    return data


class Gap(Exception):
    """A connection has lost events: they are asked for again."""
