"""What activities read and write of credentials: the secret of one, in use. Plain asyncpg."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from app.encryption.credentials import Sealed

_SHOWN = ("id", "provider", "type", "username", "host", "scopes", "expires_at")
_COLUMNS = ", ".join((*_SHOWN, "key_id", "secret"))

# A row that was used a minute ago is not written again: a busy graph would write it all the time.
_USE = f"""
WITH found AS (SELECT * FROM credentials WHERE id = $1 AND user_id = $2),
noted AS (
    UPDATE credentials SET last_used_at = now() FROM found
    WHERE credentials.id = found.id AND coalesce(found.last_used_at < now() - interval '1 minute', TRUE)
)
SELECT {_COLUMNS} FROM found
"""  # noqa: S608 - the names of columns are ours

_LOCK = f"SELECT {_COLUMNS} FROM credentials WHERE id = $1 AND user_id = $2 FOR UPDATE"  # noqa: S608 - as above

_RESEAL = """
UPDATE credentials SET secret = $4, key_id = $5 WHERE id = $1 AND user_id = $2 AND secret = $3
"""

_REFRESHED = """
UPDATE credentials SET secret = $3, key_id = $4, expires_at = $5, scopes = $6, updated_at = now()
WHERE id = $1 AND user_id = $2
"""


@dataclass(frozen=True, slots=True)
class CredentialsRow:
    """Credentials as they are kept."""

    id: uuid.UUID
    provider: str
    type: str
    username: str | None
    host: str | None
    scopes: list[str]
    expires_at: datetime | None
    sealed: Sealed = field(repr=False)


async def use_credentials(
    pool: asyncpg.Pool[Any], owner: str, credentials_id: uuid.UUID
) -> CredentialsRow | None:
    """Return an owner's credentials, noting that they are used, or None when there are none of this id."""
    return _read(await pool.fetchrow(_USE, credentials_id, owner))


async def lock_credentials(
    connection: asyncpg.Connection[Any], owner: str, credentials_id: uuid.UUID
) -> CredentialsRow | None:
    """Lock an owner's credentials within a transaction, and return them as they are by then."""
    return _read(await connection.fetchrow(_LOCK, credentials_id, owner))


async def reseal_credentials(
    pool: asyncpg.Pool[Any], owner: str, row: CredentialsRow, sealed: Sealed
) -> None:
    """Keep a secret under another key, unless it has become another secret meanwhile."""
    await pool.execute(_RESEAL, row.id, owner, row.sealed.content, sealed.content, sealed.key_id)


async def write_refreshed(
    connection: asyncpg.Connection[Any],
    owner: str,
    row: CredentialsRow,
    sealed: Sealed,
    *,
    expires_at: datetime | None,
    scopes: list[str],
) -> None:
    """Keep new tokens within the transaction that holds the lock."""
    await connection.execute(_REFRESHED, row.id, owner, sealed.content, sealed.key_id, expires_at, scopes)


def _read(row: asyncpg.Record | None) -> CredentialsRow | None:
    if row is None:
        return None
    shown = {name: row[name] for name in _SHOWN}
    return CredentialsRow(**shown, sealed=Sealed(row["key_id"], row["secret"]))
