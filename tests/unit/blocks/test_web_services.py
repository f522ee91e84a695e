from __future__ import annotations

from typing import Any

import pytest

from app.blocks.base import RemoteBlock
from app.blocks.credentials import ApiKey, CredentialsMissing
from app.blocks.library.firecrawl import FirecrawlMapWebsiteBlock, FirecrawlScrapeBlock
from app.blocks.library.firecrawl_jobs import FirecrawlCrawlBlock, FirecrawlExtractBlock
from app.blocks.library.web_services import GetWeatherInformationBlock, GoogleMapsSearchBlock
from app.blocks.service_calls import CredentialsRefused
from app.errors import BlockError, BlockUnavailable
from tests.unit.blocks.contexts import GivenCredentials, MemorySteps, make_context
from tests.unit.blocks.public_web import public_web
from tests.unit.blocks.stub_server import Answer, Asked, StubServer

BLOCKS: list[tuple[RemoteBlock, str, dict[str, Any]]] = [
    (GetWeatherInformationBlock(), "/data/2.5/weather", {"location": "Lyon"}),
    (FirecrawlScrapeBlock(), "/v2/scrape", {"url": "https://one.test"}),
    (FirecrawlMapWebsiteBlock(), "/v2/map", {"url": "https://one.test"}),
    (FirecrawlCrawlBlock(), "/v2/crawl", {"url": "https://one.test"}),
    (FirecrawlExtractBlock(), "/v2/extract", {"urls": ["https://one.test"]}),
    (GoogleMapsSearchBlock(), "/v1/places:searchText", {"query": "bakery"}),
]


async def run(
    block: RemoteBlock, answers: dict[str, Any], *, is_let_in: bool = True, **given: Any
) -> tuple[list[tuple[str, Any]], StubServer]:
    credentials = GivenCredentials(credentials=ApiKey("any", "a-key")) if is_let_in else None
    async with public_web() as (http, stub):
        stub.answers |= answers
        context = make_context(http=http, credentials=credentials)
        emitted = [emitted async for emitted in block.run(block.Input(**given), context)]
    return emitted, stub


@pytest.mark.parametrize(("is_celsius", "units"), [(True, "metric"), (False, "imperial")])
async def test_the_weather_comes_as_texts(is_celsius: bool, units: str) -> None:
    weather = {"main": {"temp": 21.66, "humidity": 32}, "weather": [{"description": "clear sky"}]}
    emitted, stub = await run(
        GetWeatherInformationBlock(),
        {"/data/2.5/weather": Answer.of_json(weather)},
        location="São Paulo",
        use_celsius=is_celsius,
    )
    assert emitted == [("temperature", "21.66"), ("humidity", "32"), ("condition", "clear sky")]
    assert stub.asked[0].headers["host"] == "api.openweathermap.org"
    assert stub.asked[0].target.endswith(f"?q=S%C3%A3o+Paulo&units={units}&appid=a-key")


async def test_a_page_is_scraped_in_the_formats_that_are_asked_for() -> None:
    page = {
        "markdown": "# A",
        "links": ["https://two.test"],
        "screenshot": "https://shot.test",
        "metadata": {},
    }
    emitted, stub = await run(
        FirecrawlScrapeBlock(),
        {"/v2/scrape": Answer.of_json({"success": True, "data": page})},
        url="https://one.test",
        formats=["markdown", "links", "screenshot@fullPage", "html"],
    )
    assert emitted == [
        ("data", page),
        ("markdown", "# A"),
        ("links", ["https://two.test"]),
        ("screenshot_full_page", "https://shot.test"),
    ]
    assert stub.asked[0].headers["authorization"] == "Bearer a-key"
    assert stub.asked[0].json() == {
        "url": "https://one.test",
        "formats": ["markdown", "links", {"type": "screenshot", "fullPage": True}, "html"],
        "onlyMainContent": True,
        "maxAge": 3_600_000,
        "waitFor": 200,
    }


