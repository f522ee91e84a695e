"""What is sent and received."""

from __future__ import annotations

import datetime
from email import message_from_bytes
from email.policy import HTTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BlockInputInvalid
from app.outbound.forms import FormFile
from app.outbound.http import OutboundHttp
from app.outbound.idempotency import make_header_value
from app.outbound.response import MAX_RETRY_AFTER_SECONDS, parse_retry_after
from tests.unit.blocks.stub_server import Answer, StubServer


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
