from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.blocks.safe_patterns import compile_pattern
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from tests.unit.blocks.calls import call, case, refusal


def matched(*texts: str) -> tuple[tuple[str, Any], ...]:
    """What is emitted for these matches."""
    each = [("positive", text) for text in texts]
    return (*each, ("matched_results", list(texts)), ("matched_count", len(texts)))


def unmatched(text: str) -> tuple[tuple[str, Any], ...]:
    """What is emitted when nothing matches."""
    return (("negative", text), ("matched_results", []), ("matched_count", 0))


def match(sentence: str, text: Any, pattern: str, *emitted: tuple[str, Any], **more: Any) -> Any:
    return case(
        sentence, "MatchTextPatternBlock", {"text": text, "match": pattern, "data": None} | more, *emitted
    )


def extract(sentence: str, text: Any, pattern: str, *emitted: tuple[str, Any], **more: Any) -> Any:
    return case(sentence, "ExtractTextInformationBlock", {"text": text, "pattern": pattern} | more, *emitted)


CASES = [
    match("found anywhere", "say hello", "hel+o", ("positive", "say hello")),
    match("not found", "say hello", "bye", ("negative", "say hello")),
    match("data goes out", "say hello", "hello", ("positive", {"a": 1}), data={"a": 1}),
    match("empty data does not", "hello", "hello", ("positive", "hello"), data=""),
    match("case counts", "Hello", "hello", ("negative", "Hello")),
    match("case does not count", "Hello", "hello", ("positive", "Hello"), case_sensitive=False),
    match("a dot matches a line end", "a\nb", "a.b", ("positive", "a\nb")),
    match("a dot does not", "a\nb", "a.b", ("negative", "a\nb"), dot_all=False),
    match("a dictionary is searched as JSON", {"a": 1}, '"a": 1', ("positive", {"a": 1})),
    match("so is a number", 42, "^42$", ("positive", 42)),
    match("and umlauts are themselves", ["ü"], "ü", ("positive", ["ü"])),
    extract("the first match", "a1 b2", r"[a-z]\d", *matched("a1")),
    extract("every match", "a1 b2", r"[a-z]\d", *matched("a1", "b2"), find_all=True),
    extract("a group", "key: value", r"(\w+): (\w+)", *matched("value"), group=2),
    extract("a group of every match", "a=1,b=2", r"(\w)=(\d)", *matched("1", "2"), group=2, find_all=True),
    extract("a group as text", "a=1", r"(\w)=(\d)", *matched("1"), group="2"),
    extract("no such group", "a1", r"a(\d)", *unmatched("a1"), group=2),
    extract("a group below zero", "a1", r"a(\d)", *unmatched("a1"), group=-1),
    extract("a group that takes no part", "ac", r"a(b)?c", *unmatched("ac"), group=1),
    extract("a group that takes part later", "ac abc", r"a(b)?c", *matched("b"), group=1, find_all=True),
    extract("nothing", "abc", "x", *unmatched("abc")),
    extract("a broken expression matches nothing", "abc", "(", *unmatched("abc")),
    extract("case does not count", "ABC", "b", *matched("B"), case_sensitive=False),
    extract("a dot does not match a line end", "a\nb", "a.b", *unmatched("a\nb"), dot_all=False),
    extract("a dictionary is searched as JSON", {"a": "x"}, '"a": "(.)"', *matched("x"), group=1),
    extract("nothing in a dictionary", {"a": 1}, "z", *unmatched('{"a": 1}')),
    extract("an empty match", "ab", "x*", *matched("")),
]

