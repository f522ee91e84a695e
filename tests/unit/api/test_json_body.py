"""What a JSON body may be."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.json_body import MAX_BYTES, MAX_CONTAINERS, MAX_DEPTH, MAX_KEYS, parse_json, read_bounded
from app.errors import InvalidRequest, PayloadTooLarge

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=30,
)


@given(values)
def test_every_plain_value_is_read_as_it_was_written(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        parse_json(body)
    except InvalidRequest:
        pass


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded(opening: str, closing: str) -> None:
    assert parse_json(nested(MAX_DEPTH, opening, closing))
    for depth in (MAX_DEPTH + 1, 5_000, 200_000):
        with pytest.raises(InvalidRequest, match="deeper"):
            parse_json(nested(depth, opening, closing))


def test_keys_are_bounded_wherever_they_stand() -> None:
    flat = {str(number): number for number in range(MAX_KEYS)}
    assert parse_json(json.dumps(flat).encode()) == flat
    spread = [{"a": 1}] * (MAX_KEYS + 1)
    for value in ({**flat, "more": 1}, spread, {"nodes": [{"input_default": {**flat, "more": 1}}]}):
        with pytest.raises(InvalidRequest, match="keys"):
            parse_json(json.dumps(value).encode())


def test_the_fields_of_nodes_and_links_are_bounded_by_their_number_instead() -> None:
    links = [{"source_id": "a", "sink_id": "b", "source_name": "c", "sink_name": "d"}] * 50_000
    assert len(parse_json(json.dumps({"nodes": [], "links": links}).encode())["links"]) == 50_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"a": 1} trailing',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b"[-1e999]",
        b'["\\u0000"]',
        b'{"\\u0000": 1}',
        b'["\\ud800"]',
        b'["\\uDFFF x"]',
        b'{"\\udc00": 1}',
        b'["\x00"]',
        b"[" + b"9" * 5_000 + b"]",
        b"[-" + b"9" * 5_000_000 + b"]",
        b'["\xff"]',
        b"\xff\xfe[\x001\x00]\x00",
        b"\xef\xbb\xbf[1]",
        b"'a'",
        b"{a: 1}",
        b"[1,]",
        b"[01]",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_two_parsers_may_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_json(body)


def test_escapes_that_only_look_like_nul_or_surrogates_are_taken() -> None:
    assert parse_json(b'["\\\\u0000", "\\ud83d\\ude00"]') == ["\\u0000", "\U0001f600"]


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1024):
        yield b"x" * 1024
    yield b"x" * (size % 1024)


@pytest.mark.parametrize("container", ["[]", "{}"])
def test_lists_and_objects_are_bounded(container: str) -> None:
    most = "[" + f"{container}," * (MAX_CONTAINERS - 2) + f"{container}]"
    assert len(parse_json(most.encode())) == MAX_CONTAINERS - 1
    with pytest.raises(InvalidRequest, match="lists and objects"):
        parse_json(f"[{most}]".encode())


@pytest.mark.parametrize("text", ["[{" * MAX_CONTAINERS, '"[' * MAX_CONTAINERS, "\\[" * MAX_CONTAINERS])
def test_brackets_in_texts_are_no_lists_or_objects(text: str) -> None:
    assert parse_json(json.dumps({"a": text}).encode()) == {"a": text}


@pytest.mark.parametrize("body", ['"' + '\\"[' * 2_000_000, '"' + "[" * 6_000_000 + "\\", '"[' * 2_000_001])
def test_texts_without_an_end_are_refused_in_bounded_time(body: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_json(body.encode())


async def test_a_body_of_the_greatest_size_is_read() -> None:
    assert len(await read_bounded(chunks(MAX_BYTES), None)) == MAX_BYTES
    assert len(await read_bounded(chunks(MAX_BYTES), MAX_BYTES)) == MAX_BYTES


@pytest.mark.parametrize("declared", [None, 5, MAX_BYTES + 1, 10**12])
async def test_one_byte_more_is_refused_whatever_length_is_declared(declared: int | None) -> None:
    with pytest.raises(PayloadTooLarge):
        await read_bounded(chunks(MAX_BYTES + 1), declared)
