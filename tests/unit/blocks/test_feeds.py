from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from app.blocks.library import feeds
from app.blocks.library.feeds import ReadRSSFeedBlock
from app.errors import BlockLimitExceeded, BlockUnavailable
from app.outbound.addresses import AddressRefused
from app.outbound.http import OutboundHttp
from tests.unit.blocks.contexts import MemoryOfOne, make_context
from tests.unit.blocks.stub_server import Answer, StubServer

block = ReadRSSFeedBlock()


def item(name: str, *, minutes_ago: float | None = 1) -> str:
    date = ""
    if minutes_ago is not None:
        date = f"<pubDate>{format_datetime(datetime.now(UTC) - timedelta(minutes=minutes_ago))}</pubDate>"
    return (
        f"<item><title>{name}</title><link>https://news.test/{name}</link><guid>{name}</guid>"
        f"<description>About {name}</description><author>anna@news.test</author>"
        f"<category>snails</category><category>food</category>{date}</item>"
    )


def feed(*items: str) -> Answer:
    body = f'<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>{"".join(items)}</channel></rss>'
    return Answer(body=body.encode(), headers={"content-type": "application/rss+xml"})


async def read(
    server: StubServer,
    memory: MemoryOfOne | None = None,
    *,
    call: str = "e:n:1",
    node: str = "n",
    **given: Any,
) -> list[dict[str, Any]]:
    """Return the entries that the block emits, having seen that it emits them one by one and then together."""
    http = OutboundHttp(allowed_private_hosts=["127.0.0.1"])
    context = replace(make_context(http=http, memory=memory), idempotency_key=call, node_id=node)
    given = {"rss_url": f"{server.url}/feed", "polling_rate": 300, **given}
    emitted = [emitted async for emitted in block.run(block.Input(**given), context)]
    *single, (pin, entries) = emitted
    assert single == [("entry", entry) for entry in entries]
    assert pin == "entries"
    return list(entries)


def titles(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["title"] for entry in entries]


async def test_an_entry_has_all_its_fields(server: StubServer) -> None:
    server.answers["/feed"] = feed(item("one", minutes_ago=10))
    (entry,) = await read(server, run_continuously=False)
    published = datetime.fromisoformat(entry.pop("pub_date"))
    assert abs(datetime.now(UTC) - timedelta(minutes=10) - published) < timedelta(minutes=5)
    assert entry == {
        "title": "one",
        "link": "https://news.test/one",
        "description": "About one",
        "author": "anna@news.test",
        "categories": ["snails", "food"],
    }


async def test_atom_is_read_too(server: StubServer) -> None:
    now = datetime.now(UTC).isoformat()
    body = (
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title><entry><id>1</id><title>One</title>'
        f'<link href="/one"/><updated>{now}</updated><summary>Short</summary></entry></feed>'
    )
    server.answers["/feed"] = Answer(body=body.encode(), headers={"content-type": "application/atom+xml"})
    (entry,) = await read(server)
    assert (entry["title"], entry["link"]) == ("One", f"{server.url}/one")


async def test_only_the_window_is_read_when_it_is_not_to_go_on(server: StubServer) -> None:
    server.answers["/feed"] = feed(item("new", minutes_ago=5), item("old", minutes_ago=90))
    memory = MemoryOfOne()
    for call in ("1", "2"):
        found = await read(server, memory, call=call, run_continuously=False, time_period=60)
        assert titles(found) == ["new"]
    assert not memory.values


async def test_each_execution_gets_what_has_come_since_the_last(server: StubServer) -> None:
    memory = MemoryOfOne()
    server.answers["/feed"] = feed(item("a"), item("old", minutes_ago=5_000))
    assert titles(await read(server, memory, call="1")) == ["a"]
    server.answers["/feed"] = feed(item("c"), item("b"), item("a"), item("old", minutes_ago=5_000))
    assert titles(await read(server, memory, call="2")) == ["c", "b"]
    assert titles(await read(server, memory, call="3")) == []
    server.answers["/feed"] = feed(item("d"), item("c"))
    assert titles(await read(server, memory, call="4")) == ["d"]
    server.answers["/feed"] = feed(item("d"), item("c"), item("b"), item("a"))
    assert titles(await read(server, memory, call="5")) == []


async def test_an_attempt_after_one_that_was_not_recorded_emits_the_same_again(server: StubServer) -> None:
    memory = MemoryOfOne()
    server.answers["/feed"] = feed(item("a"))
    await read(server, memory, call="1")
    server.answers["/feed"] = feed(item("b"), item("a"))
    assert titles(await read(server, memory, call="2")) == ["b"]
    server.answers["/feed"] = feed(item("c"), item("b"), item("a"))
    assert titles(await read(server, memory, call="2")) == ["c", "b"]
    assert titles(await read(server, memory, call="3")) == []


async def test_two_nodes_and_two_feeds_do_not_disturb_each_other(server: StubServer) -> None:
    memory = MemoryOfOne()
    server.answers["/feed"] = server.answers["/other"] = feed(item("a"))
    assert titles(await read(server, memory, call="1", node="x")) == ["a"]
    assert titles(await read(server, memory, call="2", node="y")) == ["a"]
    assert titles(await read(server, memory, call="3", node="x", rss_url=f"{server.url}/other")) == ["a"]
    assert titles(await read(server, memory, call="4", node="x")) == []


