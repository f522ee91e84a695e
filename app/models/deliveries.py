"""Deliveries as workers read and write them. Plain asyncpg.

A delivery is written in the transaction of what it tells of, by a trigger on the event log; here it is read, tried and
ended. An attempt that is recorded twice, because its worker died in between, stands there twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from app.models.notification_events import Channel, DeliveryStatus

_FIND = """
SELECT d.id::text, d.user_id, d.notification_id::text, d.channel, d.event, d.execution_id::text, d.data, d.status,
    coalesce(told.at, d.created_at) AS told_at, coalesce(told.data, '{}') AS told,
    n.name, n.is_active, n.failing_since IS NOT NULL AS is_failing, n.includes_outputs,
    n.secret, n.key_id, u.email, u.suspended_at IS NOT NULL AS is_suspended,
    e.graph_id::text, e.graph_version, e.trigger, e.parent_id::text, e.cost, e.required,
    e.created_at AS execution_created_at,
    e.started_at, e.ended_at, e.status AS execution_status, e.error, e.deleted_at IS NOT NULL AS is_deleted,
    CASE WHEN n.includes_outputs AND octet_length(e.outputs::text) < $3 THEN e.outputs END AS outputs,
    v.name AS graph_name
FROM deliveries d
JOIN notifications n ON n.id = d.notification_id
JOIN users u ON u.id = d.user_id
LEFT JOIN execution_events told ON told.execution_id = d.execution_id AND told.seq = d.seq
LEFT JOIN executions e ON e.id = d.execution_id AND e.user_id = d.user_id
LEFT JOIN graph_versions v ON v.graph_id = e.graph_id AND v.version = e.graph_version
WHERE d.id = $1 AND d.user_id = $2
"""

_RECORD = """
UPDATE deliveries SET
    attempts = attempts + 1, status = $3::text, next_at = now() + $4::interval,
    ended_at = CASE WHEN $3::text = 'pending' THEN NULL ELSE now() END,
    log = (
        SELECT coalesce(json_agg(entry ORDER BY place), '[]') FROM (
            SELECT entry, place
            FROM jsonb_array_elements(log::jsonb || $5::text::jsonb) WITH ORDINALITY AS each(entry, place)
            ORDER BY place DESC LIMIT 50
        ) AS latest
    )
