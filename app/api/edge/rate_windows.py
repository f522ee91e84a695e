"""Moving windows of requests in the memory of one process, as a storage of the library `limits`.

The library's own one looks through all keys at every request. This one forgets from the end that was used longest ago.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from limits.aio.storage import MovingWindowSupport, Storage


class ProcessWindows(Storage, MovingWindowSupport):
    """Remembers when requests were made."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Take a clock.

        Args:
            clock: Returns seconds since the epoch.
        """
        super().__init__(None)
        self._clock = clock
        self._windows: OrderedDict[str, tuple[deque[float], float]] = OrderedDict()
        """(moments of requests, seconds that they count), by key; the key that was used last comes last."""

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """Say what may go wrong: nothing."""
        return ()

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Note requests, unless that would be too many of them in the window."""
        now = self._clock()
        self._forget(now)
        moments, _ = self._windows.setdefault(key, (deque(), expiry))
        self._windows.move_to_end(key)
        _drop(moments, now - expiry)
        if len(moments) + amount > limit:
            return False
        moments.extend([now] * amount)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return when the oldest request of the window was made, and how many there were."""
        now = self._clock()
        moments, _ = self._windows.get(key, (deque(), expiry))
        _drop(moments, now - expiry)
        return (moments[0] if moments else now), len(moments)

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count without a window, which nobody here does."""
        raise NotImplementedError

    async def get(self, key: str) -> int:
        """Return how many requests of a key are remembered."""
        return len(self._windows[key][0]) if key in self._windows else 0

    async def get_expiry(self, key: str) -> float:
        """Return when all requests of a key are forgotten."""
        moments, seconds = self._windows.get(key, (deque(), 0.0))
        return (moments[-1] if moments else self._clock()) + seconds

    async def check(self) -> bool:
        """Say that it is there."""
        return True

    async def reset(self) -> int | None:
        """Forget everything."""
        forgotten = len(self._windows)
        self._windows.clear()
        return forgotten

    async def clear(self, key: str) -> None:
        """Forget the requests of a key."""
        self._windows.pop(key, None)

    def _forget(self, now: float) -> None:
        """Forget keys whose last request counts no more. One that counts holds up those behind it, not for long."""
        while self._windows:
            key, (moments, seconds) = next(iter(self._windows.items()))
            if moments and moments[-1] > now - seconds:
                return
            del self._windows[key]


def _drop(moments: deque[float], until: float) -> None:
    while moments and moments[0] <= until:
        moments.popleft()
