"""Values too large to travel inline: stored once per user and content, and put back in place of their envelopes."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import PerdureError
from app.graph.envelope import INLINE_LIMIT_BYTES, Envelope, is_reference, make_inline, make_reference
from app.models.tables import StoredValue


class ValueLost(PerdureError):
    """A stored value is missing."""


async def insert_value(session: AsyncSession, owner: str, value: Any) -> Envelope:
    """Return an envelope for a JSON value; a large one is stored."""
    text = json.dumps(value, separators=(",", ":")).encode("ascii")
    if len(text) <= INLINE_LIMIT_BYTES:
        return make_inline(value)
    sha256 = hashlib.sha256(text).hexdigest()
    await session.execute(
        insert(StoredValue)
        .values(user_id=owner, sha256=sha256, size=len(text), body=zlib.compress(text, 1))
        .on_conflict_do_nothing()
    )
    return make_reference(sha256, len(text))


async def find_values(session: AsyncSession, owner: str, envelopes: Iterable[Envelope]) -> Mapping[str, Any]:
    """Return by hash those of the referenced values that the owner has."""
    hashes = {envelope[0] for envelope in envelopes if is_reference(envelope)}
    if not hashes:
        return {}
    rows = await session.execute(
        select(col(StoredValue.sha256), col(StoredValue.body)).where(
            col(StoredValue.user_id) == owner, col(StoredValue.sha256).in_(hashes)
        )
    )
    return {sha256: json.loads(zlib.decompress(body)) for sha256, body in rows}


def open_envelope(envelope: Envelope, found: Mapping[str, Any]) -> Any:
    """Return the value of an envelope.

    Raises:
        ValueLost: It is a reference to a value that was not found.
    """
    if not is_reference(envelope):
        return envelope[0]
    if envelope[0] not in found:
        raise ValueLost
    return found[envelope[0]]