WHERE id = $1 AND user_id = $2 AND status = 'pending'
"""

_TAKE_LEFT = """
UPDATE deliveries SET next_at = now() WHERE id IN (
    SELECT id FROM deliveries WHERE status = 'pending' AND next_at < now() - make_interval(secs => $1)
    ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING id::text, user_id
"""


@dataclass(frozen=True, slots=True)
class DeliveryKey:
    """Which delivery, and whose."""

    id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class ToldExecution:
    """The execution that a delivery tells of, as it is now."""

    id: str
    graph_id: str
    graph_version: int
    graph_name: str
    trigger: str
    parent_id: str | None
    status: str
    error: dict[str, Any] | None
    cost: int
    required: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    outputs: dict[str, list[Any]] | None
    """Envelopes by name; None when they are not asked for or too large."""
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class FoundDelivery:
    """A delivery with all that it is made of."""

    key: DeliveryKey
    notification_id: str
    name: str
    """Of the notification."""
    channel: Channel
    event: str
    status: DeliveryStatus
    told_at: datetime
    data: dict[str, Any]
    is_active: bool
    is_failing: bool
    """Whether the latest attempt for the notification has failed."""
    includes_outputs: bool
    secret: bytes | None = field(repr=False)
    key_id: str
    email: str
    """The address of the owner."""
    is_suspended: bool
    execution: ToldExecution | None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What came of one attempt."""

    at: datetime
    seconds: float
    status_code: int | None = None
    error: str = ""
    """Why it failed; empty when it did not."""
    answer: str = ""
    """How the answer begins."""

    def to_json(self) -> str:
        """Return it as the log has it."""
        return json.dumps(
            [
                {
                    "at": self.at.isoformat(),
                    "seconds": round(self.seconds, 3),
                    "status_code": self.status_code,
                    "error": self.error or None,
                    "answer": self.answer,
                }
            ]
        )


async def find_delivery(
    connection: asyncpg.Connection[Any] | asyncpg.Pool[Any], key: DeliveryKey, *, outputs_bytes: int
) -> FoundDelivery | None:
    """Return a delivery, or None when it is gone.

    Args:
        connection: The database.
        key: Which.
        outputs_bytes: Above which the outputs of an execution are not read.
    """
    row = await connection.fetchrow(_FIND, key.id, key.user_id, outputs_bytes)
    if row is None:
        return None
    return FoundDelivery(
        key=key,
        notification_id=row["notification_id"],
        name=row["name"],
        channel=Channel(row["channel"]),
        event=row["event"],
        status=DeliveryStatus(row["status"]),
        told_at=row["told_at"],
        data={**row["told"], **row["data"]},
        is_active=row["is_active"],
        is_failing=row["is_failing"],
        includes_outputs=row["includes_outputs"],
        secret=row["secret"],
        key_id=row["key_id"],
        email=row["email"],
        is_suspended=row["is_suspended"],
        execution=_execution_of(row),
    )


def _execution_of(row: asyncpg.Record) -> ToldExecution | None:
    if row["graph_id"] is None:
        return None
    return ToldExecution(
        id=row["execution_id"],
        graph_id=row["graph_id"],
        graph_version=row["graph_version"],
        graph_name=row["graph_name"] or "",
        trigger=row["trigger"],
        parent_id=row["parent_id"],
        status=row["execution_status"],
        error=row["error"],
        cost=row["cost"],
        required=row["required"] or 0,
        created_at=row["execution_created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        outputs=row["outputs"],
        is_deleted=row["is_deleted"],
    )


async def record_attempt(
    connection: asyncpg.Connection[Any],
    key: DeliveryKey,
    attempt: AttemptRecord,
    *,
    status: DeliveryStatus,
    wait: timedelta = timedelta(),
) -> bool:
    """Write down what came of an attempt, unless the delivery has ended; answer whether it was written.

    Args:
        connection: The database.
        key: Which delivery.
        attempt: What came of it.
        status: Where the delivery stands now.
        wait: After which it is tried again.
    """
    done = await connection.execute(_RECORD, key.id, key.user_id, status, wait, attempt.to_json())
    return bool(done == "UPDATE 1")


async def put_off(connection: asyncpg.Pool[Any], key: DeliveryKey, wait: timedelta) -> None:
    """Note that a delivery is tried later, without an attempt."""
    await connection.execute(
        "UPDATE deliveries SET next_at = now() + $3::interval WHERE id = $1 AND user_id = $2 AND status = 'pending'",
        key.id,
        key.user_id,
        wait,
    )


async def take_left(pool: asyncpg.Pool[Any], *, quiet_seconds: float, limit: int) -> list[DeliveryKey]:
    """Return deliveries, whoever's they are, that should have been tried a while ago; the next call returns others."""
    return [DeliveryKey(*row) for row in await pool.fetch(_TAKE_LEFT, quiet_seconds, limit)]


async def count_waiting(pool: asyncpg.Pool[Any], notification_id: str, *, owner: str, at_most: int) -> int:
    """Return how many deliveries of a notification have not ended; no more than so many are counted."""
    count = await pool.fetchval(
        "SELECT count(*) FROM (SELECT FROM deliveries "
        "WHERE notification_id = $1 AND user_id = $2 AND status = 'pending' LIMIT $3) AS waiting",
        notification_id,
        owner,
        at_most,
    )
    return int(count)


async def list_new(pool: asyncpg.Pool[Any], execution_id: str, *, owner: str) -> list[DeliveryKey]:
    """Return the deliveries that tell of an execution and that nobody has tried yet."""
    rows = await pool.fetch(
        "SELECT id::text, user_id FROM deliveries "
        "WHERE execution_id = $1 AND user_id = $2 AND status = 'pending' AND attempts = 0",
        execution_id,
        owner,
    )
    return [DeliveryKey(*row) for row in rows]


async def delete_old(pool: asyncpg.Pool[Any], *, kept: timedelta) -> None:
    """Forget deliveries that ended longer ago than they are kept."""
    await pool.execute("DELETE FROM deliveries WHERE ended_at < now() - $1::interval", kept)
