"""The only way out for a program that speaks HTTP by itself: a local proxy that reaches what blocks may reach."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpcore2

from app.errors import BlockError
from app.outbound.http import OutboundHttp

MAX_HEAD_BYTES = 64 * 1024
IDLE_SECONDS = 60.0
_CHUNK_BYTES = 64 * 1024
_FOR_THE_PROXY = frozenset(
    {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"}
)
_BROKEN = (OSError, EOFError, ValueError, httpcore2.NetworkError, httpcore2.TimeoutException)


class _Refused(Exception):
    """The request is not carried out."""


class ForwardProxy:
    """Carries requests and tunnels to checked addresses, until it is left."""

    def __init__(self, http: OutboundHttp, *, limit_bytes: int) -> None:
        """Take how the world is reached.

        Args:
            http: Opens the connections, and checks addresses as it does.
            limit_bytes: The most that is received, all connections together.
        """
        self._http = http
        self._room = limit_bytes
        self._serving: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._serving = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=MAX_HEAD_BYTES)
        self.port = self._serving.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._serving is not None
        self._serving.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._serving.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._carry(reader, writer)
        except (BlockError, _Refused):
            with contextlib.suppress(OSError):
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
        except (*_BROKEN, asyncio.LimitOverrunError):
            pass  # one of the two has left
        finally:
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = line.split(" ")
        is_tunnel = method == "CONNECT"
        url = urlsplit(f"//{target}" if is_tunnel else target)
        port = url.port if is_tunnel else url.port or 80
        if not url.hostname or not port or (not is_tunnel and url.scheme != "http"):
            raise _Refused
        sent = None if is_tunnel else _Head.of(lines)
        stream = await self._http.connect(url.hostname, port)
        try:
            if sent is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = target.split("/", 3)[3] if target.count("/") > 2 else ""
                await stream.write(f"{method} /{path} HTTP/1.1\r\n{sent.text}\r\n".encode("latin-1"))
            sending = asyncio.create_task(_send(reader, stream, None if sent is None else sent.body_bytes))
            try:
                await self._receive(stream, writer)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        finally:
            await stream.aclose()

    async def _receive(self, stream: httpcore2.AsyncNetworkStream, writer: asyncio.StreamWriter) -> None:
        while self._room > 0 and (chunk := await stream.read(_CHUNK_BYTES, timeout=IDLE_SECONDS)):
            self._room -= len(chunk)
            writer.write(chunk)
            await writer.drain()


class _Head:
    """The headers of a request as they go on."""

    def __init__(self, text: str, body_bytes: int) -> None:
        self.text = text
        self.body_bytes = body_bytes

    @classmethod
    def of(cls, lines: list[str]) -> _Head:
        named = [(line.partition(":")[0].strip().lower(), line) for line in lines]
        if any(name == "transfer-encoding" for name, _ in named):
            raise _Refused
        body_bytes = 0
        for name, line in named:
            if name == "content-length":
                body_bytes = int(line.partition(":")[2])
        # One request per connection: the next one may be for another host.
        kept = [line for name, line in named if name not in _FOR_THE_PROXY] + ["Connection: close"]
        return cls("".join(f"{line}\r\n" for line in kept), body_bytes)


async def _send(
    reader: asyncio.StreamReader, stream: httpcore2.AsyncNetworkStream, body_bytes: int | None
) -> None:
    """Pass on what comes, so many bytes of it, or all if None."""
    while body_bytes is None or body_bytes > 0:
        chunk = await reader.read(_CHUNK_BYTES if body_bytes is None else min(_CHUNK_BYTES, body_bytes))
        if not chunk:
            return
        if body_bytes is not None:
            body_bytes -= len(chunk)
        await stream.write(chunk, timeout=IDLE_SECONDS)
