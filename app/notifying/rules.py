"""How long and how often a notification is tried."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """The terms on which notifications are delivered."""

    patience: timedelta = timedelta(days=3)
    """After which a delivery is given up."""
    bears: timedelta = timedelta(days=5)
    """How long a notification may fail before it is switched off."""
    first_wait: timedelta = timedelta(seconds=5)
    longest_wait: timedelta = timedelta(hours=6)
    attempt_seconds: float = 15.0
    """How long one attempt may take."""
    at_once: int = 50
    """Attempts that a worker makes at once."""
    at_once_each: int = 4
    """Of these, attempts for one notification: a slow receiver holds up no other."""
    busy_seconds: float = 2.0
    """How long a delivery is put off for want of room, at first."""

    def wait(self, failures: int, *, asked_seconds: float | None = None) -> timedelta:
        """Return how long to wait before the next attempt: ever longer, and never as long as all the others.

        Args:
            failures: Attempts that have failed, at least 1.
            asked_seconds: What the receiver has asked for.
        """
        wait = min(self.first_wait * 3.0 ** min(failures - 1, 20), self.longest_wait)
        asked = timedelta(seconds=asked_seconds or 0.0)
        return max(wait * random.uniform(0.8, 1.2), asked)  # noqa: S311 - spreads load, hides nothing

    def put_off(self, times: int) -> timedelta:
        """Return how long to wait for room that was not there so many times before."""
        seconds = min(self.busy_seconds * 2 ** min(times, 5), 60.0)
        return timedelta(seconds=seconds * random.uniform(0.5, 1.5))  # noqa: S311 - as above