async def test_the_pages_of_a_website_are_listed() -> None:
    links = [{"url": "https://one.test/a", "title": "A"}, "https://one.test/b", {"title": "no address"}]
    emitted, _ = await run(
        FirecrawlMapWebsiteBlock(),
        {"/v2/map": Answer.of_json({"success": True, "links": links})},
        url="https://one.test",
    )
    assert emitted == [
        ("links", ["https://one.test/a", "https://one.test/b"]),
        (
            "results",
            [
                {"url": "https://one.test/a", "title": "A", "description": ""},
                {"url": "https://one.test/b", "title": "", "description": ""},
            ],
        ),
    ]


async def test_places_come_one_by_one_over_several_pages() -> None:
    def answer(asked: Asked) -> Answer:
        number = 1 if "pageToken" in asked.json() else 0
        places = [{"displayName": {"text": f"{number}-{i}"}, "rating": 4.5} for i in range(20)]
        return Answer.of_json({"places": places, "nextPageToken": "" if number else "more"})

    emitted, stub = await run(
        GoogleMapsSearchBlock(), {"/v1/places:searchText": answer}, query="bakery", max_results=25
    )
    assert [pin for pin, _ in emitted] == ["place"] * 25
    assert emitted[0][1] == {
        "name": "0-0",
        "address": "",
        "phone": "",
        "rating": 4.5,
        "reviews": 0,
        "website": "",
    }
    assert emitted[24][1]["name"] == "1-4"
    assert [asked.json()["pageSize"] for asked in stub.asked] == [20, 5]
    assert stub.asked[0].headers["x-goog-api-key"] == "a-key"


async def test_a_website_is_crawled_and_read_page_by_page() -> None:
    states = [
        {"status": "scraping", "data": []},
        {
            "status": "completed",
            "data": [{"markdown": "# A"}],
            "next": "https://api.firecrawl.dev/v2/crawl/j/2?skip=1",
        },
    ]
    emitted, stub = await run(
        FirecrawlCrawlBlock(),
        {
            "/v2/crawl": Answer.of_json({"success": True, "id": "j/2"}),
            "/v2/crawl/j%2F2": lambda _: Answer.of_json(states.pop(0)),
            "/v2/crawl/j/2": Answer.of_json(
                {"success": True, "data": [{"markdown": "# B"}], "next": "https://evil.test/v2/"}
            ),
        },
        url="https://one.test",
        limit=5,
    )
    assert emitted == [
        ("data", [{"markdown": "# A"}, {"markdown": "# B"}]),
        ("markdown", "# A"),
        ("markdown", "# B"),
    ]
    assert stub.asked[0].json()["limit"] == 5
    assert stub.asked[0].json()["scrapeOptions"]["formats"] == ["markdown"]
    assert [asked.method for asked in stub.asked] == ["POST", "GET", "GET", "GET"]
    assert {asked.headers["host"] for asked in stub.asked} == {"api.firecrawl.dev"}


async def test_data_are_extracted() -> None:
    emitted, stub = await run(
        FirecrawlExtractBlock(),
        {
            "/v2/extract": Answer.of_json({"success": True, "id": "j"}),
            "/v2/extract/j": Answer.of_json({"success": True, "status": "completed", "data": {"name": "x"}}),
        },
        urls=["https://one.test/*"],
        output_schema={"type": "object"},
    )
    assert emitted == [("data", {"name": "x"})]
    assert stub.asked[0].json() == {
        "urls": ["https://one.test/*"],
        "schema": {"type": "object"},
        "enableWebSearch": False,
    }


