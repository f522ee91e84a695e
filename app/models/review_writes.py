"""The writes of activities about reviews: asked, closed by an answer or a time-out, withdrawn. Plain asyncpg.

A review that is open is closed once, under its row's lock. Who closes it first decides what came of it: an answer over
REST, or what a wave was told.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg


class ReviewStatus(StrEnum):
    """Where a review stands."""

    OPEN = "open"
    ANSWERED = "answered"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"
    """The execution ended first."""


@dataclass(frozen=True, slots=True)
class ReviewRecord:
    """A new row of `reviews`. JSON columns hold JSON text."""

    id: uuid.UUID
    node: int
    node_id: str
    n: int
    asked: str
    requested_at: datetime
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a review."""

    status: ReviewStatus
    answer: Mapping[str, Any] | None
    """`{approved, by, message, data}`, if somebody has answered."""


_INSERT = """
INSERT INTO reviews (id, execution_id, user_id, node, node_id, n, status, asked, requested_at, due_at)
VALUES ($1, $2, $3, $4, $5, $6, 'open', $7::text::json, $8, $9)
ON CONFLICT (id) DO NOTHING
"""

_CLOSE = """
UPDATE reviews SET status = $4, answer = $5::text::json, closed_at = now()
WHERE id = $1 AND execution_id = $2 AND user_id = $3 AND status = 'open'
"""

_READ = "SELECT status, answer FROM reviews WHERE id = $1 AND execution_id = $2 AND user_id = $3"

_WITHDRAW = (
    "UPDATE reviews SET status = 'withdrawn', closed_at = now() WHERE execution_id = $1 AND status = 'open'"
)


async def insert_reviews(
    connection: asyncpg.Connection[Any], execution_id: str, reviews: Sequence[ReviewRecord], *, owner: str
) -> None:
    """Write down what is asked, unless that is done."""
    rows = [
        (
            review.id,
            execution_id,
            owner,
            review.node,
            review.node_id,
            review.n,
            review.asked,
            review.requested_at,
            review.due_at,
        )
        for review in reviews
    ]
    await connection.executemany(_INSERT, rows)


async def close_review(
    connection: asyncpg.Connection[Any],
    review_id: uuid.UUID,
    outcome: Outcome,
    *,
    execution_id: str,
    owner: str,
) -> None:
    """Close a review, unless that is done. Waits for whoever is just answering it."""
    answer = None if outcome.answer is None else json.dumps(outcome.answer)
    await connection.execute(_CLOSE, review_id, execution_id, owner, outcome.status, answer)


async def find_outcome(
    connection: asyncpg.Connection[Any], review_id: uuid.UUID, *, execution_id: str, owner: str
) -> Outcome | None:
    """Return what has come of a review so far, or None when there is no such review."""
    row = await connection.fetchrow(_READ, review_id, execution_id, owner)
    return Outcome(ReviewStatus(row["status"]), row["answer"]) if row else None


async def withdraw_reviews(connection: asyncpg.Connection[Any], execution_id: str) -> None:
    """Close the open reviews of an execution that ends, within the transaction of its end."""
    await connection.execute(_WITHDRAW, execution_id)
