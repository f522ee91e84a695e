"""Blocks that give Firecrawl work that takes minutes, and wait for it. A later attempt goes on waiting for the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.credentials import CredentialsRef
from app.blocks.library.firecrawl import (
    FIRECRAWL_URL,
    OF_FIRECRAWL,
    FirecrawlScrapeBlock,
    ScrapeFormat,
    ask_firecrawl,
    list_formats,
    name_formats,
)
from app.errors import BlockError
from app.graph.signature import Effect

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

JOB_TIMEOUT_SECONDS = 1_800.0
MAX_PAGES = 1_000
"""Pages that are taken from one crawl."""
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 15.0
_ONGOING = ("scraping", "processing", "pending")


class FirecrawlCrawlBlock(RemoteBlock):
    """Have Firecrawl read a website, page after page."""

    id = "bdbbaba0-03b7-4971-970e-699e2de6015e"
    categories = (BlockCategory.SEARCH,)
    emits_many = True
    effect = Effect.PURE
    timeout_seconds = JOB_TIMEOUT_SECONDS
    credentials = OF_FIRECRAWL

    class Input(BlockInput):
        """The website, and what to make of its pages."""

        credentials: CredentialsRef | None = None
        """Of Firecrawl."""
        url: str
        """Where to begin."""
        limit: int = 10
        """Pages at most, up to 1,000."""
        only_main_content: bool = True
        """Whether to leave menus and the like out."""
        max_age: int = 3_600_000
        """How old a copy of a page may be, in milliseconds."""
        wait_for: int = 0
        """How long a page's scripts are given, in milliseconds."""
        formats: list[ScrapeFormat] = Field(default=[ScrapeFormat.MARKDOWN])
        """What to make of each page, each on a pin of its own."""

    class Output(FirecrawlScrapeBlock.Output):
        """The pages: all of them, then what was made of each."""

        data: list[dict[str, Any]]  # type: ignore[assignment]  # a list of what the other block gives one of
        """Everything that came back, page by page."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Have the website read.

        Raises:
            CredentialsMissing: None were chosen.
            BlockUnavailable: Firecrawl cannot be reached.
            BlockError: It cannot read the website, or refuses.
        """
        asked = {
            "url": given.url,
            "limit": max(1, min(given.limit, MAX_PAGES)),
            "scrapeOptions": {
                "formats": name_formats(given.formats),
                "onlyMainContent": given.only_main_content,
                "maxAge": given.max_age,
                "waitFor": given.wait_for,
            },
        }
        pages: list[dict[str, Any]] = []
        done = await _await_job(context, "crawl", asked)
        while True:
            pages += [page for page in done.get("data") or [] if isinstance(page, dict)]
            following = done.get("next")
            # The key goes along, so nobody but Firecrawl says where to.
            if len(pages) >= MAX_PAGES or not str(following).startswith(f"{FIRECRAWL_URL}/"):
                break
            done = await ask_firecrawl(context, str(following).removeprefix(f"{FIRECRAWL_URL}/"))
        yield "data", pages
        for page in pages:
            for emitted in list_formats(page, given.formats):
                yield emitted


class FirecrawlExtractBlock(RemoteBlock):
    """Have Firecrawl take data out of web pages."""

    id = "d1774756-4d9e-40e6-bab1-47ec0ccd81b2"
    categories = (BlockCategory.SEARCH,)
    effect = Effect.PURE
    timeout_seconds = JOB_TIMEOUT_SECONDS
    credentials = OF_FIRECRAWL

    class Input(BlockInput):
        """The pages, and which data."""

        credentials: CredentialsRef | None = None
        """Of Firecrawl."""
        urls: list[str]
        """Of the pages; one that ends with `/*` is of all below it."""
        prompt: str | None = None
        """Which data are wanted, in words."""
        output_schema: dict[str, Any] | None = None
        """JSON schema of the data."""
        enable_web_search: bool = False
        """Whether to look further than the pages."""

    class Output(BlockOutput):
        """The data."""

        data: dict[str, Any]
        """As the schema says, if there is one."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Have the data taken out.

        Raises:
            CredentialsMissing: None were chosen.
            BlockUnavailable: Firecrawl cannot be reached.
            BlockError: It finds none, or refuses.
        """
        asked = {
            "urls": given.urls,
            "prompt": given.prompt,
            "schema": given.output_schema,
            "enableWebSearch": given.enable_web_search,
        }
        wanted = {name: value for name, value in asked.items() if value is not None}
        done = await _await_job(context, "extract", wanted)
        if not isinstance(done.get("data"), dict):
            raise BlockError("Firecrawl found no data")
        yield "data", done["data"]


async def _await_job(context: BlockContext, kind: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a job ended with; it is begun once, however often the node execution is attempted."""

    async def begin() -> str:
        begun = await ask_firecrawl(context, kind, asked)
        if not begun.get("id"):
            raise BlockError("Firecrawl did not begin")
        return str(begun["id"])

    job = await context.steps.do("begin", begin)
    pause_seconds = _FIRST_WAIT_SECONDS
    while True:
        state = await ask_firecrawl(context, f"{kind}/{quote(str(job), safe='')}")
        if state.get("status") == "completed":
            return state
        if state.get("status") not in _ONGOING:
            raise BlockError("Firecrawl could not do it")
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, _LONGEST_WAIT_SECONDS)
