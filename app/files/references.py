"""How a value points at a stored file: `workspace://` and the file's id. What follows a `#` says nothing."""

from __future__ import annotations

import re
import uuid

_REFERENCE = re.compile(r"workspace://(?P<id>[0-9A-Fa-f-]{36})(?:#[^\s]{0,300})?")
SCHEME = "workspace://"


def make_reference(file_id: uuid.UUID) -> str:
    """Return the reference of a file."""
    return f"{SCHEME}{file_id}"


def parse_reference(text: str) -> uuid.UUID | None:
    """Return the id of the file that a text refers to, or None if it refers to none."""
    match = _REFERENCE.fullmatch(text.strip())
    try:
        return uuid.UUID(match["id"]) if match else None
    except ValueError:
        return None
