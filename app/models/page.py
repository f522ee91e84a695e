"""One page of a long list: where it starts, and the opaque cursor that leads to the next one."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from app.errors import InvalidRequest

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
PAGE_BYTES = 8 * 1024 * 1024
"""A page ends before its large parts grow over this."""
MAX_NUMBER = 2**31 - 1
"""The largest number that a version or an event may have in a request."""
_MAX_CURSOR_LENGTH = 500

RowT = TypeVar("RowT")
KeyT = TypeVar("KeyT")


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """Some rows, and how to get at the next ones."""

    items: Sequence[RowT]
    next_cursor: str | None = None


def no_size(_: object) -> int:
    """Return the size of a row that brings nothing large along."""
    return 0


def make_page(
    rows: Sequence[RowT],
    limit: int,
    key: Callable[[RowT], Sequence[Any]],
    *,
    size: Callable[[RowT], int] = no_size,
) -> Page[RowT]:
    """Cut a page from rows that were asked for with one more than the limit.

    Args:
        rows: In the order of the list.
        limit: The most that a page holds.
        key: What the list is ordered by, as JSON scalars or strings.
        size: The bytes that a row brings along.
    """
    items = rows[: fitting([size(row) for row in rows], limit)]
    return Page(items, write_cursor(key(items[-1])) if len(items) < len(rows) else None)


def fitting(sizes: Sequence[int], limit: int) -> int:
    """Return how many of the first rows make a page that is not too large: one at least.

    Args:
        sizes: Bytes of each row.
        limit: The most rows that a page holds.
    """
    total = 0
    for count, size in enumerate(sizes[:limit]):
        total += size
        if count and total > PAGE_BYTES:
            return count
    return min(len(sizes), limit)


def write_cursor(key: Sequence[Any]) -> str:
    """Return a cursor that stands behind the row with this key."""
    text = json.dumps([part if isinstance(part, int) else str(part) for part in key])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, read_key: Callable[..., KeyT]) -> KeyT:
    """Return the key that a cursor was made of.

    Args:
        cursor: As a caller gave it.
        read_key: Takes the parts of the key; raises ValueError or TypeError when they are none.

    Raises:
        InvalidRequest: This list has made no such cursor.
    """
    if len(cursor) > _MAX_CURSOR_LENGTH:
        raise InvalidRequest("The cursor is not one of this list")
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
        return read_key(*parts)
    except (ValueError, TypeError, binascii.Error, RecursionError, OverflowError) as error:
        raise InvalidRequest("The cursor is not one of this list") from error


def dated_key(created_at: str, row_id: str) -> tuple[datetime, uuid.UUID]:
    """Read the key of a list that is ordered by moment and id.

    Raises:
        ValueError: It is none.
    """
    return datetime.fromisoformat(created_at).astimezone(UTC), uuid.UUID(row_id)


def number_key(number: int) -> int:
    """Read the key of a list that is ordered by a number.

    Raises:
        ValueError: It is none.
    """
    return max(-MAX_NUMBER, min(int(number), MAX_NUMBER))