async def test_an_entry_without_a_date_is_news_when_it_is_seen_first(server: StubServer) -> None:
    memory = MemoryOfOne()
    server.answers["/feed"] = feed(item("undated", minutes_ago=None))
    assert titles(await read(server, memory, call="1")) == ["undated"]
    assert titles(await read(server, memory, call="2")) == []


async def test_what_is_remembered_stays_small_and_covers_the_largest_feed(
    server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "MAX_ENTRIES", most := 50)
    memory = MemoryOfOne()
    for start in range(0, 4 * most, most // 2):
        server.answers["/feed"] = feed(*(item(str(n)) for n in range(start, start + most + 10)))
        news = await read(server, memory, call=f"first {start}")
        assert len(news) == (most // 2 if start else most)
        assert await read(server, memory, call=f"second {start}") == []
    (kept,) = memory.values.values()
    assert len(kept["seen"]) + len(kept["fresh"]) <= 2 * most


@pytest.mark.parametrize(
    "body", [b"", b"<html><p>No feed", b"/etc/passwd", b"\0\xff", b"<rss><channel><item>"]
)
async def test_what_is_no_feed_has_no_entries(server: StubServer, body: bytes) -> None:
    server.answers["/feed"] = Answer(body=body)
    found = await read(server)
    assert [entry["title"] for entry in found if entry["title"]] == []


async def test_a_feed_of_many_megabytes_is_not_read(server: StubServer) -> None:
    server.answers["/feed"] = Answer(body=b"<rss>" + b" " * 5_000_000)
    with pytest.raises(BlockLimitExceeded):
        await read(server)


async def test_a_feed_that_is_gone_has_no_entries(server: StubServer) -> None:
    assert await read(server) == []


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "zlib_codec", "nonsense"])
async def test_a_charset_that_is_none_of_the_web_is_not_believed(server: StubServer, charset: str) -> None:
    # Of half a megabyte in punycode a worker would read for a minute.
    news = feed(item("one")).body.decode() + "<!-- \\ud800 x-" + "z9" * 250_000 + "-->"
    declared = news.replace('version="1.0"', f'version="1.0" encoding="{charset}"')
    for body, content_type in (
        (news.encode(), f"application/xml; charset={charset}"),
        (declared.encode(), "application/xml"),
        (declared.encode("utf-16"), "application/xml"),
    ):
        server.answers["/feed"] = Answer(body=body, headers={"content-type": content_type})
        assert titles(await read(server)) == ["one"]


@pytest.mark.parametrize(
    ("charset", "content_type", "declaration"),
    [
        ("utf-8", "text/plain", ""),
        ("utf-8-sig", "text/xml", ""),
        ("utf-16", "application/rss+xml", ""),
        ("utf-16-be", "application/rss+xml", "utf-16"),
        ("iso-8859-1", "application/rss+xml; charset=ISO-8859-1", ""),
        ("iso-8859-15", "application/rss+xml", "iso-8859-15"),
        ("windows-1252", "application/rss+xml; charset=utf-8", ""),
        ("gb2312", "text/xml; charset=gb2312", ""),
    ],
)
async def test_a_feed_is_read_in_its_own_charset(
    server: StubServer, charset: str, content_type: str, declaration: str
) -> None:
    title = "中文" if charset == "gb2312" else "Füße"
    text = feed(item(title)).body.decode()
    if declaration:
        text = text.replace('version="1.0"', f'version="1.0" encoding="{declaration}"', 1)
    server.answers["/feed"] = Answer(body=text.encode(charset), headers={"content-type": content_type})
    assert titles(await read(server)) == [title]


async def test_entities_of_the_document_are_not_opened(server: StubServer) -> None:
    body = (
        '<!DOCTYPE rss [<!ENTITY file SYSTEM "file:///etc/passwd"><!ENTITY a "aaaaaaaaaa">'
        + "".join(
            f'<!ENTITY {name} "{f"&{before};" * 10}">'
            for before, name in zip("abcdef", "bcdefg", strict=True)
        )
        + "]><rss><channel><item><title>T&file;&g;</title></item></channel></rss>"
    )
    server.answers["/feed"] = Answer(body=body.encode())
    found = await read(server)
    assert all("root:" not in entry["title"] and len(entry["title"]) < 100 for entry in found)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_failure_of_the_host_may_pass(server: StubServer, status: int) -> None:
    server.answers["/feed"] = Answer(status)
    with pytest.raises(BlockUnavailable):
        await read(server)


async def test_a_private_address_is_refused(server: StubServer) -> None:
    with pytest.raises(AddressRefused):
        async for _ in block.run(block.Input(rss_url=server.url, polling_rate=1), make_context()):
            pass


def test_the_block_is_known_by_its_id_and_pins() -> None:
    signature = block.signature
    assert signature.id == "5ebe6768-8e5d-41e3-9134-1c7bd89a8d52"
    assert set(signature.inputs) == {"rss_url", "time_period", "polling_rate", "run_continuously"}
    assert signature.required == {"rss_url", "polling_rate"}
    assert signature.outputs == {"entry", "entries", "error"}
