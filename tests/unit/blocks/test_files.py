from __future__ import annotations

from typing import Any

import pytest

from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from tests.unit.blocks.calls import call, case, refusal

HELLO = "data:text/plain;base64,aGVsbG8="
HELLO_IN_BASE64 = "data:text/plain;charset=utf-8;base64,aGVsbG8="


def store(sentence: str, file_in: str, file_out: str, **more: Any) -> Any:
    return case(sentence, "FileStoreBlock", {"file_in": file_in, **more}, ("file_out", file_out))


def read(sentence: str, file: str, *contents: str, **more: Any) -> Any:
    return case(
        sentence,
        "FileReadBlock",
        {"file_input": file, **more},
        *(("content", content) for content in contents),
    )


CASES = [
    store("a data URI stays", HELLO, HELLO),
    store("also when base64 is asked for", HELLO, HELLO, base_64=True),
    store("a text stays", "hello", "hello"),
    store("a text becomes a data URI", "hello", HELLO_IN_BASE64, base_64=True),
    store("a text with a URL in it is a text", "see https://a.example now", "see https://a.example now"),
    read("a data URI", HELLO, "hello"),
    read("percent-encoded", "data:,h%C3%A9llo", "héllo"),
    read("no media type", "data:;base64,aGVsbG8=", "hello"),
    read("line ends in base64", "data:;base64,aGVs\nbG8=", "hello"),
    read("Latin-1", "data:text/plain;base64,6Q==", "é"),
    read("a byte order mark goes", "data:text/plain;base64,77u/YQ==", "a"),
    read("a text", "a\nb", "a\nb"),
    read("a NUL", "a\x00b", "a\x00b"),
    read("an empty file", "data:,", ""),
    read("rows", "a\nb\nc", "a", "b", "c", delimiter="\n"),
    read("some rows", "a,b,c,d", "b", "c", delimiter=",", skip_rows=1, row_limit=2),
    read("all rows skipped", "a,b", delimiter=",", skip_rows=5),
    read("chunks", "abcdefg", "abc", "def", "g", size_limit=3),
    read("chunks of rows", "abcd,ef,", "abc", "d", "ef", "", delimiter=",", size_limit=3),
    read("not the start", "abcdef", "def", skip_size=3),
    read("all of it skipped", "abc", "", skip_size=9),
    read("skipped, then in rows", "x a,b", "a", "b", skip_size=2, delimiter=","),
]

URLS = [
    "https://a.example/x.txt",
    "http://a.example",
    "workspace://x",
    "file:///etc/passwd",
    "gs://bucket/x",
    " ftp://a/b\n",
]

REFUSALS = [
    *(
        refusal(url, "FileStoreBlock", {"file_in": url}, BlockError, "files by URL are not supported yet")
        for url in URLS
    ),
    refusal("a URL", "FileReadBlock", {"file_input": URLS[0]}, BlockError, "`file_input` is a URL"),
    refusal("a URL", "AgentFileInputBlock", {"name": "f", "value": URLS[0]}, BlockError, "not supported yet"),
    refusal("broken base64", "FileReadBlock", {"file_input": "data:;base64,a"}, BlockInputInvalid, "base64"),
    refusal(
        "foreign letters in base64",
        "FileStoreBlock",
        {"file_in": "data:;base64,aG!s"},
        BlockInputInvalid,
        "base64",
    ),
    refusal(
        "a large data URI",
        "FileReadBlock",
        {"file_input": "data:;base64," + "A" * 15_000_000},
        BlockLimitExceeded,
        "10 MiB",
    ),
    refusal("a large text", "FileStoreBlock", {"file_in": "é" * 6_000_000}, BlockLimitExceeded, "10 MiB"),
    refusal(
        "many pieces",
        "FileReadBlock",
        {"file_input": "a" * 10_001, "size_limit": 1},
        BlockLimitExceeded,
        "pieces",
    ),
    refusal(
        "many rows",
        "FileReadBlock",
        {"file_input": "," * 10_001, "delimiter": ","},
        BlockLimitExceeded,
        "pieces",
    ),
]


@pytest.mark.parametrize(("name", "data", "emitted"), CASES)
def test_it_emits_exactly(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert call(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
def test_it_refuses(name: str, data: dict[str, Any], error: type[BlockError], match: str | None) -> None:
    with pytest.raises(error, match=match):
        call(name, data)
