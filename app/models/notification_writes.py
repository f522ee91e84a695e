"""What workers write about notifications: whether they come through, and what is told without an event of a log.

Plain asyncpg, as in `deliveries`.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import asyncpg

from app.models.deliveries import DeliveryKey, FoundDelivery
from app.models.notification_events import NotificationEvent

_SUCCEEDED = """
UPDATE notifications SET failing_since = NULL WHERE id = $1 AND user_id = $2 AND failing_since IS NOT NULL
"""
_FAILED = """
UPDATE notifications SET failing_since = coalesce(failing_since, now()) WHERE id = $1 AND user_id = $2
RETURNING is_active AND failing_since < now() - $3::interval AS is_hopeless
"""
_DISABLE = """
UPDATE notifications SET is_active = false, disabled_for = $3, updated_at = now()
WHERE id = $1 AND user_id = $2 AND is_active AND secret = $4
RETURNING name
"""
_TELL_OTHERS = """
INSERT INTO deliveries (id, user_id, notification_id, channel, event, data)
SELECT gen_random_uuid(), user_id, id, channel, $3::text, $4::text::json FROM notifications
WHERE user_id = $2 AND id <> $1 AND is_active AND jsonb_exists(events::jsonb, $3::text)
FOR KEY SHARE
RETURNING id::text, user_id
"""
_TELL_OWNER = """
INSERT INTO deliveries (id, user_id, notification_id, channel, event, data)
SELECT gen_random_uuid(), $2::text, $1::uuid, 'email', $3::text, $4::text::json WHERE NOT EXISTS (
    SELECT FROM notifications
    WHERE user_id = $2 AND id <> $1 AND is_active AND channel = 'email' AND jsonb_exists(events::jsonb, $3::text)
)
RETURNING id::text, user_id
"""
_TELL_LOW = """
INSERT INTO deliveries (id, user_id, notification_id, channel, event, data)
SELECT gen_random_uuid(), user_id, id, channel, $2::text, $3::text::json FROM notifications
WHERE user_id = $1 AND graph_id IS NULL AND is_active AND jsonb_exists(events::jsonb, $2::text)
FOR KEY SHARE
"""


async def note_success(connection: asyncpg.Connection[Any], found: FoundDelivery) -> None:
    """Note that a notification comes through."""
    await connection.execute(_SUCCEEDED, found.notification_id, found.key.user_id)


async def note_failure(
    connection: asyncpg.Connection[Any], found: FoundDelivery, *, bears: timedelta
) -> bool:
    """Note that a notification does not come through; answer whether that has been so for longer than is borne."""
    is_hopeless = await connection.fetchval(_FAILED, found.notification_id, found.key.user_id, bears)
    return bool(is_hopeless)


async def disable(
    connection: asyncpg.Connection[Any], found: FoundDelivery, reason: str, *, sends_mail: bool
) -> list[DeliveryKey] | None:
    """Switch a notification off and have its owner told; return what is to tell them, or None when it was off.

    Args:
        connection: In a transaction.
        found: A delivery of the notification.
        reason: A word for why.
        sends_mail: Whether the owner is sent an e-mail, if none of their notifications does it. Those that are for it
            tell it anyway.
    """
    which = found.notification_id, found.key.user_id
    # One that goes elsewhere by now has not been tried there.
    name = await connection.fetchval(_DISABLE, *which, reason, found.secret)
    if name is None:
        return None
    data = json.dumps({"notification_id": found.notification_id, "name": name, "reason": reason})
    told = NotificationEvent.NOTIFICATION_DISABLED
    rows = await connection.fetch(_TELL_OTHERS, *which, told, data)
    if sends_mail:
        rows += await connection.fetch(_TELL_OWNER, *which, told, data)
    return [DeliveryKey(*row) for row in rows]


async def tell_low(connection: asyncpg.Connection[Any], owner: str, *, balance: int, threshold: int) -> None:
    """Have a user told that few credits are left, when no execution has spent them.

    Args:
        connection: In the transaction of the charge.
        owner: Whom.
        balance: What is left.
        threshold: What they call few.
    """
    data = json.dumps({"balance": balance, "threshold": threshold})
    await connection.execute(_TELL_LOW, owner, NotificationEvent.CREDITS_LOW, data)
