from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import json
import socket
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.policy import HTTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded, BlockUnavailable
from app.outbound.addresses import AddressRefused
from app.outbound.forms import FormFile
from app.outbound.http import OutboundHttp
from app.outbound.idempotency import make_header_value
from app.outbound.response import MAX_RETRY_AFTER_SECONDS, parse_retry_after
from tests.unit.blocks.stub_server import Answer, Asked, StubServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    async with running_server() as stub:
        yield stub


@pytest.fixture
async def http(server: StubServer) -> AsyncIterator[OutboundHttp]:
    client = OutboundHttp(allowed_private_hosts=[f"127.0.0.1:{server.port}"], limit_bytes=100_000)
    yield client
    await client.aclose()


# What is sent and received


async def test_a_request_arrives_as_it_was_meant(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/a"] = Answer.of_json({"ok": True}, 201, x_thing="1")

    response = await http.request("post", f"{server.url}/a?b=c#d", headers={"X-Mine": "ü"}, json={"n": "ä"})

    (asked,) = server.asked
    assert (asked.method, asked.target) == ("POST", "/a?b=c")
    assert asked.json() == {"n": "ä"}
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["x-mine"].encode("latin-1").decode() == "ü"
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"
    assert (response.status_code, response.json()) == (201, {"ok": True})
    assert response.headers["x-thing"] == "1"
    assert response.content_type == "application/json"
    assert response.is_success


async def test_a_form_is_sent_as_a_form(server: StubServer, http: OutboundHttp) -> None:
    await http.request("POST", f"{server.url}/", form={"a": "1 2", "b": "&"})
    assert server.asked[0].body == b"a=1+2&b=%26"
    assert server.asked[0].headers["content-type"] == "application/x-www-form-urlencoded"


async def test_files_are_sent_as_parts_of_a_form(server: StubServer, http: OutboundHttp) -> None:
    files = [
        FormFile("doc", "ü.txt", b"one\r\n--", "text/plain"),
        FormFile("doc", "b.bin", b"\0\xff", "application/pdf"),
    ]
    await http.request(
        "POST", f"{server.url}/", headers={"Content-Type": "text/plain"}, form={"a": "1 2"}, files=files
    )
    (asked,) = server.asked
    parts = message_from_bytes(
        b"Content-Type: " + asked.headers["content-type"].encode() + b"\r\n\r\n" + asked.body,
        policy=HTTP,
    )
    assert [
        (part.get_param("name", header="content-disposition"), part.get_content_type())
        for part in parts.iter_parts()
    ] == [("a", "text/plain"), ("doc", "text/plain"), ("doc", "application/pdf")]
    assert [part.get_payload(decode=True) for part in parts.iter_parts()] == [b"1 2", b"one\r\n--", b"\0\xff"]


async def test_the_name_of_a_file_cannot_add_headers_to_its_part(
    server: StubServer, http: OutboundHttp
) -> None:
    evil = '"; x="\r\nX-Injected: 1\r\n\r\n'
    await http.request("POST", f"{server.url}/", files=[FormFile(evil, evil, b"", f"text/plain{evil}")])
    head = server.asked[0].body.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert len(head) == 3
    assert head[2] == b"Content-Type: application/octet-stream"


async def test_headers_of_the_connection_are_the_clients_own(server: StubServer, http: OutboundHttp) -> None:
    given = {
        "Host": "inside.example",
        "Content-Length": "3",
        "Transfer-Encoding": "chunked",
        "Accept-Encoding": "br",
    }
    await http.request("POST", f"{server.url}/", headers=given, content=b"hello")
    sent = server.asked[0].headers
    assert sent["host"] == f"127.0.0.1:{server.port}"
    assert sent["content-length"] == "5"
    assert sent["accept-encoding"] == "gzip"
    assert "transfer-encoding" not in sent


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_method_that_changes_something_carries_the_idempotency_key(
    server: StubServer, http: OutboundHttp, method: str
) -> None:
    await http.request(method, server.url, idempotency_key="e:knöten\n:1")
    assert server.asked[0].headers["idempotency-key"] == "e:kn%C3%B6ten%0A:1"


async def test_a_safe_method_carries_no_idempotency_key(server: StubServer, http: OutboundHttp) -> None:
    await http.request("GET", server.url, idempotency_key="k")
    assert "idempotency-key" not in server.asked[0].headers


async def test_an_idempotency_key_of_the_callers_own_wins(server: StubServer, http: OutboundHttp) -> None:
    await http.request("POST", server.url, idempotency_key="k", headers={"Idempotency-Key": "mine"})
    assert server.asked[0].headers["idempotency-key"] == "mine"


@given(st.text(), st.text())
def test_different_idempotency_keys_stay_different_in_the_header(one: str, other: str) -> None:
    assert (make_header_value(one) == make_header_value(other)) == (one == other)
    assert make_header_value(one * 50).isascii()
    assert len(make_header_value(one * 50)) <= 200


async def test_cookies_of_one_request_do_not_reach_the_next(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/"] = Answer(headers={"set-cookie": "session=1"})
    await http.request("GET", f"{server.url}/")
    await http.request("GET", f"{server.url}/")
    assert "cookie" not in server.asked[1].headers


@pytest.mark.parametrize(
    "header", [{"a\r\nb": "c"}, {"a": "b\r\nc: d"}, {"ü": "1"}, {"": "1"}, {"a": "\ud800"}]
)
async def test_a_header_that_http_cannot_carry_is_refused(
    server: StubServer, http: OutboundHttp, header: dict[str, str]
) -> None:
    with pytest.raises(BlockInputInvalid):
        await http.request("GET", server.url, headers=header)
    assert server.asked == []


async def test_a_method_that_is_none_is_refused(http: OutboundHttp) -> None:
    with pytest.raises(BlockInputInvalid):
        await http.request("GET / HTTP/1.1\r\n", "http://example.com")


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain; charset=iso-8859-1", b"\xfc", "ü"),
        ("text/plain", "ü".encode(), "ü"),
        ("text/plain; charset=nonsense", b"\xfc", "\ufffd"),
        ("text/plain; charset=punycode", b"a-b", "a-b"),
        ("text/plain; charset=utf-nonsense", b"a", "a"),
    ],
)
async def test_text_is_read_in_the_charset_that_the_server_names(
    server: StubServer, http: OutboundHttp, content_type: str, body: bytes, text: str
) -> None:
    server.answers["/"] = Answer(body=body, headers={"content-type": content_type})
    assert (await http.request("GET", f"{server.url}/")).text == text


@pytest.mark.parametrize("body", [b"{", b"NaN", b"[1e999]", b"[-Infinity]", b"\xff"])
async def test_json_that_json_cannot_carry_on_is_not_json(
    server: StubServer, http: OutboundHttp, body: bytes
) -> None:
    server.answers["/"] = Answer(body=body)
    response = await http.request("GET", f"{server.url}/")
    with pytest.raises(ValueError, match=r".*"):
        response.json()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999999", MAX_RETRY_AFTER_SECONDS),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("-3", None),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_is_understood_as_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    assert parse_retry_after(header, now=now) == seconds


# Redirects


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


# Limits


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
