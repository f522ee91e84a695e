"""Reads that many ask for at the same moment: done once, for all who have asked before they begin.

Who asks while one is under way gets another one: they may know of something that it has not seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class SharedReads(Generic[KeyT, ValueT]):
    """Reads by key."""

    def __init__(self, read: Callable[[KeyT], Awaitable[ValueT]], *, rest_seconds: float = 0.0) -> None:
        """Take what reads.

        Args:
            read: Works for whoever asks first; keys of different users must differ.
            rest_seconds: How long a read waits for more who ask.
        """
        self._read = read
        self._rest_seconds = rest_seconds
        self._waiting: dict[KeyT, asyncio.Task[ValueT]] = {}

    async def get(self, key: KeyT) -> ValueT:
        """Return what is read for a key from now on. Its errors are those of all who have asked."""
        task = self._waiting.get(key)
        if task is None:
            task = self._waiting[key] = asyncio.create_task(self._begin(key))
            # When nobody waits any more nobody hears of its error.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Who stops waiting does not stop it for the others.
        return await asyncio.shield(task)

    async def _begin(self, key: KeyT) -> ValueT:
        try:
            await asyncio.sleep(self._rest_seconds)
        finally:
            del self._waiting[key]
        return await self._read(key)
