"""Blocks that read from the web: the text of a page, an encyclopedia, a search engine, a fact checker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.credentials import ApiKey, CredentialsRef
from app.blocks.library.web import complete_url
from app.blocks.page_text import find_readable, is_text
from app.blocks.service_calls import ask, read_object
from app.errors import BlockError
from app.graph.credentials import CredentialsNeed
from app.graph.signature import Effect

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

JINA_SEARCH_URL = "https://s.jina.ai"
JINA_FACTS_URL = "https://g.jina.ai"
SEARCH_RESULTS = 10
_OF_JINA = MappingProxyType({"credentials": CredentialsNeed(providers=("jina",), is_required=False)})


class ExtractWebsiteContentBlock(RemoteBlock):
    """Read a web page: its main text as Markdown, or all of it as it was sent.

    The page is fetched by this server, without an account anywhere; credentials are taken and not used. Scripts of the
    page are not run.
    """

    id = "436c3984-57fd-4b85-8e9a-459b356883bd"
    categories = (BlockCategory.SEARCH,)
    effect = Effect.PURE
    timeout_seconds = 120.0
    credentials = _OF_JINA

    class Input(BlockInput):
        """The page."""

        credentials: CredentialsRef | None = None
        """Not needed."""
        url: str
        """Of the page. http is taken when there is no scheme."""
        raw_content: bool = False
        """Whether to give the page as it is."""

    class Output(BlockOutput):
        """What the page says."""

        content: str
        """Markdown, or what the server sent."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Fetch and read the page.

        Raises:
            BlockUnavailable: The page cannot be fetched now.
            BlockError: There is no such page, or it holds no text.
        """
        response = await ask(context, complete_url(given.url), service="The page")
        if not is_text(response):
            raise BlockError(f"The page is no text but {response.content_type[:80]}")
        if given.raw_content:
            yield "content", response.text
            return
        # Reading a large page takes seconds, in which the other calls of this worker go on.
        content = await asyncio.to_thread(find_readable, response)
        if not content:
            raise BlockError("The page holds no text to read; `raw_content` gives it as it is")
        yield "content", content


class GetWikipediaSummaryBlock(RemoteBlock):
    """Look up the summary of an article in the English Wikipedia."""

    id = "f5b0f5d0-1862-4d61-94be-3ad0fa772760"
    categories = (BlockCategory.SEARCH,)
    effect = Effect.PURE
    timeout_seconds = 90.0

    class Input(BlockInput):
        """The article."""

        topic: str
        """Its title."""

    class Output(BlockOutput):
        """What it is about."""

        summary: str
        """The first paragraph, as plain text."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Look the article up.

        Raises:
            BlockUnavailable: The encyclopedia cannot be reached.
            BlockError: There is no such article.
        """
        title = quote(given.topic.strip().replace(" ", "_"), safe="")
        url = f"{context.web.wikipedia_url.rstrip('/')}/api/rest_v1/page/summary/{title}"
        article = read_object(await ask(context, url, service="Wikipedia"), service="Wikipedia")
        summary = article.get("extract")
        if not isinstance(summary, str):
            raise BlockError("Wikipedia gave no summary")
        yield "summary", summary


class SearchTheWebBlock(RemoteBlock):
    """Search the web and give the results as text.

    With credentials, Jina's search is asked; without, the search engine that this server is set up with.
    """

    id = "87840993-2053-44b7-8da4-187ad4ee518c"
    categories = (BlockCategory.SEARCH,)
    effect = Effect.PURE
    timeout_seconds = 120.0
    credentials = _OF_JINA

    class Input(BlockInput):
        """The search."""

        credentials: CredentialsRef | None = None
        """Of Jina; not needed when the server has a search engine."""
        query: str
        """What to look for."""

    class Output(BlockOutput):
        """What was found."""

        results: str
        """Title, address and an excerpt of each result."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Search.

        Raises:
            BlockUnavailable: The search engine cannot be reached.
            BlockError: There is none, or it refuses.
        """
        stored = await context.credentials.find("credentials")
        if isinstance(stored, ApiKey):
            url = f"{JINA_SEARCH_URL}/{quote(given.query, safe='')}"
            response = await ask(context, url, service="The search", headers=_bearer(stored))
            yield "results", response.text
        else:
            yield "results", await _search(given.query, context)


class FactCheckerBlock(RemoteBlock):
    """Check a statement against what the web says, by Jina's fact checker."""

    id = "d38b6c5e-9968-4271-8423-6cfe60d6e7e6"
    categories = (BlockCategory.SEARCH,)
    effect = Effect.PURE
    timeout_seconds = 180.0
    credentials = MappingProxyType({"credentials": CredentialsNeed(providers=("jina",))})

    class Input(BlockInput):
        """The statement."""

        statement: str
        """What is to be checked."""
        credentials: CredentialsRef | None = None
        """Of Jina."""

    class Output(BlockOutput):
        """The verdict."""

        factuality: float
        """From 0 to 1."""
        result: bool
        """Whether it holds."""
        reason: str
        """Why."""
        references: list[Any]
        """What speaks for it or against it: `url`, `keyQuote`, `isSupportive`."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Check the statement.

        Raises:
            CredentialsMissing: None were chosen.
            BlockUnavailable: The service cannot be reached.
            BlockError: It refuses.
        """
        stored = await context.require_credentials(ApiKey)
        headers = {**_bearer(stored), "Accept": "application/json"}
        url = f"{JINA_FACTS_URL}/{quote(given.statement, safe='')}"
        response = await ask(context, url, service="The fact checker", headers=headers, timeout_seconds=150)
        answer = read_object(response, service="The fact checker")
        verdict = answer.get("data")
        if not isinstance(verdict, dict) or not {"factuality", "result", "reason"} <= verdict.keys():
            raise BlockError("The fact checker gave no verdict")
        yield "factuality", verdict["factuality"]
        yield "result", verdict["result"]
        yield "reason", verdict["reason"]
        yield "references", verdict.get("references") or []


async def _search(query: str, context: BlockContext) -> str:
    web = context.web
    if not web.search_url:
        raise BlockError(
            "No search engine is set up: give credentials of Jina, or have PERDURE_SEARCH_URL set on the server"
        )
    base = web.search_url.rstrip("/")
    if web.search_api_key:
        headers = {"X-Subscription-Token": web.search_api_key, "Accept": "application/json"}
        url, asked = f"{base}/res/v1/web/search", {"q": query, "count": SEARCH_RESULTS}
        answer = await ask(context, url, service="The search", query=asked, headers=headers)
        found = read_object(answer, service="The search")
        found = found.get("web") or {}
        excerpt = "description"
    else:
        asked = {"q": query, "format": "json"}
        answer = await ask(context, f"{base}/search", service="The search", query=asked)
        found, excerpt = read_object(answer, service="The search"), "content"
    results = found.get("results") if isinstance(found, dict) else None
    hits = [hit for hit in results or [] if isinstance(hit, dict)][:SEARCH_RESULTS]
    return "\n\n".join(
        f"[{number}] {hit.get('title') or ''}\n{hit.get('url') or ''}\n{hit.get(excerpt) or ''}".strip()
        for number, hit in enumerate(hits, 1)
    )


def _bearer(stored: ApiKey) -> dict[str, str]:
    return {"Authorization": f"Bearer {stored.key}"}
