"""What executions leave for later ones, as a block is given it."""

from __future__ import annotations

import uuid
from typing import Any

import asyncpg

from app.activities.outages import wait_out
from app.blocks.context import Scope
from app.errors import BlockInputInvalid, BlockLimitExceeded
from app.models.memories import MAX_KEY_LENGTH, NO_GRAPH, MemoryFull, find_memory, put_memory

ALONE = uuid.UUID(int=1)
"""Stands for the graph of a block that is run on its own."""


class CallMemory:
    """What one call of a block may remember."""

    def __init__(self, pool: asyncpg.Pool[Any], *, owner: str, graph_id: str) -> None:
        """Take where memories are kept, and whose call it is."""
        self._pool = pool
        self._owner = owner
        self._graph_id = uuid.UUID(graph_id) if graph_id else ALONE

    async def get(self, key: str, *, scope: Scope) -> list[Any]:
        """Return the value in a list, or an empty list when there is none."""
        _require_key(key)

        async def find() -> list[Any]:
            async with self._pool.acquire() as connection:
                return await find_memory(connection, self._owner, self._place(scope), key)

        return await wait_out(find)

    async def put(self, key: str, value: Any, *, scope: Scope) -> None:
        """Keep a value; the last one stays."""
        _require_key(key)

        async def put() -> None:
            async with self._pool.acquire() as connection:
                await put_memory(connection, self._owner, self._place(scope), key, value)

        try:
            await wait_out(put)
        except MemoryFull as error:
            raise BlockLimitExceeded(error.message) from error

    def _place(self, scope: Scope) -> uuid.UUID:
        return NO_GRAPH if scope is Scope.USER else self._graph_id


def _require_key(key: str) -> None:
    if len(key) > MAX_KEY_LENGTH:
        raise BlockLimitExceeded(f"A key has {MAX_KEY_LENGTH} characters at most")
    if "\x00" in key:
        raise BlockInputInvalid("A key holds no NUL")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise BlockInputInvalid("A key holds half a surrogate pair") from None
