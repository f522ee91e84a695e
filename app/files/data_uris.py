"""Data URIs: files that travel as text."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_HEAD = re.compile(r"\s*data:(?P<media_type>[^,]{0,200}?)(?P<base64>;base64)?,", re.IGNORECASE)


class DataUriBroken(ValueError):
    """The text begins as a data URI and is none."""


@dataclass(frozen=True, slots=True)
class DataUri:
    """What a data URI holds."""

    media_type: str
    """As it says, with parameters; `text/plain` if it says nothing."""
    content: bytes


def is_data_uri(text: str) -> bool:
    """Return whether a text begins as a data URI."""
    return _HEAD.match(text) is not None


def most_bytes_of(text: str) -> int:
    """Return how many bytes a data URI may hold, without decoding it."""
    head = _HEAD.match(text)
    length = len(text) - (head.end() if head else 0)
    return length * 3 // 4 if head and head["base64"] else length


def parse_data_uri(text: str) -> DataUri:
    """Return what a data URI holds.

    Raises:
        DataUriBroken: It is none.
    """
    head = _HEAD.match(text)
    if head is None:
        raise DataUriBroken("It is not a data URI")
    content = unquote_to_bytes(text[head.end() :])
    if head["base64"]:
        try:
            content = base64.b64decode(b"".join(content.split()), validate=True)
        except binascii.Error:
            raise DataUriBroken("It is a data URI whose base64 cannot be read") from None
    return DataUri(head["media_type"] or "text/plain", content)


def make_data_uri(content: bytes, media_type: str) -> str:
    """Return a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
