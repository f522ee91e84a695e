"""Stopping many executions at once, on the wire."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.graph.status import Status

MOST_IDS = 1_000
NamedIds = Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=MOST_IDS)]
"""Ids of the executions that one request is about."""


class BulkStopBody(BaseModel):
    """Which executions to stop: those that every given field names. Some field must be given."""

    model_config = ConfigDict(extra="forbid")

    ids: NamedIds | None = None
    graph_id: UUID | None = None
    status: Status | None = None

    @model_validator(mode="after")
    def _names_something(self) -> BulkStopBody:
        # Nothing named would be everything there is, which nobody should stop by forgetting a field.
        if self.ids is None and self.graph_id is None and self.status is None:
            raise ValueError("name what to stop: ids, graph_id or status")
        return self


class BulkStopView(BaseModel):
    """How many executions were stopped. Those that were asked to stop and still end do so after the answer."""

    matched: int
    """Open executions of yours that were named: those of `requested` and `failed`."""
    requested: int
    """Asked to stop."""
    stopped: int
    """Of these, seen to have ended."""
    failed: int
    """Not asked, for want of time or of Temporal: repeat the call."""
    ended: int
    """Of `ids`: had ended before."""
    not_found: int
    """Of `ids`: no executions of yours."""
