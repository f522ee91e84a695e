"""Lists on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel

ItemT = TypeVar("ItemT")


class PageView(BaseModel, Generic[ItemT]):
    """One page of a list."""

    items: Sequence[ItemT]
    next_cursor: str | None
    """Leads to the next page; null on the last one."""
