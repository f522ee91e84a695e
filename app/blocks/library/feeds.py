"""The block that reads news feeds, and what it remembers so that no entry is missed or emitted twice."""

from __future__ import annotations

import asyncio
import calendar
import codecs
import contextlib
import hashlib
import io
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.context import Scope
from app.blocks.library.web import complete_url
from app.errors import BlockLimitExceeded, BlockUnavailable
from app.graph.signature import Effect
from app.outbound.response import find_charset

if TYPE_CHECKING:
    from app.blocks.context import BlockContext
    from app.outbound.response import Response

MAX_ENTRIES = 1_000
"""Of one feed; the first of it. As many are remembered."""
MAX_FEED_BYTES = 4 * 1024 * 1024
"""Reading that much takes some ten seconds."""
REQUEST_TIMEOUT_SECONDS = 60.0
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"<\0?\0": "utf-16-le",
    b"\0<\0?": "utf-16-be",
}
"""How a feed begins that is in one of these charsets. The longer ones first."""


class FeedEntry(BaseModel):
    """One piece of news."""

    title: str
    link: str
    description: str
    pub_date: datetime
    author: str
    categories: list[str]


class _Cursor(BaseModel):
    """What a node has emitted of a feed, kept between executions."""

    since: datetime
    """What is older is no news."""
    seen: list[str]
    """Entries that are done with, the newest last."""
    call: str
    """The node execution that read the feed last."""
    fresh: list[str]
    """What that one emitted. It is read again only if it could not be recorded, and then emits this again."""


class ReadRSSFeedBlock(RemoteBlock):
    """Read the news of a feed, RSS or Atom: on a schedule, each entry once.

    One call reads the feed once and ends. The first call of a node emits the entries of the last `time_period` minutes,
    each later one what has come since. An entry may be emitted twice when a worker dies, and is lost when an execution
    is ended between reading and recording. A feed that cannot be understood has no entries.
    """

    id = "5ebe6768-8e5d-41e3-9134-1c7bd89a8d52"
    slug = "read_rss_feed_block"
    categories = (BlockCategory.INPUT,)
    emits_many = True
    timeout_seconds = 180.0
    # A second attempt finds what the first remembered, and emits the same.
    effect = Effect.PURE

    class Input(BlockInput):
        """The feed."""

        rss_url: str
        """Where it is."""
        time_period: int = 1440
        """How far back the first call looks, in minutes."""
        polling_rate: int
        """Not used: a schedule says how often the graph is executed."""
        run_continuously: bool = True
        """Whether to emit only what no earlier execution has; otherwise always all of the last `time_period`."""

    class Output(BlockOutput):
        """The news, newest first as feeds have it."""

        entry: dict[str, Any]
        """`title`, `link`, `description`, `pub_date`, `author` and `categories`. Without a date of its own: now."""
        entries: list[dict[str, Any]]
        """All of them together, after the last; also when there are none."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Read the feed.

        Raises:
            BlockUnavailable: The feed cannot be fetched now.
            BlockError: The URL cannot be, or the feed is too large.
        """
        url = complete_url(given.rss_url)
        response = await context.http.request("GET", url, timeout_seconds=REQUEST_TIMEOUT_SECONDS)
        if response.status_code in (429, 500, 502, 503, 504):
            raise BlockUnavailable(
                f"The feed's host answered {response.status_code}",
                retry_after_seconds=response.retry_after_seconds,
            )
        if len(response.body) > MAX_FEED_BYTES:
            raise BlockLimitExceeded("The feed is larger than 4 MiB")
        now = datetime.now(UTC)
        # Reading a large feed takes seconds, in which the other calls of this worker go on.
        found = await asyncio.to_thread(_read_feed, response, now)
        since = now - timedelta(minutes=max(0, given.time_period))
        if given.run_continuously and context.node_id:
            news = await _find_unseen(found, url, since, context)
        else:
            news = [entry for _, entry in found if entry.pub_date > since]
        emitted = [entry.model_dump(mode="json") for entry in news]
        for entry in emitted:
            yield "entry", entry
        yield "entries", emitted


async def _find_unseen(
    found: Sequence[tuple[str, FeedEntry]], url: str, since: datetime, context: BlockContext
) -> list[FeedEntry]:
    """Return the entries that are new to this node, and remember them."""
    key = f"feed:{_digest(context.node_id)}:{_digest(url)}"
    cursor = _Cursor(since=since, seen=[], call="", fresh=[])
    for kept in await context.memory.get(key, scope=Scope.AGENT):
        try:
            cursor = _Cursor.model_validate(kept)
        except ValidationError:
            continue  # written by somebody else: as if there were nothing
    if cursor.call != context.idempotency_key:
        cursor.seen = [*cursor.seen, *cursor.fresh]
    seen = set(cursor.seen)
    news = [(name, entry) for name, entry in found if name not in seen and entry.pub_date > cursor.since]
    fresh = {name for name, _ in news}
    # What is still in the feed is remembered longest.
    present = {name: None for name, _ in reversed(found) if name not in fresh}
    seen_now = [name for name in cursor.seen if name not in present and name not in fresh] + list(present)
    remembered = _Cursor(
        since=cursor.since,
        seen=seen_now[-MAX_ENTRIES:],
        call=context.idempotency_key,
        fresh=list(fresh),
    )
    if news or seen_now != cursor.seen:
        await context.memory.put(key, remembered.model_dump(mode="json"), scope=Scope.AGENT)
    return [entry for _, entry in news]


def _read_feed(response: Response, now: datetime) -> list[tuple[str, FeedEntry]]:
    """Return the entries of a feed by what tells them apart; none when it cannot be understood."""
    # Loading it takes 200 ms, and most workers never read a feed.
    import feedparser  # noqa: PLC0415

    # Not the bytes themselves: those it would take for the name of a file of this machine. And in UTF-8, which it
    # then tries first: else it takes any charset that the feed names and Python knows, also those that take hours.
    feed = feedparser.parse(
        io.BytesIO(_text_of(response).encode(errors="replace")),
        response_headers={
            "content-type": "application/xml; charset=utf-8",
            "content-location": response.url,
        },
    )
    found: dict[str, FeedEntry] = {}
    for entry in feed.entries[:MAX_ENTRIES]:
        parsed = entry.get("published_parsed") or entry.get("updated_parsed")
        title, link = entry.get("title", ""), entry.get("link", "")
        name = _digest(entry.get("id") or link or title)
        found.setdefault(
            name,
            FeedEntry(
                title=title,
                link=link,
                description=entry.get("summary", ""),
                pub_date=_moment_of(parsed) or now,
                author=entry.get("author", ""),
                categories=[tag.get("term") or "" for tag in entry.get("tags", [])],
            ),
        )
    return list(found.items())


def _text_of(response: Response) -> str:
    """Return a feed as text, in the first charset that fits: its own, as far as it says, or a usual one."""
    beginning = response.body[:200]
    marked = next((charset for mark, charset in _MARKS.items() if beginning.startswith(mark)), None)
    declaration = beginning.decode("ascii", "replace") if beginning.lstrip()[:5] == b"<?xml" else ""
    named = [find_charset(response.headers.get("content-type", "")), find_charset(declaration)]
    for charset in filter(None, [marked, *named, "utf-8"]):
        with contextlib.suppress(UnicodeError, LookupError):
            return response.body.decode(charset)
    return response.body.decode("windows-1252", errors="replace")


def _moment_of(parsed: Any) -> datetime | None:
    try:
        return None if parsed is None else datetime.fromtimestamp(calendar.timegm(parsed), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
