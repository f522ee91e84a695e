"""Connections whose other end reads nothing of what it is sent: cut off, since what waits for it is kept until then.

A transport that is closed waits for its last byte to go out, for ever if nobody takes it.
"""

from __future__ import annotations

import asyncio

STALLED_SECONDS = 30.0
"""How long the other end may take nothing while something waits for it. Who reads slowly is given time."""


class CutsStalledReaders(asyncio.Protocol):
    """To be put before a protocol that writes."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _unread_bytes = 0
    _has_read = False
    _reader_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Note that more waits than should."""
        super().pause_writing()
        self.watch_reader()

    def resume_writing(self) -> None:
        """Note that enough was taken."""
        self._has_read = True
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        if self._reader_timer is not None:
            self._reader_timer.cancel()
        super().connection_lost(exc)

    def watch_reader(self) -> None:
        """See to it that what waits is taken, or nothing waits any more."""
        self._unread_bytes = self.transport.get_write_buffer_size()
        if self._reader_timer is None:
            self._has_read = False
            self._reader_timer = self.loop.call_later(STALLED_SECONDS, self._look_at_reader)

    def _look_at_reader(self) -> None:
        self._reader_timer = None
        unread_bytes = self.transport.get_write_buffer_size()
        if not unread_bytes:
            return
        if self._has_read or unread_bytes < self._unread_bytes:
            self.watch_reader()
        else:
            self.transport.abort()
