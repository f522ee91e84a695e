"""What a file is, judged by its content alone. What somebody says it is counts only between kinds of plain text."""

from __future__ import annotations

import codecs

HEAD_BYTES = 64 * 1024
"""So much of the start is looked at."""
TAIL_BYTES = 4 * 1024
"""So much of the end: some formats are known by it."""
BINARY = "application/octet-stream"
TEXT = "text/plain"
SPREADSHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_KINDS_OF_TEXT = frozenset(
    {
        TEXT,
        "application/json",
        "application/jsonl",
        "application/x-ndjson",
        "application/yaml",
        "text/calendar",
        "text/csv",
        "text/markdown",
        "text/tab-separated-values",
        "text/vcard",
    }
)
"""What no browser would run: of a text, this is believed."""
_TEXT_ENDINGS = {
    "csv": "text/csv",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "ics": "text/calendar",
    "md": "text/markdown",
    "tsv": "text/tab-separated-values",
    "vcf": "text/vcard",
    "yaml": "application/yaml",
    "yml": "application/yaml",
}
_MARKUP = (
    (b"<!doctype html", "text/html"),
    (b"<html", "text/html"),
    (b"<svg", "image/svg+xml"),
    (b"<?xml", "application/xml"),
)
_OFFICE = (
    (b"xl/", SPREADSHEET),
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)


def sniff_type(head: bytes, tail: bytes = b"", *, declared: str = "", name: str = "") -> str:
    """Return the media type of a file.

    Args:
        head: Its first bytes; all of a short one, `HEAD_BYTES` of a long one.
        tail: Its last bytes, if they are not in the head.
        declared: What somebody says it is.
        name: What somebody calls it.
    """
    if _is_text(head):
        start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
        for mark, found in _MARKUP:
            if start.startswith(mark):
                return found
        said = declared.partition(";")[0].strip().lower()
        ending = name.rpartition(".")[2].lower()
        return said if said in _KINDS_OF_TEXT - {TEXT} else _TEXT_ENDINGS.get(ending, TEXT)
    if head.startswith(b"PK\x03\x04"):
        return next((found for mark, found in _OFFICE if mark in head or mark in tail), "application/zip")
    return _sniff_binary(head, tail)


def _is_text(head: bytes) -> bool:
    if b"\x00" in head or head.startswith(b"%PDF"):
        return False
    try:
        # The last letter may have been cut in two.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _sniff_binary(head: bytes, tail: bytes) -> str:
    import puremagic  # noqa: PLC0415 - it reads its table of formats, which costs every start of a process

    try:
        found = puremagic.magic_string(head + tail)
    except (puremagic.PureError, ValueError):
        return BINARY
    # A mark of one or two bytes is in many a file by chance.
    named = [match for match in found if match.mime_type and len(match.byte_match) > 2]
    return named[0].mime_type if named else BINARY
