"""The statuses on the wire, of executions and of node executions."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where an execution or a node execution stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    WAITING = "WAITING"
    """Waits for a person or a clock."""
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"
    """Of a node execution only: reached without credentials that its author calls optional."""


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.SKIPPED})
"""A record in one of these never changes again."""
