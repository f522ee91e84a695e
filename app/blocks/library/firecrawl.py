"""Blocks that have Firecrawl read web pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.credentials import ApiKey, CredentialsRef
from app.blocks.service_calls import ask, read_object
from app.errors import BlockError
from app.graph.credentials import CredentialsNeed
from app.graph.signature import Effect

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

FIRECRAWL_URL = "https://api.firecrawl.dev/v2"


class ScrapeFormat(StrEnum):
    """What Firecrawl can make of a page."""

    MARKDOWN = "markdown"
    HTML = "html"
    RAW_HTML = "rawHtml"
    LINKS = "links"
    SCREENSHOT = "screenshot"
    SCREENSHOT_FULL_PAGE = "screenshot@fullPage"
    JSON = "json"
    CHANGE_TRACKING = "changeTracking"


OF_FIRECRAWL = MappingProxyType({"credentials": CredentialsNeed(providers=("firecrawl",))})
_PIN_BY_FORMAT: Mapping[ScrapeFormat, tuple[str, str]] = {
    ScrapeFormat.MARKDOWN: ("markdown", "markdown"),
    ScrapeFormat.HTML: ("html", "html"),
    ScrapeFormat.RAW_HTML: ("raw_html", "rawHtml"),
    ScrapeFormat.LINKS: ("links", "links"),
    ScrapeFormat.SCREENSHOT: ("screenshot", "screenshot"),
    ScrapeFormat.SCREENSHOT_FULL_PAGE: ("screenshot_full_page", "screenshot"),
    ScrapeFormat.JSON: ("json_data", "json"),
    ScrapeFormat.CHANGE_TRACKING: ("change_tracking", "changeTracking"),
}


class FirecrawlScrapeBlock(RemoteBlock):
    """Have Firecrawl read a web page, its scripts run."""

    id = "ac444320-cf5e-4697-b586-2604c17a3e75"
    categories = (BlockCategory.SEARCH,)
    effect = Effect.PURE
    timeout_seconds = 180.0
    credentials = OF_FIRECRAWL

    class Input(BlockInput):
        """The page, and what to make of it."""

        credentials: CredentialsRef | None = None
        """Of Firecrawl."""
        url: str
        """Of the page."""
        limit: int = 10
        """Not used: it is one page."""
        only_main_content: bool = True
        """Whether to leave menus and the like out."""
        max_age: int = 3_600_000
        """How old a copy of the page may be, in milliseconds."""
        wait_for: int = 200
        """How long the page's scripts are given, in milliseconds."""
        formats: list[ScrapeFormat] = Field(default=[ScrapeFormat.MARKDOWN])
        """What to make of it, each on a pin of its own."""

    class Output(BlockOutput):
        """The page."""

        data: dict[str, Any]
        """Everything that came back."""
        markdown: str
        """Its text."""
        html: str
        """Its HTML, cleaned."""
        raw_html: str
        """Its HTML."""
        links: list[str]
        """Where it leads."""
        screenshot: str
        """The address of a picture of it."""
        screenshot_full_page: str
        """The address of a picture of all of it."""
        json_data: dict[str, Any]
        """What was extracted."""
        change_tracking: dict[str, Any]
        """What changed since it was read last."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Have the page read.

        Raises:
            CredentialsMissing: None were chosen.
            BlockUnavailable: Firecrawl cannot be reached.
            BlockError: It cannot read the page, or refuses.
        """
        answer = await ask_firecrawl(
            context,
            "scrape",
            {
                "url": given.url,
                "formats": name_formats(given.formats),
                "onlyMainContent": given.only_main_content,
                "maxAge": given.max_age,
                "waitFor": given.wait_for,
            },
        )
        page = answer.get("data")
        if not isinstance(page, dict):
            raise BlockError("Firecrawl gave no page")
        yield "data", page
        for emitted in list_formats(page, given.formats):
            yield emitted


class FirecrawlMapWebsiteBlock(RemoteBlock):
    """Have Firecrawl list the pages of a website."""

    id = "f0f43e2b-c943-48a0-a7f1-40136ca4d3b9"
    categories = (BlockCategory.SEARCH,)
    effect = Effect.PURE
    timeout_seconds = 180.0
    credentials = OF_FIRECRAWL

    class Input(BlockInput):
        """The website."""

        credentials: CredentialsRef | None = None
        """Of Firecrawl."""
        url: str
        """Of any page of it."""

    class Output(BlockOutput):
        """Its pages."""

        links: list[str]
        """Their addresses."""
        results: list[dict[str, Any]]
        """Each with `url`, `title` and `description`."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Have the pages listed.

        Raises:
            CredentialsMissing: None were chosen.
            BlockUnavailable: Firecrawl cannot be reached.
            BlockError: It refuses.
        """
        answer = await ask_firecrawl(context, "map", {"url": given.url})
        found = [link if isinstance(link, dict) else {"url": link} for link in answer.get("links") or []]
        pages = [page for page in found if isinstance(page.get("url"), str)]
        yield "links", [page["url"] for page in pages]
        yield (
            "results",
            [{name: page.get(name) or "" for name in ("url", "title", "description")} for page in pages],
        )


def name_formats(formats: Sequence[ScrapeFormat]) -> list[Any]:
    """Return formats as Firecrawl is asked for them."""
    return [
        {"type": "screenshot", "fullPage": True} if form is ScrapeFormat.SCREENSHOT_FULL_PAGE else form.value
        for form in formats
    ]


def list_formats(page: Mapping[str, Any], formats: Sequence[ScrapeFormat]) -> Iterator[Emitted]:
    """Emit what was made of a page, each format on its pin."""
    for form in formats:
        pin, name = _PIN_BY_FORMAT[form]
        if page.get(name) is not None:
            yield pin, page[name]


async def ask_firecrawl(
    context: BlockContext, call: str, asked: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return Firecrawl's answer.

    Raises:
        CredentialsMissing: None were chosen.
        BlockUnavailable: Firecrawl cannot be reached.
        BlockError: It refuses.
    """
    stored = await context.require_credentials(ApiKey)
    response = await ask(
        context,
        f"{FIRECRAWL_URL}/{call}",
        service="Firecrawl",
        headers={"Authorization": f"Bearer {stored.key}"},
        json=None if asked is None else dict(asked),
        changes_nothing=True,
        timeout_seconds=150,
    )
    answer = read_object(response, service="Firecrawl")
    # How a job stands comes without the word.
    if answer.get("success", True) is not True:
        raise BlockError("Firecrawl could not do it")
    return answer
