"""What a response may cost: its size, its time, and what is said when it does not come whole."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket

import pytest

from app.errors import BlockError, BlockLimitExceeded, BlockUnavailable
from app.outbound.http import OutboundHttp
from tests.unit.blocks.stub_server import Answer, Asked, StubServer


async def test_a_response_up_to_the_limit_is_read(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/"] = Answer(body=b"x" * 100_000)
    assert len((await http.request("GET", f"{server.url}/")).body) == 100_000
    server.answers["/"] = Answer(body=b"x" * 100_001)
    with pytest.raises(BlockLimitExceeded):
        await http.request("GET", f"{server.url}/")


def gzipped(body: bytes) -> Answer:
    return Answer(body=body, headers={"content-encoding": "gzip"})


async def test_a_compressed_response_is_decompressed(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/"] = gzipped(gzip.compress(b"a" * 100_000))
    assert (await http.request("GET", f"{server.url}/")).body == b"a" * 100_000


async def test_a_response_compressed_in_several_parts_is_read_to_its_end(
    server: StubServer, http: OutboundHttp
) -> None:
    server.answers["/"] = gzipped(gzip.compress(b"one ") + gzip.compress(b"two") + b"\0\0\0")
    assert (await http.request("GET", f"{server.url}/")).body == b"one two"


@pytest.mark.parametrize("rounds", [1, 50])
async def test_a_compressed_bomb_is_stopped_at_the_limit(
    server: StubServer, http: OutboundHttp, rounds: int
) -> None:
    server.answers["/"] = gzipped(gzip.compress(b"\0" * (5_000_000 // rounds)) * rounds)
    with pytest.raises(BlockLimitExceeded):
        await http.request("GET", f"{server.url}/")


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"a" * 1_000, mtime=0)[:-9]])
async def test_a_response_that_cannot_be_decompressed_is_an_error(
    server: StubServer, http: OutboundHttp, body: bytes
) -> None:
    server.answers["/"] = gzipped(body)
    with pytest.raises(BlockError, match="decompressed"):
        await http.request("GET", f"{server.url}/")


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
async def test_a_compression_that_was_not_asked_for_is_refused(
    server: StubServer, http: OutboundHttp, encoding: str
) -> None:
    server.answers["/"] = Answer(body=b"x", headers={"content-encoding": encoding})
    with pytest.raises(BlockError, match="compressed"):
        await http.request("GET", f"{server.url}/")


async def test_a_response_without_a_body_may_call_itself_compressed(
    server: StubServer, http: OutboundHttp
) -> None:
    server.answers["/"] = Answer(body=gzip.compress(b"x"), headers={"content-encoding": "gzip"})
    assert (await http.request("HEAD", f"{server.url}/")).body == b""


async def test_headers_without_end_are_not_read(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/"] = Answer(headers={"x-long": "x" * 1_000_000})
    with pytest.raises(BlockUnavailable):
        await http.request("GET", f"{server.url}/")


async def test_a_server_that_keeps_silent_is_unavailable(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/"] = Answer(hangs=True)
    with pytest.raises(BlockUnavailable, match=r"0\.1 s") as failure:
        await http.request("GET", f"{server.url}/", timeout_seconds=0.1)
    assert failure.value.is_transient
    assert failure.value.details == {}


async def test_a_body_that_trickles_is_given_up() -> None:
    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)

    async with await asyncio.start_server(trickle, "127.0.0.1", 0) as slow:
        port = slow.sockets[0].getsockname()[1]
        patient = OutboundHttp(allowed_private_hosts=["127.0.0.1"])
        with pytest.raises(BlockUnavailable, match="did not answer within"):
            await patient.request("GET", f"http://127.0.0.1:{port}/", timeout_seconds=0.3)


async def test_the_time_limit_is_one_for_all_redirects(server: StubServer, http: OutboundHttp) -> None:
    loop = asyncio.get_running_loop()
    server.answers["/a"] = Answer(302, headers={"location": "/b"})
    server.answers["/b"] = Answer(hangs=True)
    begun = loop.time()
    with pytest.raises(BlockUnavailable):
        await http.request("GET", f"{server.url}/a", timeout_seconds=0.2)
    assert loop.time() - begun < 5


@pytest.mark.parametrize(
    ("method", "is_unknown"), [("POST", True), ("PATCH", True), ("PUT", False), ("GET", False)]
)
async def test_a_broken_connection_leaves_the_outcome_open_only_when_it_matters(
    server: StubServer, http: OutboundHttp, method: str, is_unknown: bool
) -> None:
    server.answers["/"] = Answer(breaks_off=True)
    with pytest.raises(BlockUnavailable) as failure:
        await http.request(method, f"{server.url}/")
    assert failure.value.details.get("outcome_unknown", False) == is_unknown


async def test_a_response_that_ends_early_is_unavailable(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/"] = Answer(body=b"half", headers={"content-length": "8"})
    with pytest.raises(BlockUnavailable):
        await http.request("GET", f"{server.url}/")


async def test_a_host_that_nobody_serves_is_unavailable_and_was_not_asked() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        http = OutboundHttp(allowed_private_hosts=["127.0.0.1"])
        with pytest.raises(BlockUnavailable) as failure:
            await http.request("POST", f"http://127.0.0.1:{port}/")
    assert failure.value.details == {}


async def test_a_cancelled_request_leaves_at_once(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/"] = Answer(hangs=True)
    request = asyncio.create_task(http.request("GET", f"{server.url}/"))
    await asyncio.wait_for(server.reached.wait(), 60)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await asyncio.wait_for(server.left.wait(), 60)


async def test_many_requests_at_once_do_not_hinder_each_other(server: StubServer, http: OutboundHttp) -> None:
    def echo(asked: Asked) -> Answer:
        return Answer(body=asked.body)

    server.answers["/"] = echo
    answers = await asyncio.gather(
        *(http.request("POST", f"{server.url}/", json={"n": number}) for number in range(50))
    )
    assert [json.loads(answer.body)["n"] for answer in answers] == list(range(50))
