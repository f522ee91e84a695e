"""When a workflow run is long enough to hand over to the next, and how it gets its calls back before."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import workflow

LEAST_EVENTS = 50
"""A run has at least so many events beyond those that its state took, however large that was."""
LONGEST_RUN = 4
LONGEST_RUN_BYTES = 20 * 1024 * 1024
"""A run of so many times its length, or of so many bytes, begins nothing more, however long that takes: the server ends
longer histories."""


class RunLength:
    """Follows how long the history of this run has become.

    A call cannot move from run to run, so at first nothing new is called, and the run is handed over once all have come
    back. A call that takes long does not hold up the others for long: after a while new ones are made again, until the
    history is so long that there is no choice.
    """

    def __init__(self, events: int, *, patience_seconds: float) -> None:
        """Take how many events a run may have, and how long nothing new is called so that calls can come back."""
        self._events = events
        self._patience = timedelta(seconds=patience_seconds)
        self._least = 0
        self._since: datetime | None = None
        self.is_over = False
        """Whether this run should be handed over."""

    def begin(self) -> None:
        """Take that the state of the run before has been loaded: from here on there has to be some progress."""
        self._least = workflow.info().get_current_history_length() + min(LEAST_EVENTS, self._events // 2)

    def look(self) -> None:
        """Look how long the history has become."""
        info = workflow.info()
        length = info.get_current_history_length()
        is_long = length >= self._events or info.is_continue_as_new_suggested()
        self.is_over = is_long and length >= self._least
        if self.is_over and self._since is None:
            self._since = workflow.now()

    def may_call(self) -> bool:
        """Answer whether a new call may be made."""
        return not self.is_over or (self.patience_left() is None and not self.is_longest)

    @property
    def is_longest(self) -> bool:
        """Answer whether there is no choice any more but to hand over."""
        info = workflow.info()
        return self.is_over and (
            info.get_current_history_length() >= LONGEST_RUN * self._events
            or info.get_current_history_size() >= LONGEST_RUN_BYTES
        )

    def patience_left(self) -> timedelta | None:
        """Return how long nothing is called from now on, or None when that time is over or has not begun."""
        if self._since is None:
            return None
        left = self._since + self._patience - workflow.now()
        return left if left > timedelta(0) else None
