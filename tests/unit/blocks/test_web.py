from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.blocks.library.web import SendWebRequestBlock
from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.outbound.addresses import AddressRefused
from app.outbound.http import OutboundHttp
from tests.unit.blocks.contexts import make_context
from tests.unit.blocks.stub_server import Answer, StubServer, running_server

block = SendWebRequestBlock()


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    async with running_server() as stub:
        yield stub


@pytest.fixture
async def http(server: StubServer) -> AsyncIterator[OutboundHttp]:
    client = OutboundHttp(allowed_private_hosts=["127.0.0.1"])
    yield client
    await client.aclose()


async def run(http: OutboundHttp, *, is_last_attempt: bool = True, **given: Any) -> list[tuple[str, Any]]:
    context = make_context(http=http, is_last_attempt=is_last_attempt)
    return [emitted async for emitted in block.run(SendWebRequestBlock.Input(**given), context)]


@pytest.mark.parametrize(
    ("status", "pin"),
    [
        (200, "response"),
        (204, "response"),
        (299, "response"),
        (400, "client_error"),
        (404, "client_error"),
        (429, "client_error"),
        (304, "server_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
async def test_the_status_chooses_the_pin(
    server: StubServer, http: OutboundHttp, status: int, pin: str
) -> None:
    server.answers["/"] = Answer.of_json({}, status)
    assert [name for name, _ in await run(http, url=f"{server.url}/")] == [pin]


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        ("application/json", b'{"a": [1, null]}', {"a": [1, None]}),
        ("application/json; charset=utf-8", b"3", 3),
        ("application/problem+json", b"[]", []),
        ("application/json", b"", ""),
        ("application/json", b"{", "{"),
        ("application/json", b"[" * 200_000, "[" * 200_000),
        ("text/html", b"<p>", "<p>"),
        ("", b"plain", "plain"),
        ("image/png", b"\x89PNG", "data:image/png;base64,iVBORw=="),
        ("image/svg+xml", b"<svg/>", "<svg/>"),
        ("application/octet-stream", b"\0", "data:application/octet-stream;base64,AA=="),
        ("image/png", b"", ""),
    ],
)
async def test_the_body_is_read_as_the_content_type_says(
    server: StubServer, http: OutboundHttp, content_type: str, body: bytes, value: Any
) -> None:
    server.answers["/"] = Answer(body=body, headers={"content-type": content_type})
    assert await run(http, url=f"{server.url}/") == [("response", value)]


async def test_a_body_goes_as_json(server: StubServer, http: OutboundHttp) -> None:
    await run(http, url=server.url, body={"a": {"b": [1]}}, headers={"X-Mine": "1"})
    (asked,) = server.asked
    assert (asked.method, asked.json()) == ("POST", {"a": {"b": [1]}})
    assert asked.headers["x-mine"] == "1"


async def test_a_body_goes_as_a_form_when_it_is_not_to_be_json(
    server: StubServer, http: OutboundHttp
) -> None:
    await run(http, url=server.url, body={"a": "x y", "b": [1], "c": True}, json_format=False)
    assert server.asked[0].body == b"a=x+y&b=%5B1%5D&c=true"


@pytest.mark.parametrize("is_json", [True, False])
async def test_no_body_is_sent_when_there_is_none(
    server: StubServer, http: OutboundHttp, is_json: bool
) -> None:
    await run(http, url=server.url, json_format=is_json)
    assert server.asked[0].body == b""
    assert "content-type" not in server.asked[0].headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
async def test_every_method_is_sent(server: StubServer, http: OutboundHttp, method: str) -> None:
    server.answers["/"] = Answer()
    assert await run(http, url=f"{server.url}/", method=method) == [("response", "")]
    assert server.asked[0].method == method


async def test_a_url_without_a_scheme_is_of_http(server: StubServer, http: OutboundHttp) -> None:
    server.answers["/a"] = Answer(body=b"there")
    assert await run(http, url=f" 127.0.0.1:{server.port}/a?b=http://c ") == [("response", "there")]


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "javascript:alert(1)", "mailto:a@b", "user@host/path", ""]
)
async def test_a_url_of_another_scheme_does_not_become_one_of_http(http: OutboundHttp, url: str) -> None:
    with pytest.raises(BlockInputInvalid):
        await run(http, url=url)


async def test_an_attempt_that_changes_something_carries_the_same_key_as_the_first(
    server: StubServer, http: OutboundHttp
) -> None:
    await run(http, url=server.url, method="PATCH")
    await run(http, url=server.url, method="GET")
    assert server.asked[0].headers["idempotency-key"] == "e:n:1"
    assert "idempotency-key" not in server.asked[1].headers


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_failure_that_may_pass_is_left_to_the_engine_while_attempts_are_left(
    server: StubServer, http: OutboundHttp, method: str, status: int
) -> None:
    server.answers["/"] = Answer(status, headers={"retry-after": "7"})
    with pytest.raises(BlockUnavailable, match=str(status)) as failure:
        await run(http, url=f"{server.url}/", method=method, is_last_attempt=False)
    assert failure.value.retry_after_seconds == 7


async def test_an_internal_error_may_pass_only_when_repeating_is_harmless(
    server: StubServer, http: OutboundHttp
) -> None:
    server.answers["/"] = Answer(500)
    with pytest.raises(BlockUnavailable):
        await run(http, url=f"{server.url}/", method="PUT", is_last_attempt=False)
    assert await run(http, url=f"{server.url}/", method="POST", is_last_attempt=False) == [
        ("server_error", "")
    ]


@pytest.mark.parametrize("status", [400, 404, 501])
async def test_a_failure_that_stays_is_emitted_at_once(
    server: StubServer, http: OutboundHttp, status: int
) -> None:
    server.answers["/"] = Answer(status)
    assert len(await run(http, url=f"{server.url}/", is_last_attempt=False)) == 1


async def test_a_host_that_cannot_be_reached_is_an_error_also_in_the_last_attempt(
    server: StubServer, http: OutboundHttp
) -> None:
    server.answers["/"] = Answer(breaks_off=True)
    with pytest.raises(BlockUnavailable):
        await run(http, url=f"{server.url}/")


async def test_a_private_address_is_refused(server: StubServer) -> None:
    with pytest.raises(AddressRefused):
        await run(OutboundHttp(), url=server.url, is_last_attempt=False)


async def test_files_are_refused_with_a_word_about_it(http: OutboundHttp) -> None:
    with pytest.raises(BlockError, match="files"):
        await run(http, url="http://example.com", files=["data:,x"])


def test_the_block_is_known_by_its_id_and_pins() -> None:
    signature = block.signature
    assert signature.id == "6595ae1f-b924-42cb-9a41-551a0611c4b4"
    assert set(signature.inputs) == {"url", "method", "headers", "json_format", "body", "files_name", "files"}
    assert signature.required == {"url"}
    assert signature.outputs == {"response", "client_error", "server_error", "error"}
    assert signature.retry.max_attempts == 3
