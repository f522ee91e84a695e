from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.blocks.base import RemoteBlock
from app.blocks.credentials import ApiKey, CredentialsMissing
from app.blocks.library.reading import (
    ExtractWebsiteContentBlock,
    FactCheckerBlock,
    GetWikipediaSummaryBlock,
    SearchTheWebBlock,
)
from app.blocks.service_calls import CredentialsRefused
from app.errors import BlockError, BlockUnavailable
from app.graph.signature import Effect
from app.outbound.addresses import AddressRefused
from app.outbound.http import OutboundHttp
from app.outbound.services import WebServices
from tests.unit.blocks.contexts import GivenCredentials, make_context
from tests.unit.blocks.public_web import public_web
from tests.unit.blocks.stub_server import Answer, StubServer

JINA = GivenCredentials(credentials=ApiKey("jina", "key-of-jina"))
PAGE = """<!doctype html><html><head><title>On snails</title><script>var hidden = 1</script></head><body>
<nav><a href="/">Home</a> <a href="/shop">Shop</a></nav>
<article><h1>On snails</h1><p>Snails carry their houses on their backs wherever they go, which is why no snail has ever
been seen looking for a flat. They are slow, but they are never late.</p><h2>Their food</h2><p>Most snails eat leaves,
and some of them eat <a href="/other">other snails</a>, about which the others do not like to speak at all.</p>
<ul><li>lettuce</li><li>cabbage</li></ul></article><footer>Imprint, cookies, and so on</footer></body></html>"""


async def run(
    block: RemoteBlock,
    *,
    http: OutboundHttp | None = None,
    credentials: GivenCredentials | None = None,
    web: WebServices | None = None,
    **given: Any,
) -> list[tuple[str, Any]]:
    http = http or OutboundHttp(allowed_private_hosts=["127.0.0.1"])
    context = replace(make_context(http=http, credentials=credentials), web=web or WebServices())
    return [emitted async for emitted in block.run(block.Input(**given), context)]


class TestAPage:
    block = ExtractWebsiteContentBlock()

    async def test_its_main_text_comes_as_markdown(self, server: StubServer) -> None:
        server.answers["/"] = Answer(body=PAGE.encode(), headers={"content-type": "text/html; charset=utf-8"})
        ((pin, content),) = await run(self.block, url=f"{server.url}/")
        assert pin == "content"
        assert "# On snails" in content
        assert "never late" in content
        assert "lettuce" in content
        assert f"[other snails]({server.url}/other)" in content
        assert "hidden" not in content
        assert "Imprint" not in content

    async def test_it_comes_raw_if_that_is_asked_for(self, server: StubServer) -> None:
        server.answers["/"] = Answer(body=PAGE.encode(), headers={"content-type": "text/html"})
        assert await run(self.block, url=f"{server.url}/", raw_content=True) == [("content", PAGE)]

    async def test_a_url_needs_no_scheme_and_the_block_no_credentials(self, server: StubServer) -> None:
        server.answers["/a"] = Answer(body=b"plain words", headers={"content-type": "text/plain"})
        assert await run(self.block, url=f"127.0.0.1:{server.port}/a") == [("content", "plain words")]

    async def test_a_page_without_main_text_gives_what_text_it_has(self, server: StubServer) -> None:
        server.answers["/"] = Answer(body=b"<p>Yes.</p>", headers={"content-type": "text/html"})
        assert await run(self.block, url=f"{server.url}/") == [("content", "Yes.")]

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [(b"", "text/html"), (b"<script>1</script>", "text/html"), (b"%PDF", "application/pdf")],
    )
    async def test_no_text_is_an_error(self, server: StubServer, body: bytes, content_type: str) -> None:
        server.answers["/"] = Answer(body=body, headers={"content-type": content_type})
        with pytest.raises(BlockError, match="no text"):
            await run(self.block, url=f"{server.url}/")

    async def test_a_page_nested_very_deep_does_not_break_the_worker(self, server: StubServer) -> None:
        body = b"<html><body>" + b"<div>" * 100_000 + b"deep" + b"</div>" * 100_000
        server.answers["/"] = Answer(body=body, headers={"content-type": "text/html"})
        try:
            await run(self.block, url=f"{server.url}/")
        except BlockError as error:
            assert "no text" in error.message  # noqa: PT017 - either way will do

    async def test_a_missing_page_is_an_error(self, server: StubServer) -> None:
        with pytest.raises(BlockError, match="404"):
            await run(self.block, url=server.url)

    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_a_failure_may_pass(self, server: StubServer, status: int) -> None:
        server.answers["/"] = Answer(status, headers={"retry-after": "4"})
        with pytest.raises(BlockUnavailable) as failure:
            await run(self.block, url=f"{server.url}/")
        assert failure.value.retry_after_seconds == 4

    async def test_a_private_address_is_refused(self, server: StubServer) -> None:
        with pytest.raises(AddressRefused):
            await run(self.block, http=OutboundHttp(), url=server.url)


