"""What the executions of an owner remember: looked at, and forgotten."""

from __future__ import annotations

import uuid

from app.api.idempotency import note_done
from app.database import Sessions
from app.errors import InvalidRequest
from app.models import graphs, memories
from app.models.memories import MemoryEntry
from app.models.page import Page
from app.models.tables.memories import Memory


class Memories:
    """What is remembered, one owner at a time. Without a graph, what all graphs of the owner share is meant."""

    def __init__(self, sessions: Sessions) -> None:
        """Take where memories are kept."""
        self._sessions = sessions

    async def list(
        self, owner: str, graph_id: uuid.UUID | None, *, cursor: str | None, limit: int
    ) -> Page[MemoryEntry]:
        """Return keys.

        Raises:
            NotFound: The owner has no such graph.
        """
        async with self._sessions() as session:
            if graph_id is not None:
                await graphs.require_graph(session, owner, graph_id)
            return await memories.list_memories(session, owner, graph_id=graph_id, cursor=cursor, limit=limit)

    async def require(self, owner: str, graph_id: uuid.UUID | None, key: str) -> Memory:
        """Return what is remembered under a key.

        Raises:
            NotFound: There is nothing.
            InvalidRequest: It can be no key.
        """
        async with self._sessions() as session:
            return await memories.require_memory(session, owner, graph_id, _checked(key))

    async def delete(self, owner: str, graph_id: uuid.UUID | None, *, key: str | None) -> int:
        """Forget what is remembered under a key, or all of it; return how much it was.

        Raises:
            NotFound: The owner has no such graph.
            InvalidRequest: It can be no key.
        """
        async with self._sessions.begin() as session:
            if graph_id is not None:
                await graphs.require_graph(session, owner, graph_id)
            forgotten = await memories.delete_memories(
                session, owner, graph_id, key=None if key is None else _checked(key)
            )
            await note_done(session)
        return forgotten


def _checked(key: str) -> str:
    if "\x00" in key:
        raise InvalidRequest("A key holds no NUL")
    return key
