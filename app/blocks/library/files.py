"""Files as they travel in a graph: a reference to a stored one, a URL, a data URI, or the text that is in it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.context import BlockContext, File
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from app.files.data_uris import DataUriBroken, is_data_uri, make_data_uri, most_bytes_of, parse_data_uri
from app.files.references import parse_reference
from app.graph.signature import Effect

MAX_FILE_BYTES = 10 * 1024 * 1024
"""The largest file that travels as text."""
MAX_TEXT_BYTES = 32 * 1024 * 1024
"""The largest file that is read as text."""
MAX_CHUNKS = 10_000
TEXT_MEDIA_TYPE = "text/plain;charset=utf-8"

_URL = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://\S*\s*")


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file that is here as a whole."""

    source: str
    """What it was given as."""
    media_type: str
    """Its media type; empty if it was given as plain text."""
    content: bytes
    """What is in it."""

    def decode(self) -> str:
        """Return the content as text."""
        return decode_text(self.content)


def decode_text(content: bytes) -> str:
    """Return what is in a file as text: UTF-8 if it is that, else Latin-1."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def open_file(pin: str, given: str) -> InlineFile:
    """Return the file that a text is, without looking for it anywhere else.

    Args:
        pin: The pin that it arrived on, for the message.
        given: A data URI, or the text in the file.

    Raises:
        BlockError: It is a URL or a reference.
        BlockInputInvalid: It is a broken data URI.
        BlockLimitExceeded: It is larger than 10 MiB.
    """
    if _URL.fullmatch(given):
        raise BlockError(f"`{pin}` is a URL: this block takes a data URI or the text itself")
    if not is_data_uri(given):
        content = given.encode("utf-8", "replace")
        _require_size(pin, len(content))
        return InlineFile(source=given, media_type="", content=content)
    # Percent-encoding spends up to three letters on a byte.
    _require_size(pin, most_bytes_of(given) // 3)
    try:
        parsed = parse_data_uri(given)
    except DataUriBroken:
        raise BlockInputInvalid(f"`{pin}` is a data URI whose base64 cannot be read") from None
    _require_size(pin, len(parsed.content))
    return InlineFile(source=given.strip(), media_type=parsed.media_type, content=parsed.content)


async def read_file(context: BlockContext, given: str, *, limit_bytes: int | None = None) -> File:
    """Return the file that a text stands for, wherever it is.

    Args:
        context: Of the call.
        given: A reference, a URL, a data URI, or the text in the file.
        limit_bytes: The largest that is read; None for the largest that is stored.

    Raises:
        BlockInputInvalid: It points at something that is no file of the owner's.
        BlockLimitExceeded: It is too large.
        BlockUnavailable: It cannot be fetched now.
    """
    if is_data_uri(given) or _URL.fullmatch(given):
        return await context.files.read(given, limit_bytes=limit_bytes)
    content = given.encode("utf-8", "replace")
    if limit_bytes is not None and len(content) > limit_bytes:
        raise BlockLimitExceeded(f"The text is larger than {limit_bytes // 1024 // 1024} MiB")
    return File(content, "", TEXT_MEDIA_TYPE)


async def pass_file_on(context: BlockContext, given: str, *, as_data_uri: bool) -> str:
    """Return a file as blocks hand it on: stored, as its reference, or whole, as a data URI.

    Raises:
        BlockInputInvalid: It points at something that is no file of the owner's.
        BlockLimitExceeded: It is too large.
        BlockUnavailable: It cannot be fetched now.
    """
    file = await read_file(context, given, limit_bytes=MAX_FILE_BYTES if as_data_uri else None)
    if as_data_uri:
        return await asyncio.to_thread(make_data_uri, file.content, file.content_type)
    if parse_reference(given):
        return given.strip()
    return await context.files.store(file.content, name=file.name, content_type=file.content_type)


def _require_size(pin: str, size_bytes: int) -> None:
    if size_bytes > MAX_FILE_BYTES:
        raise BlockLimitExceeded(f"`{pin}` is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")


class FileStoreBlock(RemoteBlock):
    """Store a file and hand its reference to its successors as often as they need it."""

    id = "cbb50872-625b-42f0-8203-a2ae78242d8a"
    categories = (BlockCategory.BASIC, BlockCategory.MULTIMEDIA)
    is_static = True
    effect = Effect.KEYED

    class Input(BlockInput):
        """A file."""

        file_in: str
        """A reference, an http(s) URL, a data URI, or plain text."""
        base_64: bool = False
        """Whether the file goes out whole, as a data URI, instead of being stored."""

    class Output(BlockOutput):
        """The file."""

        file_out: str
        """Its reference, or a data URI."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the file.

        Raises:
            BlockError: It is no file, too large, or cannot be fetched.
        """
        yield "file_out", await pass_file_on(context, given.file_in, as_data_uri=given.base_64)


class FileReadBlock(RemoteBlock):
    """Read the text in a file, whole, row by row or in chunks."""

    id = "3735a31f-7e18-4aca-9e90-08a7120674bc"
    categories = (BlockCategory.TEXT, BlockCategory.DATA)
    emits_many = True
    effect = Effect.PURE

    class Input(BlockInput):
        """A file, and how to cut it."""

        file_input: str
        """A reference, an http(s) URL, a data URI, or plain text, 32 MiB at most.

        Bytes are read as UTF-8, as Latin-1 if they are not that.
        """
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

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the pieces in order.

        Raises:
            BlockError: It is no file, too large, or cannot be fetched.
            BlockLimitExceeded: There are more than 10,000 pieces.
        """
        file = await read_file(context, given.file_input, limit_bytes=MAX_TEXT_BYTES)
        for piece in await asyncio.to_thread(_cut, file.content, given):
            yield "content", piece


def _cut(content: bytes, given: FileReadBlock.Input) -> list[str]:
    text = decode_text(content)[max(0, given.skip_size) :]
    rows = text.split(given.delimiter) if given.delimiter else [text]
    rows = rows[max(0, given.skip_rows) :]
    if given.row_limit > 0:
        rows = rows[: given.row_limit]
    size = given.size_limit if given.size_limit > 0 else max(map(len, rows), default=0) or 1
    if sum(max(1, -(-len(row) // size)) for row in rows) > MAX_CHUNKS:
        raise BlockLimitExceeded(f"The file falls into more than {MAX_CHUNKS:,} pieces")
    return [row[start : start + size] for row in rows for start in range(0, len(row) or 1, size)]
