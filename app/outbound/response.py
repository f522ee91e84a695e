"""The answer of a web server as blocks see it, and how its body is read without being overrun by it."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from app.errors import BlockError, BlockLimitExceeded

MAX_RETRY_AFTER_SECONDS = 3_600.0
"""However long a server asks for, a call is not put off further than this."""

_CHARSET = re.compile(
    r"(?:charset|encoding)\s*=\s*[\"']?((?:utf|iso-?8859|us-ascii|windows|cp|gb|big5|euc|shift|koi8)[\w.-]*)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Response:
    """What a web server answered, after all redirects."""

    status_code: int
    headers: Mapping[str, str]
    """By lower-case name; values of a repeated header are joined by commas."""
    body: bytes
    """Decompressed."""
    url: str
    """Where it came from."""

    @property
    def is_success(self) -> bool:
        """Return whether the status is 2xx."""
        return 200 <= self.status_code < 300

    @property
    def is_client_error(self) -> bool:
        """Return whether the status is 4xx."""
        return 400 <= self.status_code < 500

    @property
    def retry_after_seconds(self) -> float | None:
        """Return for how long the server asks to be left alone."""
        return parse_retry_after(self.headers.get("retry-after"))

    @property
    def content_type(self) -> str:
        """Return the media type in lower case, empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """Return the body as text, in the charset that the server names, else UTF-8."""
        charset = find_charset(self.headers.get("content-type", ""))
        try:
            return self.body.decode(charset or "utf-8", errors="replace")
        except LookupError:
            return self.body.decode(errors="replace")

    def json(self) -> Any:
        """Return the body parsed as JSON.

        Raises:
            ValueError: It is not JSON, or holds a number that JSON cannot carry on.
            RecursionError: It is nested too deeply.
        """
        return json.loads(self.body, parse_float=_finite, parse_constant=_finite)


def find_charset(declaration: str) -> str | None:
    """Return the charset that a content type or an XML declaration names, or None when it is none of the web.

    Python knows stranger codecs, some of them slow enough to hold a worker up.
    """
    found = _CHARSET.search(declaration)
    return found[1] if found else None


_GZIP_MAGIC = b"\x1f\x8b"


def parse_retry_after(header: str | None, *, now: datetime | None = None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, or None when it says nothing usable.

    Args:
        header: A number of seconds or an HTTP date.
        now: The present time.
    """
    if header is None:
        return None
    if header.strip().isdecimal():
        seconds = float(header)
    else:
        try:
            when = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    return min(max(0.0, seconds), MAX_RETRY_AFTER_SECONDS)


class BodyReader:
    """Takes the chunks of a body as they arrive, decompresses them and stops at a limit."""

    def __init__(self, *, content_encoding: str, limit_bytes: int) -> None:
        """Prepare to read.

        Args:
            content_encoding: The header of the response.
            limit_bytes: The most that is read, before decompression and after.

        Raises:
            BlockError: It is compressed in a way that was not asked for.
        """
        encoding = content_encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise BlockError(f"The response is compressed in an unknown way ({encoding[:40]})")
        self._is_compressed = encoding not in ("", "identity")
        self._inflate = _inflater()
        self._limit_bytes = limit_bytes
        self._received_bytes = 0
        self._body = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk.

        Raises:
            BlockError: It cannot be decompressed.
            BlockLimitExceeded: The body is larger than allowed.
        """
        self._received_bytes += len(chunk)
        self._require_within(self._received_bytes)
        if self._is_compressed:
            try:
                self._decompress(chunk)
            except zlib.error as error:
                raise BlockError("The response cannot be decompressed") from error
        else:
            self._body += chunk

    def finish(self) -> bytes:
        """Return the body.

        Raises:
            BlockError: It ended in the middle of the compressed data.
        """
        if self._is_compressed and self._received_bytes and not self._inflate.eof:
            raise BlockError("The response cannot be decompressed")
        return bytes(self._body)

    def _decompress(self, chunk: bytes) -> None:
        while chunk:
            if self._inflate.eof:
                if not chunk.startswith(_GZIP_MAGIC):
                    return
                self._inflate = _inflater()
            # One byte more than allowed is enough to know, whatever the chunk would swell to.
            room = self._limit_bytes - len(self._body) + 1
            self._body += self._inflate.decompress(chunk, room)
            self._require_within(len(self._body))
            chunk = self._inflate.unused_data

    def _require_within(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            raise BlockLimitExceeded(f"The response is larger than {self._limit_bytes:,} bytes")


def _inflater() -> Any:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number[:20]} is not a number that JSON can carry")
    return value
