"""Redirects: which are followed, and what goes along."""

from __future__ import annotations

import pytest

from app.errors import BlockError
from app.outbound.addresses import AddressRefused
from app.outbound.http import OutboundHttp
from tests.unit.blocks.stub_server import Answer, StubServer, running_server


async def test_a_redirect_is_followed(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/a"] = Answer(302, headers={"location": "b/c?d#e"})
    server.answers["/b/c"] = Answer(body=b"there")
    response = await http.request("GET", f"{server.url}/a")
    assert (response.body, response.status_code) == (b"there", 200)
    assert response.url.startswith(f"{server.url}/b/c?d")


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "//[::1]:{port}/",
        "https://10.0.0.1/",
    ],
)
async def test_a_redirect_to_a_private_address_is_refused(
    server: StubServer, http: OutboundHttp, location: str
) -> None:
    server.answers["/"] = Answer(302, headers={"location": location.format(port=server.port)})
    with pytest.raises(AddressRefused):
        await http.request("GET", f"{server.url}/")
    assert len(server.asked) == 1


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://u:p@127.0.0.1/", "http://[", ""])
async def test_a_redirect_to_no_web_address_is_refused(
    server: StubServer, http: OutboundHttp, location: str
) -> None:
    server.answers["/loop"] = Answer(302, headers={"location": location})
    with pytest.raises(BlockError):
        await http.request("GET", f"{server.url}/loop")


async def test_redirects_come_to_an_end(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/"] = Answer(302, headers={"location": "/"})
    with pytest.raises(BlockError, match="10 redirects"):
        await http.request("GET", f"{server.url}/")
    assert len(server.asked) == 11


SECRETS = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Api-Key": "x", "X-Auth-Token": "x"}


async def test_secret_headers_stay_with_their_origin(server: StubServer) -> None:
    async with running_server() as other:
        http = OutboundHttp(allowed_private_hosts=["127.0.0.1"])
        server.answers["/away"] = Answer(307, headers={"location": f"{other.url}/"})
        await http.request("POST", f"{server.url}/away", headers={**SECRETS, "X-Plain": "1"}, content=b"x")
    sent = other.asked[0].headers
    assert not {name.lower() for name in SECRETS} & set(sent)
    assert sent["x-plain"] == "1"
    assert sent["host"] == f"127.0.0.1:{other.port}"
    assert other.asked[0].body == b"x"


async def test_a_header_that_the_caller_calls_secret_stays_too(server: StubServer) -> None:
    async with running_server() as other:
        http = OutboundHttp(allowed_private_hosts=["127.0.0.1"])
        server.answers["/a"] = Answer(307, headers={"location": "/b"})
        server.answers["/b"] = Answer(307, headers={"location": f"{other.url}/"})
        await http.request("GET", f"{server.url}/a", headers={"X-Mine": "1"}, secret_headers=["X-MINE"])
    assert server.asked[1].headers["x-mine"] == "1"
    assert "x-mine" not in other.asked[0].headers


async def test_a_redirect_is_the_answer_when_none_is_to_be_followed(
    server: StubServer, http: OutboundHttp
) -> None:
    server.answers["/"] = Answer(302, headers={"location": "/b"})
    response = await http.request("GET", f"{server.url}/", follows_redirects=False)
    assert (response.status_code, response.headers["location"]) == (302, "/b")
    assert len(server.asked) == 1


async def test_secret_headers_go_along_within_their_origin(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/here"] = Answer(307, headers={"location": "/there"})
    await http.request("GET", f"{server.url}/here", headers=SECRETS)
    assert {name.lower() for name in SECRETS} <= set(server.asked[1].headers)


async def test_headers_that_are_marked_as_secret_stay_with_their_origin(server: StubServer) -> None:
    async with running_server() as other:
        http = OutboundHttp(allowed_private_hosts=["127.0.0.1"])
        server.answers["/away"] = Answer(307, headers={"location": "/on"})
        server.answers["/on"] = Answer(307, headers={"location": f"{other.url}/"})
        await http.request(
            "GET", f"{server.url}/away", headers={"X-Mine": "1", "X-Plain": "2"}, secret_headers=["X-MINE"]
        )
    assert server.asked[1].headers["x-mine"] == "1"
    assert "x-mine" not in other.asked[0].headers
    assert other.asked[0].headers["x-plain"] == "2"


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (302, "HEAD", "HEAD"),
    ],
)
async def test_a_redirect_changes_the_method_as_http_says(
    server: StubServer, http: OutboundHttp, status: int, method: str, becomes: str
) -> None:
    server.answers["/a"] = Answer(status, headers={"location": "/b"})
    await http.request(method, f"{server.url}/a", json={"a": 1}, idempotency_key="k")
    asked = server.asked[1]
    assert asked.method == becomes
    assert asked.body == (b"" if becomes == "GET" else b'{"a": 1}')
    assert ("content-type" in asked.headers) == (becomes != "GET")
    assert ("idempotency-key" in asked.headers) == (becomes in ("POST", "PUT", "DELETE"))


async def test_a_redirect_that_leads_nowhere_is_the_answer(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/"] = Answer(304)
    assert (await http.request("GET", f"{server.url}/")).status_code == 304
    server.answers["/"] = Answer(302, body=b"x")
    assert (await http.request("GET", f"{server.url}/")).body == b"x"
