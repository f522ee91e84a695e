from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import httpx2
import pytest

from app.outbound.addresses import AddressRefused
from app.outbound.transport import CheckedTransport
from tests.unit.blocks.stub_server import Answer, StubServer, running_server


@pytest.fixture
async def client(server: StubServer) -> AsyncIterator[httpx2.AsyncClient]:
    transport = CheckedTransport(allowed_private_hosts=[f"127.0.0.1:{server.port}"], limit_bytes=1_000)
    async with httpx2.AsyncClient(transport=transport) as opened:
        yield opened


async def test_a_library_reaches_what_is_allowed(server: StubServer, client: httpx2.AsyncClient) -> None:
    server.answers["/a"] = Answer.of_json({"ok": True}, 201)
    response = await client.post(f"{server.url}/a?b=c", json={"n": 1})
    assert (response.status_code, response.json()) == (201, {"ok": True})
    (asked,) = server.asked
    assert (asked.method, asked.target, asked.json()) == ("POST", "/a?b=c", {"n": 1})


async def test_a_library_reaches_no_private_address(server: StubServer) -> None:
    async with httpx2.AsyncClient(transport=CheckedTransport()) as client:
        with pytest.raises(AddressRefused):
            await client.get(server.url)
    assert server.asked == []


async def test_a_library_that_follows_a_redirect_is_checked_again(
    server: StubServer, client: httpx2.AsyncClient
) -> None:
    async with running_server() as other:
        server.answers["/"] = Answer(302, headers={"location": f"{other.url}/"})
        with pytest.raises(AddressRefused):
            await client.get(f"{server.url}/", follow_redirects=True)
        assert other.asked == []


async def test_a_proxy_of_the_environment_gets_nothing(
    server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_server() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        transport = CheckedTransport(allowed_private_hosts=["127.0.0.1"])
        async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
            assert (await client.get(server.url)).status_code == 404
        assert proxy.asked == []


async def test_a_response_over_the_limit_is_not_read(server: StubServer, client: httpx2.AsyncClient) -> None:
    server.answers["/"] = Answer(body=b"x" * 1_001)
    with pytest.raises(httpx2.ReadError, match="larger"):
        await client.get(f"{server.url}/")


async def test_a_response_that_would_swell_is_not_read(
    server: StubServer, client: httpx2.AsyncClient
) -> None:
    server.answers["/"] = Answer(body=gzip.compress(b"\0" * 50_000), headers={"content-encoding": "gzip"})
    with pytest.raises(httpx2.RemoteProtocolError, match="compressed"):
        await client.get(f"{server.url}/")
    assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_a_library_sees_the_errors_it_knows(server: StubServer, client: httpx2.AsyncClient) -> None:
    server.answers["/"] = Answer(breaks_off=True)
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.get(f"{server.url}/")
    server.answers["/"] = Answer(hangs=True)
    with pytest.raises(httpx2.ReadTimeout):
        await client.get(f"{server.url}/", timeout=0.1)
