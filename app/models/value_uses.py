"""Stored values and who uses them, as activities write and read them; plain asyncpg.

A value stays as long as an execution's record refers to it. What has no use is collected after a time of grace, so
whoever is about to use a value that is stored already announces that first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from app.graph.envelope import Envelope, is_reference
from app.models.changes import ValueCollected
from app.models.value_bodies import Body

_TOUCH = """
WITH idle AS (
    SELECT sha256 FROM stored_values
    WHERE user_id = $1 AND sha256 = ANY($2::text[]) AND idle_since IS NOT NULL
    ORDER BY sha256 FOR NO KEY UPDATE
), touched AS (
    UPDATE stored_values v SET idle_since = now() FROM idle WHERE v.user_id = $1 AND v.sha256 = idle.sha256
)
SELECT sha256 FROM stored_values WHERE user_id = $1 AND sha256 = ANY($2::text[])
"""

_USE = """
INSERT INTO value_uses (execution_id, user_id, sha256) SELECT $1, $2, unnest($3::text[]) ON CONFLICT DO NOTHING
"""

_COPY = """
INSERT INTO value_uses (execution_id, user_id, sha256)
SELECT $2, user_id, sha256 FROM value_uses WHERE execution_id = $1 AND user_id = $3
ON CONFLICT DO NOTHING
"""


async def touch_values(
    connection: asyncpg.Pool[Any] | asyncpg.Connection[Any], owner: str, hashes: Sequence[str]
) -> set[str]:
    """Return which of an owner's values are stored. Those without a use get a new time of grace."""
    return {row["sha256"] for row in await connection.fetch(_TOUCH, owner, hashes)}


async def announce_objects(
    connection: asyncpg.Pool[Any] | asyncpg.Connection[Any], names: Sequence[str]
) -> None:
    """Write objects down before they are made, so that none is forgotten if it never becomes a value's body."""
    await connection.execute("INSERT INTO loose_objects (name) SELECT unnest($1::text[])", names)


async def add_uses(
    connection: asyncpg.Connection[Any], execution_id: str, owner: str, hashes: Iterable[str]
) -> None:
    """Write down that an execution's record refers to stored values. Repeating it does no harm.

    Call it in the transaction that writes the record, or before.

    Raises:
        ValueCollected: One of them is not stored.
    """
    # In one order, and each once.
    wanted = sorted(set(hashes))
    if not wanted:
        return
    try:
        await connection.execute(_USE, execution_id, owner, wanted)
    except asyncpg.ForeignKeyViolationError as error:
        raise ValueCollected from error


async def copy_uses(
    connection: asyncpg.Connection[Any], source_id: str, execution_id: str, *, owner: str
) -> None:
    """Write down that an execution's record refers to all stored values that another one refers to.

    Args:
        connection: Of the transaction that writes the record, or of one before.
        source_id: The execution whose values are used again.
        execution_id: The execution that uses them.
        owner: Of both.

    Raises:
        ValueCollected: The other execution has just been deleted.
    """
    try:
        await connection.execute(_COPY, source_id, execution_id, owner)
    except asyncpg.ForeignKeyViolationError as error:
        raise ValueCollected from error


def hashes_of(envelopes: Iterable[Envelope]) -> set[str]:
    """Return the hashes of the stored values that envelopes refer to."""
    return {envelope[0] for envelope in envelopes if is_reference(envelope)}


async def find_bodies(
    connection: asyncpg.Pool[Any] | asyncpg.Connection[Any], owner: str, hashes: Sequence[str]
) -> dict[str, Body]:
    """Return the bodies of those of the values that the owner has."""
    rows = await connection.fetch(
        "SELECT sha256, body, object FROM stored_values WHERE user_id = $1 AND sha256 = ANY($2::text[])",
        owner,
        hashes,
    )
    return {row["sha256"]: Body(row["body"], row["object"]) for row in rows}
