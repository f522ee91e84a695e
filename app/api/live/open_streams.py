"""How many event streams a user has open: each costs the process something, however quiet it is."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.errors import RateLimited

RETRY_SECONDS = 5
EVENT_STREAM = "text/event-stream"
_UNCHANGED = {"X-Accel-Buffering": "no", "Cache-Control": "no-store, no-transform"}
"""What stands between must neither gather pieces nor pack them: each is to arrive when it is sent."""


class OpenStreams:
    """Counts the open streams of each user."""

    def __init__(self, *, per_user: int) -> None:
        """Take how many a user may have."""
        self._per_user = per_user
        self._open: Counter[str] = Counter()

    def count_all(self) -> int:
        """Return how many are open, of all users."""
        return self._open.total()

    @contextmanager
    def held(self, user_id: str) -> Iterator[None]:
        """Count a stream for as long as it is open.

        Raises:
            RateLimited: The user has as many as there may be.
        """
        if self._open[user_id] >= self._per_user:
            raise RateLimited(
                f"More than {self._per_user} event streams are open", retry_after_seconds=RETRY_SECONDS
            )
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]


class EventStream(StreamingResponse):
    """An answer that is counted while it goes on."""

    def __init__(self, frames: AsyncIterator[str], streams: OpenStreams, user_id: str) -> None:
        """Take what is sent, and whose stream it is."""
        super().__init__(frames, media_type=EVENT_STREAM, headers=_UNCHANGED)
        self._streams = streams
        self._user_id = user_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, as fast as it is read. The connection of who reads nothing is cut below.

        Raises:
            RateLimited: The user has as many streams as there may be; nothing has been sent.
        """
        with self._streams.held(self._user_id), contextlib.suppress(ClientDisconnect):
            await super().__call__(scope, receive, send)