async def test_a_second_attempt_waits_for_the_job_of_the_first() -> None:
    credentials = GivenCredentials(credentials=ApiKey("any", "a-key"))
    block, steps = FirecrawlExtractBlock(), MemorySteps()
    async with public_web() as (http, stub):
        stub.answers["/v2/extract"] = Answer.of_json({"success": True, "id": "j"})
        stub.answers["/v2/extract/j"] = Answer(503)
        context = make_context(http=http, credentials=credentials, steps=steps)
        with pytest.raises(BlockUnavailable):
            async for _ in block.run(block.Input(urls=["https://one.test"]), context):
                pass
        stub.answers["/v2/extract/j"] = Answer.of_json({"success": True, "status": "completed", "data": {}})
        emitted = [emitted async for emitted in block.run(block.Input(urls=["https://one.test"]), context)]
    assert emitted == [("data", {})]
    assert [asked.method for asked in stub.asked] == ["POST", "GET", "GET"]


@pytest.mark.parametrize("path", ["/v2/extract", "/v2/extract/j"])
async def test_an_answer_that_says_no_is_an_error(path: str) -> None:
    answers = {
        "/v2/extract": Answer.of_json({"success": True, "id": "j"}),
        path: Answer.of_json({"success": False}),
    }
    with pytest.raises(BlockError, match="could not do it"):
        await run(FirecrawlExtractBlock(), answers, urls=["https://one.test"])


@pytest.mark.parametrize("status", ["failed", "cancelled", None])
async def test_a_job_that_fails_is_an_error(status: str | None) -> None:
    answers = {
        "/v2/extract": Answer.of_json({"success": True, "id": "j"}),
        "/v2/extract/j": Answer.of_json({"success": True, "status": status}),
    }
    with pytest.raises(BlockError, match="could not do it"):
        await run(FirecrawlExtractBlock(), answers, urls=["https://one.test"])


@pytest.mark.parametrize(("block", "path", "given"), BLOCKS)
class TestEveryService:
    async def test_it_needs_credentials(self, block: RemoteBlock, path: str, given: dict[str, Any]) -> None:
        with pytest.raises(CredentialsMissing):
            await run(block, {}, is_let_in=False, **given)

    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_its_failure_may_pass(
        self, block: RemoteBlock, path: str, given: dict[str, Any], status: int
    ) -> None:
        with pytest.raises(BlockUnavailable, match=str(status)):
            await run(block, {path: Answer(status)}, **given)

    async def test_credentials_that_it_refuses_are_named_as_the_reason(
        self, block: RemoteBlock, path: str, given: dict[str, Any]
    ) -> None:
        with pytest.raises(CredentialsRefused) as failure:
            await run(block, {path: Answer(401)}, **given)
        assert "a-key" not in failure.value.message

    async def test_what_it_says_about_an_error_is_passed_on(
        self, block: RemoteBlock, path: str, given: dict[str, Any]
    ) -> None:
        with pytest.raises(BlockError, match="answered 400: no such thing"):
            await run(block, {path: Answer.of_json({"error": {"message": "no such thing"}}, 400)}, **given)

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b"[" * 100_000])
    async def test_an_answer_of_another_form_is_an_error(
        self, block: RemoteBlock, path: str, given: dict[str, Any], body: bytes
    ) -> None:
        with pytest.raises(BlockError, match="JSON object"):
            await run(block, {path: Answer(body=body)}, **given)


def test_the_blocks_are_known_by_their_ids_and_pins() -> None:
    weather, scrape, website, _, _, places = (block.signature for block, _, _ in BLOCKS)
    assert weather.id == "f7a8b2c3-6d4e-5f8b-9e7f-6d4e5f8b9e7f"
    assert weather.outputs == {"temperature", "humidity", "condition", "error"}
    assert scrape.id == "ac444320-cf5e-4697-b586-2604c17a3e75"
    assert set(scrape.inputs) == {
        "credentials",
        "url",
        "limit",
        "only_main_content",
        "max_age",
        "wait_for",
        "formats",
    }
    assert website.id == "f0f43e2b-c943-48a0-a7f1-40136ca4d3b9"
    assert website.outputs == {"links", "results", "error"}
    assert places.id == "f47ac10b-58cc-4372-a567-0e02b2c3d479"
    assert set(places.inputs) == {"credentials", "query", "radius", "max_results"}