class TestAnEncyclopedia:
    block = GetWikipediaSummaryBlock()

    async def test_the_summary_is_looked_up(self, server: StubServer) -> None:
        path = "/api/rest_v1/page/summary/Caf%C3%A9_au_lait%2F2"
        server.answers[path] = Answer.of_json({"title": "x", "extract": "Coffee with milk."})
        web = WebServices(wikipedia_url=server.url + "/")
        assert await run(self.block, web=web, topic=" Café au lait/2 ") == [("summary", "Coffee with milk.")]

    async def test_a_missing_article_is_an_error(self, server: StubServer) -> None:
        with pytest.raises(BlockError, match="Wikipedia answered 404"):
            await run(self.block, web=WebServices(wikipedia_url=server.url), topic="Nothing")

    async def test_the_english_one_is_meant_unless_told_otherwise(self) -> None:
        async with public_web() as (http, stub):
            stub.answers["/api/rest_v1/page/summary/Snail"] = Answer.of_json({"extract": "Slow."})
            assert await run(self.block, http=http, topic="Snail") == [("summary", "Slow.")]
        assert stub.asked[0].headers["host"] == "en.wikipedia.org"


class TestASearch:
    block = SearchTheWebBlock()
    found = "[1] One\nhttps://one.test\nThe first.\n\n[2] Two\nhttps://two.test"

    async def test_a_searxng_is_asked(self, server: StubServer) -> None:
        server.answers["/search"] = Answer.of_json(
            {
                "results": [
                    {"title": "One", "url": "https://one.test", "content": "The first."},
                    {"title": "Two", "url": "https://two.test"},
                ]
            }
        )
        assert await run(self.block, web=WebServices(search_url=server.url), query="a & b") == [
            ("results", self.found)
        ]
        assert server.asked[0].target == "/search?q=a+%26+b&format=json"

    async def test_an_engine_with_a_key_is_asked_as_brave_is(self, server: StubServer) -> None:
        server.answers["/res/v1/web/search"] = Answer.of_json(
            {
                "web": {
                    "results": [
                        {"title": "One", "url": "https://one.test", "description": "The first."},
                        {"title": "Two", "url": "https://two.test"},
                    ]
                }
            }
        )
        web = WebServices(search_url=server.url, search_api_key="key-of-server")
        assert await run(self.block, web=web, query="a") == [("results", self.found)]
        assert server.asked[0].headers["x-subscription-token"] == "key-of-server"

    async def test_credentials_of_jina_come_first(self, server: StubServer) -> None:
        async with public_web() as (http, stub):
            stub.answers["/a%2Fb"] = Answer(body=b"[1] Found", headers={"content-type": "text/plain"})
            web = WebServices(search_url=server.url)
            assert await run(self.block, http=http, credentials=JINA, web=web, query="a/b") == [
                ("results", "[1] Found")
            ]
        assert stub.asked[0].headers["host"] == "s.jina.ai"
        assert stub.asked[0].headers["authorization"] == "Bearer key-of-jina"
        assert not server.asked

    async def test_nothing_found_is_an_empty_text(self, server: StubServer) -> None:
        server.answers["/search"] = Answer.of_json({"results": []})
        assert await run(self.block, web=WebServices(search_url=server.url), query="a") == [("results", "")]

    async def test_without_any_engine_the_error_says_what_to_do(self) -> None:
        with pytest.raises(BlockError, match="PERDURE_SEARCH_URL"):
            await run(self.block, query="a")

    async def test_a_key_that_is_not_accepted_is_not_quoted(self, server: StubServer) -> None:
        server.answers["/res/v1/web/search"] = Answer(401)
        web = WebServices(search_url=server.url, search_api_key="key-of-server")
        with pytest.raises(CredentialsRefused) as failure:
            await run(self.block, web=web, query="a")
        assert "key-of-server" not in failure.value.message

    async def test_an_answer_that_is_no_json_is_an_error(self, server: StubServer) -> None:
        server.answers["/search"] = Answer(body=b"<html>")
        with pytest.raises(BlockError, match="JSON"):
            await run(self.block, web=WebServices(search_url=server.url), query="a")


class TestAStatement:
    block = FactCheckerBlock()

    async def test_it_is_checked(self) -> None:
        verdict = {
            "factuality": 0.9,
            "result": True,
            "reason": "They are.",
            "references": [{"url": "https://one.test", "keyQuote": "slow", "isSupportive": True}],
        }
        async with public_web() as (http, stub):
            stub.answers["/Snails%20are%20slow."] = Answer.of_json({"code": 200, "data": verdict})
            emitted = await run(self.block, http=http, credentials=JINA, statement="Snails are slow.")
        assert emitted == list(verdict.items())
        assert stub.asked[0].headers["host"] == "g.jina.ai"

    async def test_it_needs_credentials(self) -> None:
        with pytest.raises(CredentialsMissing):
            await run(self.block, statement="a")


@pytest.mark.parametrize(
    ("block", "block_id", "required", "outputs"),
    [
        (ExtractWebsiteContentBlock(), "436c3984-57fd-4b85-8e9a-459b356883bd", {"url"}, {"content"}),
        (GetWikipediaSummaryBlock(), "f5b0f5d0-1862-4d61-94be-3ad0fa772760", {"topic"}, {"summary"}),
        (SearchTheWebBlock(), "87840993-2053-44b7-8da4-187ad4ee518c", {"query"}, {"results"}),
        (
            FactCheckerBlock(),
            "d38b6c5e-9968-4271-8423-6cfe60d6e7e6",
            {"statement"},
            {"factuality", "result", "reason", "references"},
        ),
    ],
)
def test_the_blocks_are_known_by_their_ids_and_pins(
    block: RemoteBlock, block_id: str, required: set[str], outputs: set[str]
) -> None:
    signature = block.signature
    assert signature.id == block_id
    assert signature.required == required
    assert signature.outputs == outputs | {"error"}
    assert signature.effect is Effect.PURE
    assert signature.retry.max_attempts == 3
