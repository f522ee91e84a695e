"""What a WebSocket may have its server keep: nothing for who only sends, and nothing for who does not read."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from app.stalled_readers import CutsStalledReaders


class BoundedSocketProtocol(CutsStalledReaders, WebSocketsSansIOProtocol):
    """A WebSocket over one connection."""

    def pause_writing(self) -> None:
        """Read nothing either while the other end does not: every ping would be answered, and the answers kept."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on, unless a message waits to be taken."""
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    def handle_cont(self, event: Frame) -> None:
        """Take the next part of a message. Empty ones count for no size, and there may be any number of them."""
        if event.data or event.fin:
            super().handle_cont(event)

    def keepalive_timeout(self) -> None:
        """Close it, whether or not what waits is taken."""
        super().keepalive_timeout()
        self.watch_reader()
