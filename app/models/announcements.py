"""What is announced of executions to the processes that others watch them at, when it has been written.

Whoever announces holds a lock of the whole server until they have committed. In the transactions that write, only one
of all workers would wait for the disk at a time; so it is done after them. An announcement may be lost with whoever
should have made it: those who watch also look by themselves, now and then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from app.graph.status import Status

CHANNEL = "perdure_events"
"""Where it is announced that an execution's log has grown: its id; and when more than node executions are concerned,
`:`, its status if that has changed, `:` and its owner."""

_ANNOUNCE = "SELECT pg_notify($1, given.text) FROM unnest($2::text[]) AS given(text)"


def announcement(execution_id: str, status: Status | None, owner: str) -> str:
    """Return what announces that an execution, and not only some node execution of it, has changed."""
    return f"{execution_id}:{status or ''}:{owner}"


async def announce(database: asyncpg.Pool[Any] | asyncpg.Connection[Any], texts: Sequence[str]) -> None:
    """Announce what has been committed; once more does no harm."""
    await database.execute(_ANNOUNCE, CHANNEL, texts)
