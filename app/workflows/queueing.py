"""The wait of an execution that was sent to the queue: until it is called, or for some time in case nobody calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=5)


class Turn:
    """Waits for its turn."""

    def __init__(self) -> None:
        """Begin uncalled."""
        self.is_awaited = False
        """Whether the execution is in the queue."""
        self._is_called = False
        self._wait = FIRST_WAIT

    def call(self) -> None:
        """End the wait, or the next one."""
        self._is_called = True

    async def come(self, *, is_overdue: Callable[[], bool]) -> None:
        """Wait to ask again.

        Args:
            is_overdue: Whether the time of the execution is up, so that there is nothing to wait for.
        """
        try:
            await workflow.wait_condition(
                lambda: self._is_called or is_overdue(),
                timeout=self._wait,
                timeout_summary="asks again whether it may begin",
            )
        except TimeoutError:
            self._wait = min(2 * self._wait, LONGEST_WAIT)
        self._is_called = False
