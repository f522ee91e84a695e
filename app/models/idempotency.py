"""Idempotency keys: which calls were made under one, and what they were answered. Kept for a day.

A key is claimed by one call at a time. What a call changes in the database it notes in the same transaction, so that
after a crash it is known whether it was done.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import Conflict, InvalidRequest
from app.models.tables.idempotency import IdempotencyKey

KEPT = timedelta(hours=24)
"""How long an answer is remembered."""
CLAIMED = timedelta(seconds=60)
"""Longer than any call takes: a claim without an answer is then of a process that has died."""
OTHER_REQUEST = "This Idempotency-Key was used for another request"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to carry out the call of a key."""

    owner: str
    key: str
    id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered."""

    status: int
    media_type: str | None
    body: bytes
    """Compressed."""


async def claim_key(session: AsyncSession, claim: Claim, fingerprint: str) -> bool:
    """Claim a key that nobody has, or somebody who has died before the call had any effect."""
    row = {"user_id": claim.owner, "key": claim.key, "claim": claim.id, "fingerprint": fingerprint}
    taken = insert(IdempotencyKey).values(**row)
    age = func.now() - col(IdempotencyKey.claimed_at)
    is_abandoned = (
        (age > CLAIMED)
        & col(IdempotencyKey.is_done).is_(False)
        & col(IdempotencyKey.status).is_(None)
        & (col(IdempotencyKey.fingerprint) == fingerprint)
    )
    fresh = {"claimed_at": func.now(), "is_done": False, "status": None, "media_type": None, "body": None}
    statement = taken.on_conflict_do_update(
        index_elements=[col(IdempotencyKey.user_id), col(IdempotencyKey.key)],
        set_={**row, **fresh},
        where=or_(age > KEPT, is_abandoned),
    ).returning(col(IdempotencyKey.claim))
    return (await session.execute(statement)).first() is not None


async def remember_key(session: AsyncSession, claim: Claim, fingerprint: str) -> None:
    """Remember what a key was used for, by a call that may be carried out again and again.

    Raises:
        InvalidRequest: It was used for another call.
    """
    row = {"user_id": claim.owner, "key": claim.key, "claim": claim.id, "fingerprint": fingerprint}
    await session.execute(
        insert(IdempotencyKey)
        .values(**row, is_done=True)
        .on_conflict_do_update(
            index_elements=[col(IdempotencyKey.user_id), col(IdempotencyKey.key)],
            set_={**row, "claimed_at": func.now(), "is_done": True},
            where=func.now() - col(IdempotencyKey.claimed_at) > KEPT,
        )
    )
    query = select(col(IdempotencyKey.fingerprint)).where(
        col(IdempotencyKey.user_id) == claim.owner, col(IdempotencyKey.key) == claim.key
    )
    if (await session.execute(query)).scalar_one() != fingerprint:
        raise InvalidRequest(OTHER_REQUEST)


async def find_answer(session: AsyncSession, claim: Claim, fingerprint: str) -> Answer | None:
    """Return what the call of a key was answered, or None when the key is free again.

    Raises:
        InvalidRequest: The key was used for another call.
        Conflict: There is no answer yet, or there will be none.
    """
    age = func.now() - col(IdempotencyKey.claimed_at)
    query = select(IdempotencyKey, (age > CLAIMED).label("is_late")).where(
        col(IdempotencyKey.user_id) == claim.owner, col(IdempotencyKey.key) == claim.key
    )
    found = (await session.execute(query)).first()
    if found is None:
        return None
    row, is_late = found
    if row.fingerprint != fingerprint:
        raise InvalidRequest(OTHER_REQUEST)
    if row.status is None or row.body is None:
        raise Conflict(
            "The request of this Idempotency-Key was carried out, and its answer was lost"
            if row.is_done and is_late
            else "The request of this Idempotency-Key is being carried out"
        )
    return Answer(row.status, row.media_type, row.body)


async def note_done(session: AsyncSession, claim: Claim) -> None:
    """Note in the transaction of what a call changes that it was carried out.

    Raises:
        Conflict: Somebody else has the claim by now.
    """
    noted = await session.execute(
        update(IdempotencyKey)
        .where(*_is(claim))
        .values(is_done=True)
        .returning(col(IdempotencyKey.key))
        .execution_options(synchronize_session=False)
    )
    if noted.first() is None:
        raise Conflict("The request took too long, and another one with its Idempotency-Key was taken")


async def note_undone(session: AsyncSession, claim: Claim) -> None:
    """Note that the call has had no effect after all."""
    await session.execute(
        update(IdempotencyKey)
        .where(*_is(claim))
        .values(is_done=False)
        .execution_options(synchronize_session=False)
    )


async def write_answer(session: AsyncSession, claim: Claim, answer: Answer) -> None:
    """Keep what the call was answered."""
    await session.execute(
        update(IdempotencyKey)
        .where(*_is(claim))
        .values(status=answer.status, media_type=answer.media_type, body=answer.body)
        .execution_options(synchronize_session=False)
    )


async def release_key(session: AsyncSession, claim: Claim) -> bool:
    """Give up a claim; answer False when the call has had its effect, and the key stays taken."""
    released = await session.execute(
        delete(IdempotencyKey)
        .where(*_is(claim), col(IdempotencyKey.is_done).is_(False))
        .returning(col(IdempotencyKey.key))
        .execution_options(synchronize_session=False)
    )
    return released.first() is not None


def _is(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return (
        col(IdempotencyKey.user_id) == claim.owner,
        col(IdempotencyKey.key) == claim.key,
        col(IdempotencyKey.claim) == claim.id,
    )
