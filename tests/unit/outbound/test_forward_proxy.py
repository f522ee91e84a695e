from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.outbound.forward_proxy import ForwardProxy
from app.outbound.http import OutboundHttp
from tests.unit.blocks.stub_server import Answer, StubServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    async with running_server() as stub:
        stub.answers["/"] = Answer(body=b"there")
        yield stub


@pytest.fixture
async def forbidden() -> AsyncIterator[StubServer]:
    async with running_server() as stub:
        yield stub


@asynccontextmanager
async def proxy_to(server: StubServer, *, limit_bytes: int = 1_000_000) -> AsyncIterator[ForwardProxy]:
    http = OutboundHttp(allowed_private_hosts=[f"127.0.0.1:{server.port}"])
    async with ForwardProxy(http, limit_bytes=limit_bytes) as proxy:
        yield proxy
    await http.aclose()


async def say(proxy: ForwardProxy, *said: str) -> bytes:
    """Return all that comes back on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    for text in said:
        writer.write(text.encode())
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return answer


async def test_a_request_goes_on_without_what_was_for_the_proxy(server: StubServer) -> None:
    async with proxy_to(server) as proxy:
        answer = await say(
            proxy,
            f"POST http://127.0.0.1:{server.port}/?a=http://b/c HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n",
            "Proxy-Connection: keep-alive\r\nContent-Length: 4\r\nX-Mine: 1\r\n\r\nbody and more",
        )
    assert answer.endswith(b"there")
    (asked,) = server.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/?a=http://b/c", b"body")
    assert asked.headers["x-mine"] == "1"
    assert asked.headers["connection"] == "close"
    assert "proxy-connection" not in asked.headers


async def test_a_tunnel_is_opened(server: StubServer) -> None:
    async with proxy_to(server) as proxy:
        answer = await say(
            proxy, f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        )
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"there")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "[::ffff:127.0.0.1]"]
)
@pytest.mark.parametrize("head", ["GET http://{}/ HTTP/1.1\r\n\r\n", "CONNECT {} HTTP/1.1\r\n\r\n"])
async def test_a_private_address_is_refused(
    server: StubServer, forbidden: StubServer, host: str, head: str
) -> None:
    async with proxy_to(server) as proxy:
        answer = await say(proxy, head.format(f"{host}:{forbidden.port}"))
    assert answer.startswith(b"HTTP/1.1 403")
    assert not forbidden.asked


async def test_a_second_request_on_a_connection_reaches_nobody(
    server: StubServer, forbidden: StubServer
) -> None:
    first = f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\r\nHost: a\r\n\r\n"
    second = f"GET http://127.0.0.1:{forbidden.port}/ HTTP/1.1\r\nHost: b\r\n\r\n"
    async with proxy_to(server) as proxy:
        await say(proxy, first, second)
    assert len(server.asked) == 1
    assert not forbidden.asked


@pytest.mark.parametrize(
    "said",
    [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET https://127.0.0.1/ HTTP/1.1\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\n\r\n",
        "GET http://a:b/ HTTP/1.1\r\n\r\n",
        "GET http:///a HTTP/1.1\r\n\r\n",
        "CONNECT a HTTP/1.1\r\n\r\n",
        "POST http://127.0.0.1/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET http://127.0.0.1/ HTTP/1.1\r\nX: " + "x" * 100_000,
    ],
)
async def test_what_cannot_be_carried_out_ends_the_connection(server: StubServer, said: str) -> None:
    async with proxy_to(server) as proxy:
        assert b"200" not in await say(proxy, said)
    assert not server.asked


async def test_all_connections_together_receive_only_so_much(server: StubServer) -> None:
    server.answers["/"] = Answer(body=b"x" * 3_000_000)
    request = f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\r\n\r\n"
    async with proxy_to(server, limit_bytes=100_000) as proxy:
        assert len(await say(proxy, request)) < 300_000
        assert await say(proxy, request) == b""


async def test_leaving_ends_what_is_under_way(server: StubServer) -> None:
    server.answers["/"] = Answer(hangs=True)
    async with proxy_to(server) as proxy:
        saying = asyncio.create_task(say(proxy, f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\r\n\r\n"))
        await asyncio.wait_for(server.reached.wait(), 60)
    assert await saying == b""
    await asyncio.wait_for(server.left.wait(), 60)
