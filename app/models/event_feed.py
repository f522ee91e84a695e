"""What happens to the executions of a user, in the order of writing: read from any place on, without a gap.

The order is that of the numbers of transactions. A transaction with a lower number may be seen later than one with a
higher, so nothing is read beyond the oldest that is under way: below it everything has been written.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.models.event_types import EventType

WINDOW = 100_000
"""The most transactions that are looked through at once: from an old place the present is reached in steps."""
REUSED = 1_000
"""After a crash of Postgres, numbers of transactions that had not committed may be given out again: so many are looked
through again, behind the last event that is known."""
FIRST_ID = uuid.UUID(int=0)


class Position(NamedTuple):
    """A place in the order: what is after it is not known yet."""

    transaction: int
    execution_id: uuid.UUID = FIRST_ID
    seq: int = -1


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One thing that happened to an execution as a whole."""

    position: Position
    graph_id: uuid.UUID
    type: str
    data: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class FeedPart:
    """What was read."""

    events: Sequence[FeedEvent]
    position: Position
    """Where to read on."""
    has_more: bool
    """Whether to read on at once."""
    is_held: bool
    """Whether something that comes next has been written and waits for an older transaction to end."""


class Beginning(NamedTuple):
    """Where the order stands now."""

    life: int
    """Which life of the database this is: after a restore numbers of transactions mean others."""
    position: Position


# A table that was restored has another id, a server that was restored another timeline or another name.
_BEGIN = text("""
SELECT hashtextextended(concat_ws('/',
    (SELECT system_identifier FROM pg_control_system()),
    substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
    'executions'::regclass::oid
), 0) AS life, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS safe
""")

_OWN = """
    SELECT event.transaction, event.execution_id, event.seq, execution.graph_id, event.type, event.data, event.at
    FROM execution_events event JOIN executions execution ON execution.id = event.execution_id
    WHERE event.type NOT LIKE 'node\\_%' AND event.transaction >= {low} AND event.transaction < {high}
        AND execution.user_id = :owner AND execution.parent_node IS NULL AND execution.deleted_at IS NULL
        AND (CAST(:graph_id AS uuid) IS NULL OR execution.graph_id = :graph_id)
    UNION ALL
    SELECT transaction, id, 0, graph_id, :queued, json_build_object('status', 'QUEUED', 'trigger', trigger), created_at
    FROM executions
    WHERE user_id = :owner AND transaction >= {low} AND transaction < {high}
        AND parent_node IS NULL AND deleted_at IS NULL
        AND (CAST(:graph_id AS uuid) IS NULL OR graph_id = :graph_id)
"""
_SETTLED = _OWN.format(low="CAST(:transaction AS bigint)", high="(SELECT upper FROM bounds)")
_UNSETTLED = _OWN.format(low="(SELECT safe FROM bounds)", high="(SELECT newest FROM bounds)")

# One statement, so one snapshot: what nobody has committed yet is on neither side of `safe`.
_READ = text(f"""
WITH now AS MATERIALIZED (
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS safe,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS newest
), bounds AS MATERIALIZED (
    SELECT least(safe, CAST(:transaction AS bigint) + :window) AS upper, safe, newest FROM now
), found AS (
    SELECT * FROM ({_SETTLED}) AS settled
    WHERE (transaction, execution_id, seq) > (:transaction, CAST(:execution_id AS uuid), :seq)
    ORDER BY transaction, execution_id, seq LIMIT :limit
)
SELECT bounds.upper, bounds.safe, EXISTS ({_UNSETTLED}) AS is_held, found.*
FROM bounds LEFT JOIN found ON true
ORDER BY found.transaction, found.execution_id, found.seq
""")  # noqa: S608 - put together from the two texts above


# Of a transaction that this server has not begun is only what was copied from another one.
_PUT_BEHIND = text("""
WITH now AS MATERIALIZED (
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS newest
), copied AS (
    UPDATE execution_events SET transaction = 0
    WHERE type NOT LIKE 'node\\_%' AND transaction >= (SELECT newest FROM now)
    RETURNING execution_id
)
UPDATE executions SET transaction = 0
WHERE EXISTS (SELECT FROM copied) AND transaction >= (SELECT newest FROM now)
""")


async def put_copied_behind(connection: AsyncConnection) -> None:
    """Have nothing that was restored from a copy be told of when this server's transactions reach the numbers in it."""
    await connection.execute(_PUT_BEHIND)


async def begin_feed(session: AsyncSession) -> Beginning:
    """Return the place behind which is all that has not been written when this is asked."""
    life, safe = (await session.execute(_BEGIN)).one()
    return Beginning(life, Position(safe))


async def read_feed(
    session: AsyncSession, owner: str, *, graph_id: uuid.UUID | None, after: Position, limit: int
) -> FeedPart:
    """Return what comes after a position and is settled, in its order. Nested executions are not told of.

    Args:
        session: Each statement on its own.
        owner: Whose executions.
        graph_id: Only of this graph; None for all.
        after: The position.
        limit: The most events.
    """
    given = {
        **after._asdict(),
        "owner": owner,
        "graph_id": graph_id,
        "limit": limit,
        "window": WINDOW,
        "queued": EventType.EXECUTION_QUEUED,
    }
    rows = (await session.execute(_READ, given)).all()
    events = [_event_of(row) for row in rows if row.transaction is not None]
    bounds = rows[0]
    if len(events) == limit:
        return FeedPart(events, events[-1].position, has_more=True, is_held=bounds.is_held)
    last = events[-1].position if events else after
    # In steps, so that those who have nothing to hear come to the same place.
    position = max(last, Position((bounds.upper - REUSED) // REUSED * REUSED))
    return FeedPart(events, position, has_more=bounds.upper < bounds.safe, is_held=bounds.is_held)


def _event_of(row: Any) -> FeedEvent:
    position = Position(row.transaction, row.execution_id, row.seq)
    return FeedEvent(position, row.graph_id, row.type, row.data, row.at)
