from __future__ import annotations

from typing import Any

import pytest

from app.blocks.context import File
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from tests.unit.blocks.calls import call_remote, case, refusal
from tests.unit.blocks.contexts import MemoryFiles, make_context

HELLO = "data:text/plain;base64,aGVsbG8="
HELLO_IN_BASE64 = "data:text/plain;charset=utf-8;base64,aGVsbG8="


def read(sentence: str, file: str, *contents: str, **more: Any) -> Any:
    return case(
        sentence,
        "FileReadBlock",
        {"file_input": file, **more},
        *(("content", content) for content in contents),
    )


CASES = [
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
    case("nothing for a null", "AgentFileInputBlock", {"name": "x", "value": None}),
    case("nothing without a value", "AgentFileInputBlock", {"name": "x"}),
    case("nothing for an empty text", "AgentFileInputBlock", {"name": "x", "value": ""}),
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
    *(refusal(url, "FileStoreBlock", {"file_in": url}, BlockInputInvalid) for url in URLS),
    refusal("no file", "FileReadBlock", {"file_input": URLS[0]}, BlockInputInvalid),
    refusal("no file", "AgentFileInputBlock", {"name": "f", "value": URLS[2]}, BlockInputInvalid),
    refusal("without a name", "AgentFileInputBlock", {"value": "x"}, BlockInputInvalid, "`name`"),
    refusal("broken base64", "FileReadBlock", {"file_input": "data:;base64,a"}, BlockInputInvalid, "base64"),
    refusal(
        "foreign letters in base64",
        "FileStoreBlock",
        {"file_in": "data:;base64,aG!s"},
        BlockInputInvalid,
        "base64",
    ),
    refusal("a large text", "FileReadBlock", {"file_input": "é" * 17_000_000}, BlockLimitExceeded, "32 MiB"),
    refusal(
        "a large text to be carried along",
        "FileStoreBlock",
        {"file_in": "é" * 6_000_000, "base_64": True},
        BlockLimitExceeded,
        "10 MiB",
    ),
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
async def test_it_emits_exactly(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert await call_remote(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
async def test_it_refuses(
    name: str, data: dict[str, Any], error: type[BlockError], match: str | None
) -> None:
    with pytest.raises(error, match=match):
        await call_remote(name, data)


@pytest.mark.parametrize(("name", "pin"), [("FileStoreBlock", "file_in"), ("AgentFileInputBlock", "value")])
@pytest.mark.parametrize("given", [HELLO, "hello"])
async def test_a_file_is_stored_and_its_reference_goes_out(name: str, pin: str, given: str) -> None:
    files = MemoryFiles()
    [(_, reference)] = await call_remote(name, {"name": "x", pin: given}, make_context(files=files))
    assert files.files[reference].content == b"hello"
    # Once stored, it is handed on as it is.
    assert (await call_remote(name, {"name": "x", pin: reference}, make_context(files=files)))[0][
        1
    ] == reference
    assert len(files.files) == 1


@pytest.mark.parametrize(("name", "pin"), [("FileStoreBlock", "file_in"), ("AgentFileInputBlock", "value")])
async def test_a_file_goes_out_whole_if_that_is_asked_for(name: str, pin: str) -> None:
    files = MemoryFiles()
    reference = "workspace://00000000-0000-0000-0000-000000000009"
    files.files[reference] = File(b"hello", "a.txt", "text/plain")
    for given, whole in ((HELLO, HELLO), ("hello", HELLO_IN_BASE64), (reference, HELLO)):
        data = {"name": "x", pin: given, "base_64": True}
        assert (await call_remote(name, data, make_context(files=files)))[0][1] == whole
    assert len(files.files) == 1


async def test_a_text_with_a_url_in_it_is_a_text() -> None:
    assert await call_remote("FileReadBlock", {"file_input": "see https://a.example now"}) == [
        ("content", "see https://a.example now")
    ]
