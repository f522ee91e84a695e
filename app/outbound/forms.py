"""How the fields and files of a form become the body of a request."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?charset=[\w-]+)?", re.ASCII)
_UNQUOTABLE = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A", "\0": "%00"})
"""As browsers do it: what would end the quoted name or the line."""


class FormFile(NamedTuple):
    """A file that is sent as part of a form."""

    field: str
    name: str
    content: bytes
    content_type: str = "application/octet-stream"


def make_multipart(fields: Mapping[str, str], files: Iterable[FormFile]) -> tuple[bytes, str]:
    """Return the body of a form with files, and its content type.

    Raises:
        ValueError: A name or a field is not Unicode.
    """
    # Nobody who fills a field in can guess it, so nobody can end the field early.
    boundary = secrets.token_hex(16)
    parts = bytearray()
    for name, value in fields.items():
        parts += _head(boundary, f'name="{name.translate(_UNQUOTABLE)}"')
        parts += value.encode() + b"\r\n"
    for file in (FormFile(*file) for file in files):
        kind = file.content_type if _MEDIA_TYPE.fullmatch(file.content_type) else "application/octet-stream"
        parts += _head(
            boundary,
            f'name="{file.field.translate(_UNQUOTABLE)}"; filename="{file.name.translate(_UNQUOTABLE)}"',
            kind,
        )
        parts += file.content + b"\r\n"
    parts += f"--{boundary}--\r\n".encode()
    return bytes(parts), f"multipart/form-data; boundary={boundary}"


def _head(boundary: str, disposition: str, content_type: str = "") -> bytes:
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{kind}\r\n".encode()
