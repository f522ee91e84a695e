from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BlockInputInvalid, BlockUnavailable
from app.outbound.addresses import AddressRefused, is_public, resolve
from app.outbound.http import OutboundHttp
from tests.unit.blocks.stub_server import Answer, StubServer, running_server

PUBLIC = "93.184.215.14"


class Names:
    """A name server: gives each host its answers one after another, then the last one again."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers = {name.replace("_", "."): rounds for name, rounds in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        rounds = self._answers[host]
        return rounds.pop(0) if len(rounds) > 1 else rounds[0]


class Wire(httpcore2.AsyncNetworkBackend):
    """A network in which every address, public ones too, leads to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._network = httpcore2.AnyIOBackend()
        self.connected: list[str] = []

    async def connect_tcp(
        self, host: str, port: int, *rest: Any, **named: Any
    ) -> httpcore2.AsyncNetworkStream:
        self.connected.append(host)
        return await self._network.connect_tcp("127.0.0.1", self._port, *rest, **named)


@pytest.fixture
async def http(server: StubServer) -> AsyncIterator[OutboundHttp]:
    client = OutboundHttp(allowed_private_hosts=[f"127.0.0.1:{server.port}"], limit_bytes=100_000)
    yield client
    await client.aclose()


@pytest.fixture
async def strict() -> AsyncIterator[OutboundHttp]:
    client = OutboundHttp()
    yield client
    await client.aclose()


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:0:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:5db8:d822::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2606:4700::1%eth0",
    ],
)
def test_an_address_that_is_not_of_the_public_internet_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"],
)
def test_an_address_of_the_public_internet_is_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_what_python_calls_private_is_never_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    wrapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    if address.is_private and not wrapped:
        assert not is_public(str(address))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0x0.0x0.0x1",
        "017700000001",
        "0",
        "127。0。0。1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "169.254.169.254",
        "localhost",
        "LOCALHOST",
    ],
)
async def test_this_machine_is_not_reached_under_any_spelling(
    server: StubServer, strict: OutboundHttp, host: str
) -> None:
    with pytest.raises(AddressRefused) as refused:
        await strict.request("GET", f"http://{host}:{server.port}/")
    assert refused.value.code == "ADDRESS_REFUSED"
    assert not refused.value.is_transient
    assert server.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com",
        "/path",
        "ftp://example.com",
        "file:///etc/passwd",
        "gopher://example.com",
        "unix:///var/run/docker.sock",
        "http://",
        "http:///path",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://:@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1%2f@example.com/",
        "http://a b/",
        "http://%31%32%37.0.0.1/",
        "http://exa\nmple.com/",
        "http://example.com:99999999/",
        "http://example.com:0/",
        "http://example.com:x/",
        "http://%6c%6fcalhost/",
        "http://ⓛocalhost/",
        "http://①②⑦.0.0.1/",
        "http://0177.0.0.1/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://a..b/",
        f"http://{'a' * 64}.com/",
        "http://\ud800/",
    ],
)
async def test_a_url_that_is_no_plain_web_address_is_refused(strict: OutboundHttp, url: str) -> None:
    with pytest.raises(BlockInputInvalid) as refused:
        await strict.request("GET", url)
    assert "secret" not in refused.value.message


async def test_one_private_address_among_public_ones_spoils_them() -> None:
    wire = Wire(1)
    http = OutboundHttp(resolver=Names(mixed_test=[[PUBLIC, "10.0.0.1"]]), network=wire)
    with pytest.raises(AddressRefused):
        await http.request("GET", "http://mixed.test/")
    assert wire.connected == []


async def test_a_name_that_changes_its_address_after_the_check_gains_nothing(server: StubServer) -> None:
    names = Names(flips_test=[[PUBLIC], ["127.0.0.1"]])
    wire = Wire(server.port)
    http = OutboundHttp(resolver=names, network=wire)
    server.answers["/"] = Answer()

    await http.request("GET", "http://flips.test/")
    assert (names.asked, wire.connected) == (["flips.test"], [PUBLIC])

    with pytest.raises(AddressRefused):
        await http.request("GET", "http://flips.test/")
    assert wire.connected == [PUBLIC]


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"])
async def test_the_metadata_of_a_cloud_is_not_reached_by_its_name(address: str) -> None:
    wire = Wire(1)
    http = OutboundHttp(resolver=Names(metadata_google_internal=[[address]]), network=wire)
    with pytest.raises(AddressRefused):
        await http.request("GET", "http://metadata.google.internal/computeMetadata/v1/")
    assert wire.connected == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "[::ffff:127.0.0.1]", "own.test"])
