"""Reviews as the API reads and answers them."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import NotFound
from app.graph.envelope import Envelope, is_reference
from app.models.page import Page, dated_key, make_page, read_cursor
from app.models.review_writes import ReviewStatus
from app.models.tables.executions import Execution
from app.models.tables.reviews import Review

HELD_SECONDS = 15
"""After that the database takes a review's lock from somebody who holds it and does nothing."""

Listed = tuple[Review, uuid.UUID]
"""A review and the graph of its execution."""


@dataclass(frozen=True, slots=True)
class ReviewFilter:
    """Which reviews a list is to hold."""

    status: ReviewStatus | None = None
    execution_id: uuid.UUID | None = None


async def list_reviews(
    session: AsyncSession, owner: str, wanted: ReviewFilter, *, cursor: str | None = None, limit: int
) -> Page[Listed]:
    """Return an owner's reviews, newest first."""
    conditions: list[ColumnElement[bool]] = [col(Review.user_id) == owner]
    if wanted.status is not None:
        conditions.append(_has_status(wanted.status))
    if wanted.execution_id is not None:
        conditions.append(col(Review.execution_id) == wanted.execution_id)
    if cursor:
        key = tuple_(col(Review.requested_at), col(Review.id))
        conditions.append(key < tuple_(*read_cursor(cursor, dated_key)))
    query = (
        _with_graph()
        .where(*conditions)
        .order_by(col(Review.requested_at).desc(), col(Review.id).desc())
        .limit(limit + 1)
    )
    rows = [(row[0], row[1]) for row in await session.execute(query)]
    return make_page(rows, limit, lambda row: (row[0].requested_at.isoformat(), row[0].id), size=_size)


async def require_review(
    session: AsyncSession, owner: str, execution_id: uuid.UUID, review_id: uuid.UUID
) -> Review:
    """Return an owner's review.

    Raises:
        NotFound: The owner has no such review of this execution.
    """
    return await _require(session, *_key(execution_id, review_id), col(Review.user_id) == owner)


async def require_linked_review(
    session: AsyncSession, execution_id: uuid.UUID, review_id: uuid.UUID
) -> Review:
    """Return the review that a signed link leads to. The link stands for the owner, so none is asked for here.

    Raises:
        NotFound: There is none.
    """
    return await _require(session, *_key(execution_id, review_id))


async def lock_review(session: AsyncSession, review: Review) -> Review:
    """Return a review as it now stands, locked until the transaction ends: nobody else closes it meanwhile.

    Raises:
        NotFound: It was deleted.
    """
    # A process that stops in the middle must not hold up the execution.
    await session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{HELD_SECONDS}s'"))
    key = (*_key(review.execution_id, review.id), col(Review.user_id) == review.user_id)
    return await _require(session, *key, is_locked=True)


def close_answered(review: Review, answer: Mapping[str, Any]) -> None:
    """Have a locked review closed by an answer when the transaction ends."""
    review.status = ReviewStatus.ANSWERED
    review.answer = dict(answer)
    review.closed_at = datetime.now(UTC)


def status_of(review: Review) -> ReviewStatus:
    """Return where a review stands. One whose time is over is timed out, also before that is recorded."""
    status = ReviewStatus(review.status)
    is_late = review.due_at is not None and review.due_at <= datetime.now(UTC)
    return ReviewStatus.TIMED_OUT if status is ReviewStatus.OPEN and is_late else status


def hash_of(review: Review) -> bytes:
    """Return a hash of all that is shown of a review: 32 bytes."""
    return hashlib.sha256(json.dumps(review.asked, sort_keys=True).encode("ascii")).digest()


def data_of(review: Review) -> Envelope:
    """Return the envelope around what is shown."""
    envelope: Envelope = review.asked["data"]
    return envelope


def _with_graph() -> Select[Review, uuid.UUID]:
    return (
        select(Review, col(Execution.graph_id))
        .join(Execution, col(Execution.id) == col(Review.execution_id))
        .where(col(Execution.deleted_at).is_(None))
    )


def _key(execution_id: uuid.UUID, review_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return col(Review.id) == review_id, col(Review.execution_id) == execution_id


async def _require(
    session: AsyncSession, *conditions: ColumnElement[bool], is_locked: bool = False
) -> Review:
    query = select(Review).where(*conditions)
    row = (await session.execute(query.with_for_update() if is_locked else query)).scalar_one_or_none()
    if row is None:
        raise NotFound
    return row


def _has_status(status: ReviewStatus) -> ColumnElement[bool]:
    """Say in SQL what `status_of` says."""
    stored = col(Review.status)
    is_late = col(Review.due_at) <= func.now()
    if status is ReviewStatus.OPEN:
        return and_(stored == ReviewStatus.OPEN, or_(col(Review.due_at).is_(None), ~is_late))
    if status is ReviewStatus.TIMED_OUT:
        return or_(stored == ReviewStatus.TIMED_OUT, and_(stored == ReviewStatus.OPEN, is_late))
    return stored == status


def _size(row: Listed) -> int:
    envelope = data_of(row[0])
    return int(envelope[1]) if is_reference(envelope) else 0
