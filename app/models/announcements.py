"""What is announced of executions to the processes that others watch them at, when it has been written.

Whoever announces holds a lock of the whole server until they have committed. In the transactions that write, only one
of all workers would wait for the disk at a time; so it is done after them. Whoever dies in between repeats both.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from app.graph.status import Status

CHANNEL = "perdure_events"
"""Where it is announced that an execution's log has grown: its id; and when more than node executions are concerned,
`:`, its status if that has changed, `:` and its owner."""


def announcement(execution_id: str, status: Status | None, owner: str) -> str:
    """Return what announces that an execution, and not only some node execution of it, has changed."""
    return f"{execution_id}:{status or ''}:{owner}"


async def announce(connection: asyncpg.Connection[Any], text: str) -> None:
    """Announce what has been committed; once more does no harm."""
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, text)
