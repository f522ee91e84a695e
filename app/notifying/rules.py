"""How long and how often a notification is tried."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

CROWD = 2_000
"""So many deliveries that wait for one receiver look after it as seldom as they may."""
TURN_SECONDS = 0.05
"""How much later a delivery looks after room for each other one that waits for the same receiver."""


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
    """Of these, attempts for one webhook: a slow receiver holds up no other."""
    at_once_of_user: int = 12
    """Attempts for one user: many slow receivers hold up nobody else's."""
    at_once_failing: int = 25
    """Attempts for webhooks that fail: however many do, there is room for the others."""
    busy_seconds: float = 2.0
    """How long a delivery is put off for want of room, at first."""
    mails_a_day: int = 10
    """E-mails of one notification that are sent one by one; what happens after these is told together."""
    mail_pause: timedelta = timedelta(hours=1)
    """Between two of those that tell it."""
    longest_busy: timedelta = timedelta(minutes=15)
    """How long at most: thousands that wait for one receiver take next to nothing of a worker."""

    def wait(self, failures: int, *, asked_seconds: float | None = None) -> timedelta:
        """Return how long to wait before the next attempt: ever longer, and never as long as all the others.

        Args:
            failures: Attempts that have failed, at least 1.
            asked_seconds: What the receiver has asked for.
        """
        wait = min(self.first_wait * 3.0 ** min(failures - 1, 20), self.longest_wait)
        asked = timedelta(seconds=asked_seconds or 0.0)
        return max(wait * random.uniform(0.8, 1.2), asked)  # noqa: S311 - spreads load, hides nothing

    def put_off(self, times: int, *, waiting: int) -> timedelta:
        """Return how long to wait for room.

        Args:
            times: How often it was not there before.
            waiting: Deliveries that wait for the same receiver; `CROWD` for as many or more.
        """
        longest = self.longest_busy.total_seconds()
        turn_seconds = longest if waiting >= CROWD else waiting * TURN_SECONDS
        seconds = min(max(self.busy_seconds * 2.0 ** min(times, 20), turn_seconds), longest)
        return timedelta(seconds=seconds * random.uniform(0.5, 1.5))  # noqa: S311 - as above
