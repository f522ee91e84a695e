"""Names of hosts, asked of a name server that answers differently every time, through the system's way of asking."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.errors import BlockUnavailable
from app.outbound.addresses import AddressRefused
from app.outbound.http import OutboundHttp
from tests.unit.blocks.stub_server import Answer, StubServer
from tests.unit.outbound.test_addresses import PUBLIC, Wire


class NameServer(asyncio.DatagramProtocol):
    """Speaks DNS: gives one answer after another, none of them to be remembered, then the last one again."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.address = ("", 0)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(
        self,
        transport: asyncio.DatagramTransport,  # type: ignore[override]  # datagrams have no other
    ) -> None:
        self._transport = transport
        self.address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked += 1
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
        answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
        assert self._transport is not None
        self._transport.sendto(head + data[12:] + answer, addr)


async def ask(server: NameServer, host: str) -> str:
    """Return the address that a name server gives for a host, asked as programs ask."""
    loop = asyncio.get_running_loop()
    question = b"".join(bytes([len(label)]) + label.encode() for label in host.split(".")) + b"\0"
    query = b"\x12\x34" + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + question + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        await loop.sock_connect(asking, server.address)
        await loop.sock_sendall(asking, query)
        return socket.inet_ntoa((await loop.sock_recv(asking, 512))[-4:])


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NameServer]:
    """A name server that this process asks for every name."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    usual = loop.getaddrinfo

    async def getaddrinfo(host: Any, port: Any, **how: Any) -> Any:
        named = await ask(server, host) if str(host).endswith(".test") else host
        return await usual(named, port, **how)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    yield server
    transport.close()


async def test_a_name_is_asked_once_and_what_was_checked_is_what_is_connected_to(
    names: NameServer, server: StubServer
) -> None:
    names.answers[:] = [PUBLIC, "127.0.0.1"]
    wire = Wire(server.port)
    http = OutboundHttp(network=wire)
    await http.request("GET", "http://flips.test/")
    assert (names.asked, wire.connected) == (1, [PUBLIC])
    with pytest.raises(AddressRefused):
        await http.request("GET", "http://flips.test/")
    assert (names.asked, wire.connected) == (2, [PUBLIC])


async def test_a_name_that_changes_during_a_redirect_gains_nothing(
    names: NameServer, server: StubServer
) -> None:
    names.answers[:] = [PUBLIC, "169.254.169.254"]
    server.answers["/"] = Answer(302, headers={"location": "http://flips.test/latest/meta-data/"})
    wire = Wire(server.port)
    with pytest.raises(AddressRefused):
        await OutboundHttp(network=wire).request("GET", "http://flips.test/")
    assert wire.connected == [PUBLIC]
    assert [asked.target for asked in server.asked] == ["/"]


async def test_a_name_that_leads_to_this_machine_does_not_reach_it(
    names: NameServer, server: StubServer
) -> None:
    names.answers[:] = ["127.0.0.1"]
    with pytest.raises(AddressRefused):
        await OutboundHttp().request("GET", f"http://inside.test:{server.port}/")
    assert server.asked == []


async def test_a_name_that_nobody_knows_may_be_known_later() -> None:
    with pytest.raises(BlockUnavailable, match="was not found"):
        await OutboundHttp().request("GET", "http://nobody.invalid/")
