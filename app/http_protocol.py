"""What a connection may send before it is a request: headers of some size and number, and not for ever.

The server's own protocol reads headers of any length, for any time.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.stalled_readers import CutsStalledReaders

MAX_HEAD_BYTES = 64 * 1024
MAX_UNFINISHED_BYTES = 5 * MAX_HEAD_BYTES
"""Of a head whose end has not come. What came with its beginning is counted too, the end of another body perhaps."""
MAX_HEADERS = 100
HEAD_SECONDS = 30.0
"""How long the head of a request may take, from the connection or from its first byte on."""
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n"
    b"x-content-type-options: nosniff\r\n\r\n"
)


class BoundedProtocol(CutsStalledReaders, HttpToolsProtocol):
    """HTTP over one connection."""

    _head_bytes = 0
    _is_in_head = True
    _is_refused = False
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # always TCP
        """Take a connection."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._cancel_timer()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing has come, whether or not what waits is taken."""
        super().timeout_keep_alive_handler()
        self.watch_reader()

    def data_received(self, data: bytes) -> None:
        """Take what has come, unless the head that it belongs to has become too large."""
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_UNFINISHED_BYTES:
                self._refuse()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """Serve a request whose headers are there."""
        self._is_in_head = False
        self._cancel_timer()
        size = sum(len(name) + len(value) for name, value in self.headers) + len(self.url)
        if len(self.headers) > MAX_HEADERS or size > MAX_HEAD_BYTES:
            self._refuse()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if not self._is_refused:
            super().on_message_complete()

    def _expect_head(self) -> None:
        self._is_in_head, self._head_bytes = True, 0
        self._cancel_timer()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self._is_in_head and not self.transport.is_closing():
            self.transport.close()

    def _cancel_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self) -> None:
        self._is_refused = True
        if not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()
