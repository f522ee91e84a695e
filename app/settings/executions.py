"""Settings that say how much of an execution goes on at once, and how long it may take."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

EMBEDDED_WINDOW = 100
SERVER_WINDOW = 40


def _default_window(given: dict[str, Any]) -> int:
    # Our own dev server runs with history.maximumBufferedEventsBatch raised, a foreign one holds 100 events.
    is_embedded = given.get("database_url") is None and given.get("temporal_address") is None
    return EMBEDDED_WINDOW if is_embedded else SERVER_WINDOW


class ExecutionSettings(BaseModel):
    """Bounds of executions and of the workers that carry them."""

    window: int = Field(default_factory=_default_window, ge=1, le=1000)
    """Remote activities in flight per workflow run: 40, or 100 with the embedded stack."""

    events_per_run: int = Field(default=3_000, ge=50, le=10_000)
    """History events after which the workflow of an execution continues as new."""

    shard_size: int = Field(default=250, ge=0, le=500)
    """Remote node executions that a shard of a very large fan-out is given; 0 for no shards."""

    heartbeat_seconds: float = Field(default=30.0, ge=1, le=3600)
    """Silence after which a running block is given up for lost; longer than the outage to be tolerated."""

    drain_seconds: float = Field(default=10.0, ge=0, le=86_400)
    """How long a worker that is asked to stop lets running blocks go on."""

    build_id: str | None = Field(default=None, max_length=200)
    """The build that a worker is; executions stay on the build that they began on. Unset: any worker takes any."""

    running_per_user: int = Field(default=1_000, ge=0, le=1_000_000)
    """Executions of a user that run at once, nested ones not counted; the others wait queued. 0 for any number."""

    schedules_per_user: int = Field(default=100, ge=0, le=1_000_000)
    """Schedules that a user may have."""

    stop_deadline_seconds: float = Field(default=4.0, gt=0)
    """How long a stop waits for running blocks before the execution is ended without them."""

    execution_timeout_seconds: float = Field(default=30 * 86_400.0, ge=1, le=3650 * 86_400.0)
    """The longest that an execution may take, pauses and waits included; also the time of one that asks for none."""

    max_node_executions: int = Field(default=1_000_000, ge=1, le=1_000_000)
    """The most node executions that an execution may ask for; one that asks for none has 100,000 at most."""

    reconcile_seconds: float = Field(default=60.0, ge=1, le=86_400)
    """How often executions that are open in the record are compared with Temporal."""
