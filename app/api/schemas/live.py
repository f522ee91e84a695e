"""What is followed, on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel


class FeedEventView(BaseModel):
    """One thing that happened to an execution as a whole."""

    execution_id: UUID
    graph_id: UUID
    seq: int
    """Its number in the execution's log; 0 for `execution_queued`, which is in none."""
    type: str
    data: dict[str, Any]
    at: datetime


class FeedPageView(BaseModel):
    """What has happened since a place."""

    items: list[FeedEventView]
    after: str
    """Where to go on: `after` of the next call, or of a stream."""
    has_more: bool = False
    """Whether there is more to be had at once, though perhaps nothing of yours."""
    reset: bool = False
    """Whether the place that was given means nothing any more, because the database was restored. List the executions
    anew, and go on from here."""


class TicketView(BaseModel):
    """What a browser opens a stream with."""

    ticket: str
    """For `?ticket=`; whoever has it may read what it is for."""
    expires_at: datetime
    """Until when a stream may be opened with it. One that is open goes on."""
