"""How a value travels: inline when small, else by reference. The scheduler moves envelopes and never opens one."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

Envelope: TypeAlias = list[Any]
"""`[value]` inline, or `[sha256, size]` by reference. Two forms told apart by length, so an envelope costs 2 bytes."""

INLINE_LIMIT_BYTES = 4 * 1024
"""A larger value goes by reference."""

_REFERENCE_BYTES = 84
_NUMBER_BYTES = 26


def make_inline(value: Any) -> Envelope:
    """Return an envelope that carries the value itself."""
    return [value]


def make_reference(sha256: str, size: int) -> Envelope:
    """Return an envelope that points at a stored value of that many bytes."""
    return [sha256, size]


def is_reference(envelope: Envelope) -> bool:
    """Answer whether the value must be loaded."""
    return len(envelope) == 2


def is_null(envelope: Envelope) -> bool:
    """Answer whether the value is null. A null is always inline."""
    return len(envelope) == 1 and envelope[0] is None


def size_of(envelope: Envelope) -> int:
    """Return the bytes that an envelope takes in JSON, never fewer and roughly as many."""
    if is_reference(envelope):
        return _REFERENCE_BYTES
    value = envelope[0]
    if value is None or isinstance(value, bool | float):
        return _NUMBER_BYTES
    if isinstance(value, int) and value.bit_length() <= 64:
        return _NUMBER_BYTES
    return 2 + len(json.dumps(value))
