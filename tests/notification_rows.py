"""Notifications and deliveries as rows, and attempts at them without Temporal."""

from __future__ import annotations

import uuid
from typing import Any

import asyncpg
from temporalio.testing import ActivityEnvironment

from app.activities.contracts.deliveries import AttemptRequest, AttemptResult
from app.activities.couriers import Couriers
from app.activities.delivering import ENVELOPES_BYTES, Delivering, Reach
from app.encryption.credentials import CredentialsEncryption
from app.models import deliveries
from app.models.deliveries import DeliveryKey, FoundDelivery
from app.models.notification_events import TEST
from app.notifying.rules import DeliveryRules
from app.notifying.targets import WebhookTarget, make_secret
from app.outbound.http import OutboundHttp
from app.telemetry.series import DELIVERIES
from app.telemetry.tallies import Tallies
from tests.engine import KEYS, Engine
from tests.notifications import HERE, server_of
from tests.stubs import MailStub

ENDED, FAILED, ASKED = "execution_completed", "execution_failed", "review_requested"


async def add_notification(pool: asyncpg.Pool[Any], owner: str, **fields: Any) -> str:
    """Write a notification down; return its id."""
    events = ["execution.completed", "execution.failed", "review.requested", "credits.low"]
    given = {
        "id": str(uuid.uuid4()),
        "user_id": owner,
        "name": "mine",
        "channel": "email",
        "target": "",
        "events": events,
    }
    row = given | fields
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await pool.execute(f"INSERT INTO notifications ({', '.join(row)}) VALUES ({places})", *row.values())
    return str(row["id"])


async def add_webhook(pool: asyncpg.Pool[Any], owner: str, url: str, **fields: Any) -> str:
    """Write a notification by webhook down; return its id."""
    notification_id = uuid.uuid4()
    target = WebhookTarget(url, make_secret())
    sealed = CredentialsEncryption(KEYS).seal(owner, notification_id, target.to_json())
    given = {
        "id": str(notification_id),
        "channel": "webhook",
        "secret": sealed.content,
        "key_id": sealed.key_id,
    }
    return await add_notification(pool, owner, **given, **fields)


async def add_delivery(pool: asyncpg.Pool[Any], owner: str, notification_id: str) -> DeliveryKey:
    """Write a test of a notification down."""
    delivery_id = await pool.fetchval(
        "INSERT INTO deliveries (id, user_id, notification_id, channel, event) "
        "SELECT gen_random_uuid(), user_id, id, channel, $2 FROM notifications WHERE id = $1 RETURNING id::text",
        notification_id,
        TEST,
    )
    return DeliveryKey(delivery_id, owner)


async def tell(
    connection: asyncpg.Connection[Any] | asyncpg.Pool[Any],
    execution_id: str,
    kind: str,
    seq: int = 1,
    **data: Any,
) -> None:
    """Write an event into the log of an execution."""
    await connection.execute(
        "INSERT INTO execution_events (execution_id, seq, key, type, data) VALUES ($1, $2, $3, $4, $5)",
        execution_id,
        seq,
        f"{kind}{seq}",
        kind,
        data,
    )


async def told(pool: asyncpg.Pool[Any], notification_id: str) -> list[str]:
    """Return what has been written down for a notification."""
    rows = await pool.fetch(
        "SELECT event FROM deliveries WHERE notification_id = $1 ORDER BY created_at", notification_id
    )
    return [row["event"] for row in rows]


async def keys_of(pool: asyncpg.Pool[Any], owner: str) -> list[DeliveryKey]:
    """Return the deliveries of a user, the oldest first."""
    rows = await pool.fetch(
        "SELECT id::text, user_id FROM deliveries WHERE user_id = $1 ORDER BY created_at", owner
    )
    return [DeliveryKey(*row) for row in rows]


async def find(pool: asyncpg.Pool[Any], key: DeliveryKey) -> FoundDelivery:
    """Return a delivery as workers find it."""
    found = await deliveries.find_delivery(pool, key, outputs_bytes=ENVELOPES_BYTES)
    assert found is not None
    return found


def counted(tallies: Tallies, outcome: str = "") -> float:
    """Return how many attempts have been counted, or those of an outcome."""
    return sum(
        value
        for (name, labels, _), value in tallies.totals().items()
        if name == DELIVERIES.name and outcome in {"", labels[-1]}
    )


def make_delivering(
    engine: Engine,
    pool: asyncpg.Pool[Any],
    mail: MailStub | None,
    rules: DeliveryRules,
    *,
    allowed_private_hosts: frozenset[str] = HERE,
    tallies: Tallies | None = None,
) -> Delivering:
    """Return what makes attempts; without a mail server unless one is given."""
    http = OutboundHttp(allowed_private_hosts=allowed_private_hosts)
    server = server_of(mail) if mail else None
    reach = Reach(http, allowed_private_hosts, server, CredentialsEncryption(KEYS), "")
    couriers = Couriers(engine.client, pool, task_queue=engine.task_queue)
    return Delivering(pool, couriers, reach, rules, tallies or Tallies())


async def attempt_at(delivering: Delivering, key: DeliveryKey) -> AttemptResult:
    """Make one attempt at a delivery."""
    request = AttemptRequest(key.id, key.user_id, failures=0, put_off=0, elapsed_seconds=0.0)
    result: AttemptResult = await ActivityEnvironment().run(delivering.deliver, request)
    return result
