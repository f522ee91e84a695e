"""Large documents as text in pieces: what is too large for one payload travels as several."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any

PART_CHARACTERS = 700_000
"""A payload may have 2 MiB, a workflow task 4."""


def pack(document: Any) -> str:
    """Return a JSON document as compressed text."""
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    return base64.b64encode(zlib.compress(text, 6)).decode("ascii")


def unpack(parts: Iterable[str]) -> Any:
    """Return the document that was packed.

    Raises:
        ValueError: These are not all the parts, in their order.
    """
    try:
        return json.loads(zlib.decompress(base64.b64decode("".join(parts))))
    except zlib.error as error:
        raise ValueError("The parts do not make a document") from error


def count_parts(packed: str) -> int:
    """Return in how many parts a packed document travels."""
    return -(-len(packed) // PART_CHARACTERS)


def part_of(packed: str, number: int) -> str:
    """Return one part, counted from 0."""
    return packed[number * PART_CHARACTERS : (number + 1) * PART_CHARACTERS]
