from __future__ import annotations

from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from typing import Any

import pytest

from app.blocks.credentials import CredentialsMissing, HostHeaders, headers_for
from app.blocks.library.web import HttpMethod, SendAuthenticatedWebRequestBlock, SendWebRequestBlock
from app.errors import BlockInputInvalid, BlockUnavailable
from app.outbound.addresses import AddressRefused
from app.outbound.http import OutboundHttp
from tests.unit.blocks.contexts import GivenCredentials, MemoryFiles, make_context
from tests.unit.blocks.stub_server import Answer, StubServer, running_server

block = SendWebRequestBlock()


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


async def test_files_go_as_parts_of_a_form_with_the_body_as_its_fields(
    server: StubServer, http: OutboundHttp
) -> None:
    files = MemoryFiles()
    first = await files.store(b"\x89PNG", name="a.png", content_type="image/png")
    second = await files.store(b"two", name='b".txt', content_type="text/plain")
    given = SendWebRequestBlock.Input(
        url=server.url, body={"a": "x", "b": [1]}, files_name="up", files=[first, second]
    )
    context = make_context(http=http, files=files)
    assert [pin async for pin, _ in block.run(given, context)] == ["client_error"]

    (asked,) = server.asked
    content_type = asked.headers["content-type"]
    assert content_type.startswith("multipart/form-data")
    head = f"content-type: {content_type}\r\n\r\n".encode()
    parts = message_from_bytes(head + asked.body, policy=HTTP).get_payload()
    assert isinstance(parts, list)
    sent = [part for part in parts if isinstance(part, Message)]
    read = [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True)) for part in sent
    ]
    assert read == [("a", b"x"), ("b", b"[1]"), ("up", b"\x89PNG"), ("up", b"two")]
    assert sent[2].get_filename() == "a.png"


async def test_a_file_that_is_not_there_is_an_error(http: OutboundHttp) -> None:
    with pytest.raises(BlockInputInvalid):
        await run(http, url="http://example.com", files=["workspace://none"])


async def test_a_large_response_that_is_no_text_is_kept_as_a_file(
    server: StubServer, http: OutboundHttp
) -> None:
    server.answers["/"] = Answer(body=bytes(300_000), headers={"content-type": "image/png"})
    files = MemoryFiles()
    given = SendWebRequestBlock.Input(url=f"{server.url}/", method=HttpMethod.GET)
    ((_, reference),) = [emitted async for emitted in block.run(given, make_context(http=http, files=files))]
    assert reference.startswith("workspace://")
    assert files.files[reference].content == bytes(300_000)


class TestWithStoredHeaders:
    async def send(self, http: OutboundHttp, host: str, **given: Any) -> None:
        stored = HostHeaders("http", host, {"X-Mine": "stored", "Authorization": "stored"})
        context = make_context(http=http, credentials=GivenCredentials(credentials=stored))
        authenticated = SendAuthenticatedWebRequestBlock()
        async for _ in authenticated.run(SendAuthenticatedWebRequestBlock.Input(**given), context):
            pass

    async def test_they_go_to_their_host(self, server: StubServer, http: OutboundHttp) -> None:
        await self.send(http, f"127.0.0.1:{server.port}", url=server.url)
        assert server.asked[0].headers["x-mine"] == "stored"

    async def test_they_do_not_go_to_another_host(self, server: StubServer, http: OutboundHttp) -> None:
        await self.send(http, "example.com", url=server.url)
        assert "x-mine" not in server.asked[0].headers

    async def test_a_header_of_the_node_wins(self, server: StubServer, http: OutboundHttp) -> None:
        await self.send(http, f"127.0.0.1:{server.port}", url=server.url, headers={"x-mine": "own"})
        assert server.asked[0].headers["x-mine"] == "own"

    async def test_a_redirect_does_not_take_them_along(self, server: StubServer, http: OutboundHttp) -> None:
        async with running_server() as other:
            server.answers["/"] = Answer(307, headers={"location": f"{other.url}/"})
            await self.send(http, f"127.0.0.1:{server.port}", url=f"{server.url}/")
        assert not {"x-mine", "authorization"} & set(other.asked[0].headers)

    async def test_without_any_nothing_is_sent(self, server: StubServer, http: OutboundHttp) -> None:
        authenticated = SendAuthenticatedWebRequestBlock()
        with pytest.raises(CredentialsMissing):
            async for _ in authenticated.run(
                SendAuthenticatedWebRequestBlock.Input(url=server.url), make_context(http=http)
            ):
                pass
        assert not server.asked


@pytest.mark.parametrize(
    ("host", "url", "is_for"),
    [
        ("api.example.com", "https://api.example.com/x", True),
        ("API.example.com", "http://api.EXAMPLE.com.:80", True),
        ("api.example.com", "https://api.example.com:8443", False),
        ("api.example.com:8443", "https://api.example.com:8443", True),
        ("api.example.com:8443", "https://api.example.com", False),
        ("api.example.com", "https://example.com", False),
        ("example.com", "https://api.example.com", False),
        ("*.example.com", "https://a.b.example.com", True),
        ("*.example.com", "https://example.com", False),
        ("*.example.com", "https://notexample.com", False),
        ("example.com", "https://example.com@evil.org", False),
        ("example.com", "https://evil.org#@example.com", False),
        ("example.com", "ftp://example.com", False),
        ("", "https:///x", False),
        ("[::1]:90", "http://[::1]:90/", True),
        ("example.com", "https://example.com:x", False),
    ],
)
def test_stored_headers_are_for_the_host_of_the_url(host: str, url: str, is_for: bool) -> None:
    assert bool(headers_for(HostHeaders("http", host, {"a": "b"}), url)) is is_for


def test_the_block_is_known_by_its_id_and_pins() -> None:
    signature = block.signature
    assert signature.id == "6595ae1f-b924-42cb-9a41-551a0611c4b4"
    assert set(signature.inputs) == {"url", "method", "headers", "json_format", "body", "files_name", "files"}
    assert signature.required == {"url"}
    assert signature.outputs == {"response", "client_error", "server_error", "error"}
    assert signature.retry.max_attempts == 3
