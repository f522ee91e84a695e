"""A TCP proxy between two kinds of processes, whose connections can be cut, stalled and slowed down."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

CHUNK_BYTES = 64 * 1024
RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing sends a reset instead of what is left."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """The way from one kind of process to one service."""

    def __init__(self, name: str, connect: Callable[[], Awaitable[Streams]]) -> None:
        """Take where it leads; `connect` raises OSError while nobody is there."""
        self.name = name
        self.delay_seconds = 0.0
        """How long each piece of data is held back."""
        self._connect = connect
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, sock=self._listening)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        self._flowing.set()
        self.cut()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def cut(self) -> int:
        """Reset all connections; return how many there were."""
        writers = list(self._open)
        for writer in writers:
            _reset(writer)
        return len(writers) // 2

    def stall(self) -> None:
        """Let nothing through, neither data nor the news that a side has gone. New connections are taken."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let everything through again, what was held back included."""
        self.delay_seconds = 0.0
        self._flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._held(writer):
            await self._flowing.wait()
            try:
                onward_reader, onward_writer = await self._connect()
            except OSError:
                _reset(writer)
                return
            async with self._held(onward_writer):
                pumps = [
                    asyncio.create_task(self._pump(reader, onward_writer)),
                    asyncio.create_task(self._pump(onward_reader, writer)),
                ]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
            await self._flowing.wait()
        except OSError:
            _reset(writer)

    @contextlib.asynccontextmanager
    async def _held(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._open.add(writer)
        try:
            yield
        finally:
            self._open.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
