"""Which deliveries go by e-mail together: after many e-mails, what happens within an hour is told in one.

Plain asyncpg, as in `deliveries`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from app.models.deliveries import AttemptRecord, DeliveryKey

# What goes together has ended in one transaction, so at one moment.
_SENT = """
SELECT count(DISTINCT ended_at) AS mails, coalesce(extract(epoch FROM max(ended_at) + $3::interval - now()), 0)::float8
    AS left_seconds
FROM deliveries
WHERE notification_id = $1 AND user_id = $2 AND status = 'delivered'
    AND created_at > now() - interval '1 day' AND ended_at > now() - interval '1 day'
"""
_WAITING = """
SELECT d.id::text, d.event, coalesce(told.at, d.created_at) AS told_at, d.execution_id::text,
    coalesce(v.name, '') AS graph_name
FROM deliveries d
LEFT JOIN execution_events told ON told.execution_id = d.execution_id AND told.seq = d.seq
LEFT JOIN executions e ON e.id = d.execution_id AND e.user_id = d.user_id
LEFT JOIN graph_versions v ON v.graph_id = e.graph_id AND v.version = e.graph_version
WHERE d.notification_id = $1 AND d.user_id = $2 AND d.status = 'pending' AND d.id <> $3
ORDER BY d.created_at, d.id LIMIT $4
"""
_END = """
UPDATE deliveries SET
    status = 'delivered', ended_at = now(), attempts = attempts + 1, log = (log::jsonb || $3::text::jsonb)::json
WHERE id = ANY($1::uuid[]) AND user_id = $2 AND status = 'pending'
"""


@dataclass(frozen=True, slots=True)
class Along:
    """A delivery that goes with another one's e-mail."""

    id: str
    event: str
    told_at: datetime
    execution_id: str | None
    graph_name: str


async def find_pause(
    pool: asyncpg.Pool[Any], notification_id: str, owner: str, *, most_a_day: int, pause: timedelta
) -> tuple[bool, timedelta]:
    """Return whether a notification has sent so many e-mails within a day, and if so how long to wait for the next.

    Args:
        pool: The database.
        notification_id: Which.
        owner: Whose.
        most_a_day: E-mails that are sent one by one.
        pause: Between two of those that follow.
    """
    row = await pool.fetchrow(_SENT, notification_id, owner, pause)
    assert row is not None
    is_much = row["mails"] >= most_a_day
    return is_much, timedelta(seconds=max(0.0, row["left_seconds"])) if is_much else timedelta()


async def list_waiting(
    pool: asyncpg.Pool[Any], notification_id: str, key: DeliveryKey, *, limit: int
) -> list[Along]:
    """Return what else a notification has to tell, oldest first."""
    rows = await pool.fetch(_WAITING, notification_id, key.user_id, key.id, limit)
    return [Along(*row) for row in rows]


async def end_along(
    connection: asyncpg.Connection[Any], owner: str, along: Sequence[Along], attempt: AttemptRecord
) -> None:
    """Note that deliveries have gone with another one's e-mail."""
    await connection.execute(_END, [each.id for each in along], owner, attempt.to_json())
