"""Schedules as they are shown: the record, what Temporal says of it, and what it has started."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from app.api.schemas.schedules import Overlap
from app.graph.status import Status
from app.models.tables.executions import Execution
from app.models.tables.schedules import Schedule
from app.schedules.mirror import ITS_OWN_NOTE, Described, Listed


class BackfillView(BaseModel):
    """What was asked for."""

    schedule_id: UUID
    fires: int
    """How many there are in that time."""


class ScheduledExecutionView(BaseModel):
    """An execution that a schedule has started, or could not."""

    id: UUID
    status: Status
    error: dict[str, Any] | None
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: Execution) -> ScheduledExecutionView:
        """Show an execution."""
        return cls(
            id=row.id,
            status=Status(row.status),
            error=row.error,
            created_at=row.created_at,
            ended_at=row.ended_at,
        )


class ScheduleView(BaseModel):
    """When a graph is executed by itself."""

    id: UUID
    user_id: str
    graph_id: UUID
    graph_version: int | None
    preset_id: UUID | None
    name: str
    cron: str | Sequence[str] | None
    """A text if there is one, a list if there are several."""
    calendars: Sequence[dict[str, str]]
    intervals: Sequence[dict[str, int]]
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    jitter: int
    catchup_window: int
    overlap: Overlap
    remaining_actions: int | None
    """How many fires are left; null for any number."""
    pause_on_failure: bool
    paused: bool
    note: str
    """Why it is paused, or whatever else whoever has changed it has noted."""
    inputs: dict[str, Any]
    credentials_inputs: dict[str, Any]
    budget: int | None
    on_insufficient_credits: Literal["pause", "fail"]
    timeout_seconds: float | None
    max_node_executions: int | None
    priority: int | None
    next_fire_times: Sequence[datetime] | None
    """The next ten, as if it were not paused; in lists the next five. Null when Temporal cannot be asked."""
    fires_missed: int | None
    """Left out because nothing ran at their time, nor in the catch-up window after it. Null in lists."""
    fires_overlapped: int | None
    """Left out because the execution of an earlier one went on. Null in lists."""
    last_executions: Sequence[ScheduledExecutionView]
    """The last five, newest first."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Schedule, found: Described | Listed | None, last: Sequence[Execution]) -> ScheduleView:
        """Show a schedule.

        Args:
            row: Its record.
            found: What Temporal says of it; None if it cannot be asked.
            last: What it has started.
        """
        same = set(cls.model_fields) & set(type(row).model_fields)
        shown: dict[str, Any] = {name: getattr(row, name) for name in same}
        shown |= {"cron": row.cron if len(row.cron) > 1 else next(iter(row.cron), None)}
        # It may have been paused by Temporal, or in its Web UI.
        shown |= {"note": _said(found.note if found else row.note, last)}
        if isinstance(found, Described):
            shown |= {"remaining_actions": found.remaining_actions}
        return cls(
            **shown,
            paused=found.is_paused if found else row.is_paused,
            next_fire_times=found.next_times if found else None,
            fires_missed=found.missed if isinstance(found, Described) else None,
            fires_overlapped=found.overlapped if isinstance(found, Described) else None,
            last_executions=[ScheduledExecutionView.of(each) for each in last],
        )


def _said(note: str, last: Sequence[Execution]) -> str:
    """Return a note; that of Temporal when an execution has failed, in words that say which."""
    if not note.startswith(ITS_OWN_NOTE):
        return note
    failed = next((each for each in last if each.status == Status.FAILED and each.error), None)
    if failed is None or failed.error is None:
        return "An execution has failed"
    return f"Execution {failed.id} has failed: {failed.error['message']}"
