"""Stored values as the API writes and reads them: run inputs on their way in, references on their way out."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import NotFound
from app.graph.envelope import Envelope, is_reference
from app.models.tables.values import LooseObject, StoredValue, ValueUse
from app.models.value_bodies import Body, ValueLost
from app.objects import ObjectsAway

_KEY = tuple_(col(StoredValue.user_id), col(StoredValue.sha256))


@dataclass(frozen=True, slots=True)
class NewValue:
    """A value that is to be stored."""

    sha256: str
    text: bytes
    """JSON."""


def make_new_value(value: Any) -> NewValue:
    """Return a JSON value as it is stored: in one form on every way in, so that equal values are kept once."""
    text = json.dumps(value, separators=(",", ":")).encode("ascii")
    return NewValue(hashlib.sha256(text).hexdigest(), text)


async def touch_value(session: AsyncSession, owner: str, sha256: str) -> bool:
    """Answer whether a value is stored. One without a use gets a new time of grace."""
    result = await session.execute(
        update(StoredValue)
        .where(col(StoredValue.user_id) == owner, col(StoredValue.sha256) == sha256)
        .values(idle_since=func.now())
        .returning(col(StoredValue.sha256))
    )
    return result.first() is not None


async def announce_object(session: AsyncSession, name: str) -> None:
    """Write an object down before it is made, so that it is not forgotten if it never becomes a value's body."""
    await session.execute(insert(LooseObject).values(name=name))


async def insert_value(session: AsyncSession, owner: str, given: NewValue, body: Body) -> None:
    """Store a value that nothing uses yet, within a transaction; one that is stored gets a new time of grace.

    Raises:
        ObjectsAway: Its object has been collected before it was taken.
    """
    row = {"user_id": owner, "sha256": given.sha256, "size": len(given.text)}
    values = insert(StoredValue).values(**row, body=body.data, object=body.object, idle_since=func.now())
    kept = await session.execute(
        values.on_conflict_do_update(
            index_elements=[col(StoredValue.user_id), col(StoredValue.sha256)],
            set_={"idle_since": func.now()},
        ).returning(col(StoredValue.object))
    )
    if body.object is not None and kept.scalar_one() == body.object:
        own = (col(LooseObject.name) == body.object, col(LooseObject.is_doomed).is_(False))
        taken = await session.execute(delete(LooseObject).where(*own).returning(col(LooseObject.name)))
        if taken.first() is None:
            raise ObjectsAway


async def add_uses(
    session: AsyncSession, execution_id: uuid.UUID, owner: str, envelopes: Iterable[Envelope]
) -> None:
    """Write down that an execution's record refers to the stored values among some envelopes."""
    hashes = sorted({envelope[0] for envelope in envelopes if is_reference(envelope)})
    if hashes:
        rows = [{"execution_id": execution_id, "user_id": owner, "sha256": sha256} for sha256 in hashes]
        await session.execute(insert(ValueUse).values(rows).on_conflict_do_nothing())


async def delete_uses(session: AsyncSession, owner: str, execution_id: uuid.UUID) -> None:
    """Forget what an execution's record referred to. What nobody else uses is collected later."""
    own = (col(ValueUse.execution_id) == execution_id, col(ValueUse.user_id) == owner)
    used = select(col(ValueUse.user_id), col(ValueUse.sha256)).where(*own)
    # In one order, so that two deletions never wait for each other in a ring.
    mine = select(col(StoredValue.sha256)).where(_KEY.in_(used)).order_by(col(StoredValue.sha256))
    await session.execute(mine.with_for_update(key_share=True))
    await session.execute(
        update(StoredValue)
        .where(_KEY.in_(used))
        .values(idle_since=func.now())
        .execution_options(synchronize_session=False)
    )
    await session.execute(delete(ValueUse).where(*own).execution_options(synchronize_session=False))


async def find_bodies(session: AsyncSession, owner: str, envelopes: Iterable[Envelope]) -> Mapping[str, Body]:
    """Return by hash the bodies of those of the referenced values that the owner has."""
    hashes = {envelope[0] for envelope in envelopes if is_reference(envelope)}
    if not hashes:
        return {}
    rows = await session.execute(
        select(col(StoredValue.sha256), col(StoredValue.body), col(StoredValue.object)).where(
            col(StoredValue.user_id) == owner, col(StoredValue.sha256).in_(hashes)
        )
    )
    return {sha256: Body(body, name) for sha256, body, name in rows}


async def require_body(session: AsyncSession, owner: str, execution_id: uuid.UUID, sha256: str) -> Body:
    """Return the body of a value that an owner's execution refers to.

    Raises:
        NotFound: It refers to none of that hash.
    """
    query = (
        select(col(StoredValue.body), col(StoredValue.object))
        .join(
            ValueUse,
            (col(ValueUse.user_id) == col(StoredValue.user_id))
            & (col(ValueUse.sha256) == col(StoredValue.sha256)),
        )
        .where(
            col(ValueUse.execution_id) == execution_id,
            col(ValueUse.user_id) == owner,
            col(ValueUse.sha256) == sha256,
        )
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFound
    return Body(*row)


def count_referenced_bytes(envelopes: Iterable[Envelope]) -> int:
    """Return the bytes of the stored values behind some envelopes, each counted wherever it stands."""
    return sum(envelope[1] for envelope in envelopes if is_reference(envelope))


Opener = Callable[[Envelope], Any]
"""Returns what is shown of an envelope."""


def open_with(found: Mapping[str, Any]) -> Opener:
    """Return what opens envelopes, given the values that they refer to.

    What it returns raises ValueLost for a reference to a value that was not found.
    """

    def opened(envelope: Envelope) -> Any:
        if not is_reference(envelope):
            return envelope[0]
        if envelope[0] not in found:
            raise ValueLost
        return found[envelope[0]]

    return opened


def show_reference(envelope: Envelope) -> Any:
    """Return an inline value as it is, and of a stored one where to get it."""
    return {"$ref": envelope[0], "size": envelope[1]} if is_reference(envelope) else envelope[0]
