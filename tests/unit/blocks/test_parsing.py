from __future__ import annotations

from typing import Any

import pytest

from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from tests.unit.blocks.calls import call, case, refusal

LAUGHS = """<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><l>&b;</l>"""
FILE = """<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><l>&a;</l>"""


def xml(sentence: str, text: str, parsed: dict[str, Any]) -> Any:
    return case(sentence, "XMLParserBlock", {"input_xml": text}, ("parsed_xml", parsed))


def no_xml(
    sentence: str, text: str, error: type[BlockError] = BlockInputInvalid, match: str | None = None
) -> Any:
    return refusal(sentence, "XMLParserBlock", {"input_xml": text}, error, match)


CASES = [
    xml("a text", "<a>text</a>", {"a": "text"}),
    xml("white space goes", "\n <a>\n  text\n</a>\n", {"a": "text"}),
    xml("nothing", "<a/>", {"a": ""}),
    xml("tags inside", "<a><b>1</b><c>2</c></a>", {"a": {"b": "1", "c": "2"}}),
    xml("one tag inside", "<a><b><c>1</c></b></a>", {"a": {"b": {"c": "1"}}}),
    xml("repeated tags", "<a><b>1</b><b>2</b></a>", {"a": [{"b": "1"}, {"b": "2"}]}),
    xml(
        "repeated tags and another",
        "<a><b>1</b><b>2</b><c>3</c></a>",
        {"a": [{"b": "1"}, {"b": "2"}, {"c": "3"}]},
    ),
    xml(
        "repeats at two levels",
        "<r><i><n>1</n><p>x</p></i><i><n>2</n></i></r>",
        {"r": [{"i": {"n": "1", "p": "x"}}, {"i": {"n": "2"}}]},
    ),
    xml("attributes and text around are left out", '<a k="v">x<b>1</b>y</a>', {"a": {"b": "1"}}),
    xml("entities", "<a>&lt;b&gt; &amp; &#233;</a>", {"a": "<b> & é"}),
    xml("a lone ampersand", "<a>Q & A &nbsp; R&D</a>", {"a": "Q & A &nbsp; R&D"}),
    xml("CDATA", "<a><![CDATA[<b> & ]]></a>", {"a": "<b> &"}),
    xml("a declaration", '<?xml version="1.0" encoding="UTF-8"?><a>é</a>', {"a": "é"}),
    xml("a comment", "<a><!-- no -->x<!-- no --></a>", {"a": "x"}),
    xml("a namespace", '<a xmlns="urn:x"><b>1</b></a>', {"a": {"b": "1"}}),
]

REFUSALS = [
    no_xml("nothing", ""),
    no_xml("a tag that does not close", "<a><b></a>", match="line 1"),
    no_xml("two roots", "<a>1</a><b>2</b>"),
    no_xml("text before", "Sure, here it is: <a>1</a>"),
    no_xml("text after", "<a>1</a> I hope it helps"),
    no_xml("no XML", "hello"),
    no_xml("a billion laughs", LAUGHS, match="not allowed"),
    no_xml("a file of the server", FILE, match="not allowed"),
    no_xml("too large", "<a>" + "x" * (10 * 1024 * 1024) + "</a>", BlockLimitExceeded),
    no_xml("too deep", "<a>" * 5_000 + "</a>" * 5_000, BlockLimitExceeded),
]


@pytest.mark.parametrize(("name", "data", "emitted"), CASES)
def test_it_emits_exactly(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert call(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
def test_it_refuses(name: str, data: dict[str, Any], error: type[BlockError], match: str | None) -> None:
    with pytest.raises(error, match=match):
        call(name, data)
