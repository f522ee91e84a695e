"""Reads XML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException, ElementTree

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockInputInvalid, BlockLimitExceeded
from app.json_values import MAX_DEPTH

MAX_XML_BYTES = 10 * 1024 * 1024
MAX_XML_TAGS = 200_000

_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9A-Fa-f]{1,6});)")
_NAMESPACE = re.compile(r"^\{[^}]*\}")


class XMLParserBlock(PureBlock):
    """Read XML with a single root into dictionaries, lists and texts.

    A tag becomes a key. Tags inside it become a dictionary if all differ, else a list of dictionaries with one key
    each; without tags inside, its text is taken, white space at the ends left out. Attributes are ignored. A lone
    `&`, as language models write it, stands for itself.
    """

    id = "286380af-9529-4b55-8be0-1d7c854abdb5"
    slug = "xml_parser_block"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """The XML."""

        input_xml: str
        """At most 10 MiB, nothing but white space outside the root."""

    class Output(BlockOutput):
        """What it says."""

        parsed_xml: dict[str, Any]
        """One key: the root's tag."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit what the XML says.

        Raises:
            BlockInputInvalid: It is not well formed or declares entities.
            BlockLimitExceeded: It is too large or nested too deep.
        """
        if len(given.input_xml.encode("utf-8", "replace")) > MAX_XML_BYTES:
            raise BlockLimitExceeded("`input_xml` is larger than 10 MiB")
        yield "parsed_xml", _read_xml(given.input_xml.strip())


class _XmlReader:
    """Builds the dictionaries while the XML is parsed, so that a limit ends the parsing."""

    def __init__(self) -> None:
        self._open: list[_Element] = [_Element("")]
        self._tags = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._tags += 1
        if self._tags > MAX_XML_TAGS:
            raise BlockLimitExceeded(f"`input_xml` has more than {MAX_XML_TAGS:,} tags")
        if len(self._open) >= MAX_DEPTH:
            raise BlockLimitExceeded(f"`input_xml` is nested more than {MAX_DEPTH} levels deep")
        self._open.append(_Element(_NAMESPACE.sub("", tag)))

    def data(self, text: str) -> None:
        self._open[-1].texts.append(text)

    def end(self, tag: str) -> None:
        element = self._open.pop()
        self._open[-1].children.append((element.tag, element.content))

    def close(self) -> dict[str, Any]:
        return dict(self._open[0].children)


@dataclass(slots=True)
class _Element:
    tag: str
    texts: list[str] = field(default_factory=list)
    children: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def content(self) -> Any:
        if not self.children:
            return "".join(self.texts).strip()
        by_tag = dict(self.children)
        is_unique = len(by_tag) == len(self.children)
        return by_tag if is_unique else [{tag: content} for tag, content in self.children]


def _read_xml(text: str) -> dict[str, Any]:
    try:
        return _parse_xml(text)
    except BlockInputInvalid:
        repaired = _BARE_AMPERSAND.sub("&amp;", text)
        if repaired == text:
            raise
        return _parse_xml(repaired)


def _parse_xml(text: str) -> dict[str, Any]:
    reader = _XmlReader()
    parser = ElementTree.XMLParser(target=reader, forbid_dtd=True)
    try:
        parser.feed(text)
        parser.close()
    except ParseError as error:
        line, column = error.position
        raise BlockInputInvalid(f"`input_xml` is not well formed, in line {line}, column {column}") from None
    except DefusedXmlException:
        raise BlockInputInvalid(
            "`input_xml` declares a document type or entities, which is not allowed"
        ) from None
    return reader.close()
