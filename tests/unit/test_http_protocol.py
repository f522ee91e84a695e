"""What a connection may send before it is a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from app.embedded.ports import bind
from app.serving import serving

GET = b"GET /health/live HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    application = FastAPI()

    @application.get("/health/live")
    async def live() -> str:
        return "yes"

    with bind("127.0.0.1", 0, setting="PERDURE_PORT") as listening:
        async with serving(application, listening):
            yield listening.getsockname()[1]


async def answer(port: int, *pieces: bytes) -> bytes:
    """Send pieces on a connection, and return what comes back until it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_an_ordinary_request_is_served(port: int) -> None:
    assert b"200 OK" in await answer(port, GET, b"Connection: close\r\n\r\n")


@pytest.mark.parametrize(
    "pieces",
    [
        [GET, *(b"X-%d: a\r\n" % number for number in range(101)), b"\r\n"],
        [GET, b"X: " + b"a" * 65_000 + b"\r\n", b"Y: " + b"a" * 2_000, b"\r\n\r\n"],
        [b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"],
        [b"POST /health/live HTTP/1.1\r\nContent-Length: 3\r\nX: " + b"a" * 70_000 + b"\r\n\r\nabc"],
    ],
    ids=["many", "long", "path", "with a body"],
)
async def test_a_head_that_is_too_large_is_refused(port: int, pieces: list[bytes]) -> None:
    assert b" 200 " not in await answer(port, *pieces)
    assert b"200 OK" in await answer(port, GET, b"Connection: close\r\n\r\n")


async def test_a_head_without_an_end_is_refused(port: int) -> None:
    # The refusal itself may be lost with what was sent after it.
    async with asyncio.timeout(20):
        assert b" 200 " not in await answer(port, GET, b"X: ", *[b"a" * 50_000] * 12)


async def test_a_head_that_does_not_come_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.http_protocol.HEAD_SECONDS", 0.05)
    assert await answer(port, b"GET / HT") == b""
    assert await answer(port) == b""