REFUSALS = [
    refusal(
        "(a+)+$ runs away",
        "MatchTextPatternBlock",
        {"text": "a" * 3_000 + "!", "match": "(a+)+$", "data": 1},
        BlockLimitExceeded,
        "2 seconds",
    ),
    refusal(
        "(a+)+$ runs away",
        "ExtractTextInformationBlock",
        {"text": "a" * 3_000 + "!", "pattern": "(a+)+$", "find_all": True},
        BlockLimitExceeded,
        "2 seconds",
    ),
    refusal(
        "broken",
        "MatchTextPatternBlock",
        {"text": "a", "match": "(", "data": 1},
        BlockInputInvalid,
        "well formed",
    ),
    refusal("no data", "MatchTextPatternBlock", {"text": "a", "match": "a"}, BlockInputInvalid, "`data`"),
    refusal(
        "a long text",
        "MatchTextPatternBlock",
        {"text": "a" * 1_000_001, "match": "b", "data": 1},
        BlockLimitExceeded,
    ),
    refusal(
        "a long expression",
        "MatchTextPatternBlock",
        {"text": "a", "match": "a" * 2_001, "data": 1},
        BlockLimitExceeded,
    ),
    refusal(
        "a long one", "ExtractTextInformationBlock", {"text": "a", "pattern": "a" * 2_001}, BlockLimitExceeded
    ),
]


@pytest.mark.parametrize(("name", "data", "emitted"), CASES)
def test_it_emits_exactly(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert call(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
def test_it_refuses(name: str, data: dict[str, Any], error: type[BlockError], match: str | None) -> None:
    with pytest.raises(error, match=match):
        call(name, data)


def test_matches_are_capped_in_number_and_length() -> None:
    many = call("ExtractTextInformationBlock", {"text": "a" * 5_000, "pattern": "a", "find_all": True})
    long = call("ExtractTextInformationBlock", {"text": "a" * 50_000, "pattern": "a+"})
    far = call("ExtractTextInformationBlock", {"text": "b" * 1_000_000 + "a", "pattern": "a"})

    assert many[-1] == ("matched_count", 1_000)
    assert len(long[0][1]) == 10_000
    assert far[-1] == ("matched_count", 0)


@pytest.mark.parametrize(
    "pattern",
    [
        "a{99999999}",
        "(?:(?:a{999}){999}){999}",
        "(?:" * 20 + "a" + "){2}" * 20,
        "(?:" * 100 + "a" + "){9}" * 100,
        "(" * 950 + "a" + ")" * 950,
        "(?x)(?:a{999} # )\n){999}",
        "(?x:(?:a{999} # )\n){999})",
        "(?#[)(?:a{999}]){999}",
        "(?R)",
        "a(?R)?b",
        "(?1)(a)",
        "(?P<x>a(?&x)?)+$",
        r"\p{L}",
        r"\L<x>",
    ],
    ids=lambda pattern: pattern[:40],
)
def test_a_pattern_that_would_exhaust_memory_is_refused(pattern: str) -> None:
    with pytest.raises(BlockError):
        compile_pattern(pattern, is_case_sensitive=True, does_dot_match_newline=True)


def test_a_repeated_group_over_a_long_text_is_refused() -> None:
    pattern = compile_pattern("((a|b))*$", is_case_sensitive=True, does_dot_match_newline=True)

    assert pattern.search("ab" * 100)
    with pytest.raises(BlockLimitExceeded, match="repeats groups"):
        pattern.search("ab" * 400_000)


ALPHABET = [
    *r"ab{}[]()<>=,:12?*+|.^$\&-_e",
    "{e<=1}",
    "[[:alpha:]]",
    "(?:",
    "{2}",
    "{,1}",
    "(?P<n>",
    "(?P=n)",
]


@given(
    st.lists(st.sampled_from(ALPHABET), max_size=8).map("".join),
    st.text(alphabet="ab{}<=1:[]e-", max_size=12),
)
def test_a_pattern_means_what_it_means_in_python(pattern: str, text: str) -> None:
    try:
        compiled = compile_pattern(pattern, is_case_sensitive=True, does_dot_match_newline=True)
    except BlockError:
        return

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = re.search(pattern, text, re.DOTALL)

    assert compiled.search(text) is (expected is not None)