async def test_our_own_services_are_not_reached_even_at_an_allowed_host(
    server: StubServer, host: str
) -> None:
    names = Names(own_test=[["127.0.0.1"]])

    async def find(name: str, port: int) -> Sequence[str]:
        return await (names if name == "own.test" else resolve)(name, port)

    http = OutboundHttp(
        allowed_private_hosts=["127.0.0.1", "localhost", "127.0.0.2", "::ffff:127.0.0.1", "own.test"],
        own_services=[f"127.0.0.1:{server.port}"],
        resolver=find,
    )
    with pytest.raises(AddressRefused, match="part of this system"):
        await http.request("GET", f"http://{host}:{server.port}/")
    async with running_server() as other:
        assert (await http.request("GET", f"http://127.0.0.1:{other.port}/")).status_code == 404
    assert server.asked == []


async def test_a_service_of_ours_that_has_moved_is_known_at_its_new_address(server: StubServer) -> None:
    names = Names(temporal_test=[["10.0.0.1"], ["127.0.0.1"]], inside_test=[["127.0.0.1"]])
    http = OutboundHttp(
        allowed_private_hosts=["inside.test"],
        own_services=[f"temporal.test:{server.port}"],
        resolver=names,
    )
    url = f"http://inside.test:{server.port}/"
    assert (await http.request("GET", url)).status_code == 404
    with pytest.raises(AddressRefused):
        await http.request("GET", url)


async def test_the_next_address_is_tried_when_one_does_not_answer(server: StubServer) -> None:
    with socket.socket() as dead:
        dead.bind(("127.0.0.2", 0))
        http = OutboundHttp(
            resolver=Names(two_test=[["127.0.0.2", "127.0.0.1"]]), allowed_private_hosts=["two.test"]
        )
        assert (await http.request("GET", f"http://two.test:{server.port}/")).status_code == 404


@pytest.mark.parametrize("allowed", ["inside.test", "INSIDE.test", "inside.test:{port}"])
async def test_a_private_host_is_reached_when_it_is_allowed(server: StubServer, allowed: str) -> None:
    http = OutboundHttp(
        resolver=Names(inside_test=[["127.0.0.1"]]),
        allowed_private_hosts=[allowed.format(port=server.port)],
    )
    assert (await http.request("GET", f"http://Inside.test:{server.port}/")).status_code == 404


@pytest.mark.parametrize("allowed", ["other.test", "inside.test:1", "side.test", "127.0.0.1"])
async def test_another_host_or_port_is_not_allowed_with_it(server: StubServer, allowed: str) -> None:
    http = OutboundHttp(resolver=Names(inside_test=[["127.0.0.1"]]), allowed_private_hosts=[allowed])
    with pytest.raises(AddressRefused):
        await http.request("GET", f"http://inside.test:{server.port}/")


async def test_a_proxy_of_the_environment_is_not_used(
    server: StubServer, http: OutboundHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await http.request("GET", server.url)).status_code == 404


# TLS


def make_certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server that has a certificate for a name uses, and what a client that trusts it uses."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(path)
    return serving, ssl.create_default_context(cafile=str(path))


async def test_tls_verifies_the_name_although_the_address_is_pinned(tmp_path: Path) -> None:
    serving, trusting = make_certificate(tmp_path, "api.test")
    async with running_server(tls=serving) as server:
        http = OutboundHttp(
            resolver=Names(api_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]]),
            allowed_private_hosts=["api.test", "other.test"],
            ssl_context=trusting,
        )
        assert (await http.request("GET", f"https://api.test:{server.port}/")).status_code == 404
        with pytest.raises(BlockUnavailable, match="certificate"):
            await http.request("GET", f"https://other.test:{server.port}/")
        await http.aclose()
