"""Files as they travel in a graph: a data URI, or plainly the text that is in the file.

There is no store for files yet; what points at a file elsewhere is refused rather than guessed at.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded

MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_CHUNKS = 10_000
TEXT_MEDIA_TYPE = "text/plain;charset=utf-8"

_URL = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://\S*\s*")
_DATA_URI = re.compile(r"\s*data:(?P<media_type>[^,]{0,200}?)(?P<base64>;base64)?,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file that is here as a whole."""

    source: str
    """What it was given as."""
    media_type: str
    """Its media type; empty if it was given as plain text."""
    content: bytes
    """What is in it."""

    def to_text(self, *, as_data_uri: bool = False) -> str:
        """Return the file as it was given, or plain text as a data URI if that is asked for."""
        if self.media_type or not as_data_uri:
            return self.source
        return make_data_uri(self.content, TEXT_MEDIA_TYPE)

    def decode(self) -> str:
        """Return the content as text: UTF-8 if it is that, else Latin-1."""
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return self.content.decode("latin-1")


def make_data_uri(content: bytes, media_type: str) -> str:
    """Return a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def open_file(pin: str, given: str) -> InlineFile:
    """Return the file that a text stands for.

    Args:
        pin: The pin that it arrived on, for the message.
        given: A data URI, or the text in the file.

    Raises:
        BlockError: It is a URL.
        BlockInputInvalid: It is a broken data URI.
        BlockLimitExceeded: It is larger than 10 MiB.
    """
    if _URL.fullmatch(given):
        raise BlockError(f"`{pin}` is a URL: files by URL are not supported yet, give a data URI or the text")
    head = _DATA_URI.match(given)
    if head is None:
        content = given.encode("utf-8", "replace")
        _require_size(pin, len(content))
        return InlineFile(source=given, media_type="", content=content)
    # Base64 spends four characters on three bytes, percent-encoding up to three on one.
    _require_size(pin, (len(given) - head.end()) * 3 // 4 if head["base64"] else 0)
    content = _decode_data(pin, given[head.end() :], is_base64=bool(head["base64"]))
    _require_size(pin, len(content))
    return InlineFile(source=given.strip(), media_type=head["media_type"] or "text/plain", content=content)


def _decode_data(pin: str, data: str, *, is_base64: bool) -> bytes:
    content = unquote_to_bytes(data)
    if not is_base64:
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error:
        raise BlockInputInvalid(f"`{pin}` is a data URI whose base64 cannot be read") from None


def _require_size(pin: str, size_bytes: int) -> None:
    if size_bytes > MAX_FILE_BYTES:
        raise BlockLimitExceeded(f"`{pin}` is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")


class FileStoreBlock(PureBlock):
    """Keep a file and hand it to its successors as often as they need it.

    The file is a data URI or the text in it. A URL is refused: files by URL are not supported yet.
    """

    id = "cbb50872-625b-42f0-8203-a2ae78242d8a"
    categories = (BlockCategory.BASIC, BlockCategory.MULTIMEDIA)
    is_static = True

    class Input(BlockInput):
        """A file."""

        file_in: str
        """A data URI, or plain text."""
        base_64: bool = False
        """Whether plain text goes out as a data URI too."""

    class Output(BlockOutput):
        """The file."""

        file_out: str
        """A data URI, or plain text."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the file.

        Raises:
            BlockError: It is a URL, a broken data URI, or too large.
        """
        yield "file_out", open_file("file_in", given.file_in).to_text(as_data_uri=given.base_64)


class FileReadBlock(PureBlock):
    """Read the text in a file, whole, row by row or in chunks.

    The file is a data URI or the text itself. A URL is refused: files by URL are not supported yet.
    """

    id = "3735a31f-7e18-4aca-9e90-08a7120674bc"
    categories = (BlockCategory.TEXT, BlockCategory.DATA)

    class Input(BlockInput):
        """A file, and how to cut it."""

        file_input: str
        """A data URI, or plain text. Bytes are read as UTF-8, as Latin-1 if they are not that."""
        delimiter: str = ""
        """What stands between two rows; the whole file is one row when empty."""
        size_limit: int = 0
        """The most characters in one output; 0 for any number."""
        row_limit: int = 0
        """The most rows to read; 0 for all."""
        skip_size: int = 0
        """Characters to leave out at the start of the file."""
        skip_rows: int = 0
        """Rows to leave out after that."""

    class Output(BlockOutput):
        """The text in pieces, at most 10,000 of them."""

        content: str
        """A row, or a chunk of one."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the pieces in order.

        Raises:
            BlockError: The file is a URL, a broken data URI, or too large.
            BlockLimitExceeded: There are more than 10,000 pieces.
        """
        text = open_file("file_input", given.file_input).decode()[max(0, given.skip_size) :]
        rows = text.split(given.delimiter) if given.delimiter else [text]
        rows = rows[max(0, given.skip_rows) :]
        if given.row_limit > 0:
            rows = rows[: given.row_limit]
        size = given.size_limit if given.size_limit > 0 else max(map(len, rows), default=0) or 1
        if sum(max(1, -(-len(row) // size)) for row in rows) > MAX_CHUNKS:
            raise BlockLimitExceeded(f"The file falls into more than {MAX_CHUNKS:,} pieces")
        for row in rows:
            for start in range(0, len(row) or 1, size):
                yield "content", row[start : start + size]
