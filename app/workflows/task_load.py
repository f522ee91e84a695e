"""How much one workflow task has taken on: what is too much for it waits for the next one."""

from __future__ import annotations

from app.workflows.documents import end_task

COMMAND_BUDGET_BYTES = 1_000_000
"""Above 4 MB of commands in one workflow task the server terminates the workflow, so far less is sent at once."""
YIELD_AFTER_SECONDS = 1.0
"""While local activities follow each other no message comes through: at the latest then, the task is ended."""


class TaskLoad:
    """The load of the workflow task under way."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._bytes = 0
        self._seconds = 0.0

    def add(self, size: int, *, seconds: float = 0.0) -> None:
        """Count what is sent, in bytes, and how long local activities have taken."""
        self._bytes += size
        self._seconds += seconds

    @property
    def is_full(self) -> bool:
        """Answer whether the task is to take no more."""
        return self._bytes >= COMMAND_BUDGET_BYTES or self._seconds >= YIELD_AFTER_SECONDS

    async def shed(self) -> None:
        """End the task, and begin the next one with nothing."""
        await end_task()
        self._bytes = 0
        self._seconds = 0.0
