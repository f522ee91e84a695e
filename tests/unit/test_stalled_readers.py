"""Connections whose other end takes nothing of what it is sent, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app import stalled_readers
from app.http_protocol import BoundedProtocol
from app.socket_protocol import BoundedSocketProtocol
from tests.stack import eventually

MEBIBYTE = 1024 * 1024
GET = b"GET %s HTTP/1.1\r\nHost: a\r\n"
UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    + base64.b64encode(os.urandom(16))
    + b"\r\n"
)
PING, TEXT, CONTINUED, END = 0x89, 0x01, 0x00, 0x80


def frame(opcode: int, data: bytes = b"") -> bytes:
    """Return a frame as a client sends it; masked with nothing."""
    return struct.pack("!BB", opcode, 0x80 | len(data)) + bytes(4) + data


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve an answer in one piece, one without an end, or a socket that says how long each message was."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            if "text" in message:
                await send({"type": "websocket.send", "text": str(len(message["text"]))})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        is_endless = scope["path"] == "/endless"
        await send({"type": "http.response.body", "body": bytes(16 * MEBIBYTE), "more_body": is_endless})
        disconnected = asyncio.ensure_future(receive())
        done, _ = await asyncio.wait([disconnected], timeout=None if not is_endless else 0)
        if done:
            return
        disconnected.cancel()


@pytest.fixture
async def state(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[int, ServerState]]:
    monkeypatch.setattr(stalled_readers, "STALLED_SECONDS", 0.1)
    config = uvicorn.Config(
        answer, ws=BoundedSocketProtocol, log_config=None, timeout_keep_alive=1, lifespan="off"
    )
    config.load()
    connected = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedProtocol(config, connected, {}), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1], connected


@contextlib.asynccontextmanager
async def client_of(port: int) -> AsyncIterator[socket.socket]:
    """Give a connection that the system reads little for."""
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        yield connection


@pytest.mark.parametrize("path", [b"/endless", b"/once"])
async def test_who_takes_nothing_of_an_answer_is_cut_off(state: tuple[int, ServerState], path: bytes) -> None:
    port, connected = state
    async with client_of(port) as connection:
        await asyncio.get_running_loop().sock_sendall(connection, GET % path + b"\r\n")
        await eventually(lambda: connected.connections)
        await eventually(lambda: not connected.connections and not connected.tasks)


class Line(asyncio.Transport):
    """A transport whose other end takes a byte between two looks at it."""

    def __init__(self, waiting: int) -> None:
        super().__init__()
        self.waiting = waiting
        self.is_cut = False

    def get_write_buffer_size(self) -> int:
        self.waiting -= 1
        return self.waiting

    def abort(self) -> None:
        self.is_cut = True


class HeldLine(Line):
    """A transport whose other end takes nothing."""

    looks = 0

    def get_write_buffer_size(self) -> int:
        self.looks += 1
        return self.waiting


async def test_who_reads_slowly_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled_readers, "STALLED_SECONDS", 0.0)
    protocol, line = stalled_readers.CutsStalledReaders(), Line(20)
    protocol.loop, protocol.transport = asyncio.get_running_loop(), line
    protocol.pause_writing()
    await eventually(lambda: not line.waiting)
    assert not line.is_cut


async def test_who_takes_all_and_is_given_more_is_given_time_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled_readers, "STALLED_SECONDS", 0.0)
    protocol, line = stalled_readers.CutsStalledReaders(), HeldLine(20)
    protocol.loop, protocol.transport = asyncio.get_running_loop(), line
    protocol.pause_writing()
    protocol.resume_writing()
    line.waiting = 30
    protocol.pause_writing()
    looks = line.looks
    await eventually(lambda: line.is_cut)
    assert line.looks > looks + 1, "the first look found that it had read what there was"


async def test_who_asks_and_takes_no_answer_is_not_listened_to(state: tuple[int, ServerState]) -> None:
    port, connected = state
    loop = asyncio.get_running_loop()
    most_kept = 0

    async def ping(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                await loop.sock_sendall(connection, frame(PING, bytes(120)) * 1_000)

    def is_cut() -> bool:
        nonlocal most_kept
        kept = [each.transport.get_write_buffer_size() for each in connected.connections]
        most_kept = max(most_kept, *kept, 0)
        return not kept

    async with client_of(port) as connection:
        await loop.sock_sendall(connection, GET % b"/ws" + UPGRADE + b"\r\n")
        assert b" 101 " in await loop.sock_recv(connection, 4096)
        pinging = asyncio.create_task(ping(connection))
        await eventually(is_cut)
        pinging.cancel()
        await asyncio.wait([pinging])
    assert 0 < most_kept < MEBIBYTE


async def test_a_message_may_come_in_any_number_of_parts(state: tuple[int, ServerState]) -> None:
    port, connected = state
    loop = asyncio.get_running_loop()
    async with client_of(port) as connection:
        await loop.sock_sendall(connection, GET % b"/ws" + UPGRADE + b"\r\n")
        await loop.sock_recv(connection, 4096)
        parts = [frame(TEXT, b"a"), *[frame(CONTINUED)] * 1_000, frame(CONTINUED, b"b")]
        await loop.sock_sendall(connection, b"".join(parts))
        # A ping is answered behind what came before it.
        await loop.sock_sendall(connection, frame(PING))
        await loop.sock_recv(connection, 4096)
        [protocol] = connected.connections
        assert isinstance(protocol, BoundedSocketProtocol)
        assert len(protocol.frames) == 2
        await loop.sock_sendall(connection, frame(CONTINUED | END))
        assert await loop.sock_recv(connection, 4096) == b"\x81\x012"
