"""What kinds of events an execution's log holds."""

from __future__ import annotations

from enum import StrEnum

from app.graph.status import Status


class EventType(StrEnum):
    """What happened."""

    EXECUTION_QUEUED = "execution_queued"
    """It was written down. Stands in no log: told to who follows many executions."""
    EXECUTION_STARTED = "execution_started"
    EXECUTION_REUSED = "execution_reused"
    """A rerun has taken over what another execution did."""
    EXECUTION_PAUSED = "execution_paused"
    EXECUTION_RESUMED = "execution_resumed"
    EXECUTION_WAITING = "execution_waiting"
    EXECUTION_COMPLETED = "execution_completed"
    EXECUTION_FAILED = "execution_failed"
    EXECUTION_CANCELLED = "execution_cancelled"
    NODE_STARTED = "node_started"
    NODE_RETRYING = "node_retrying"
    NODE_WAITING = "node_waiting"
    NODE_COMPLETED = "node_completed"
    NODE_FAILED = "node_failed"
    NODE_CANCELLED = "node_cancelled"
    NODE_SKIPPED = "node_skipped"
    """Reached without credentials that its author calls optional."""
    CREDITS_LOW = "credits_low"
    """A charge has brought the owner's balance below where it is low."""
    REVIEW_REQUESTED = "review_requested"
    REVIEW_REMINDER = "review_reminder"
    REVIEW_ANSWERED = "review_answered"
    REVIEW_TIMED_OUT = "review_timed_out"


OF_NODES = "node_"
"""What the types begin with that tell of one node execution."""

OF_EXECUTION = {
    Status.RUNNING: EventType.EXECUTION_RESUMED,
    Status.PAUSED: EventType.EXECUTION_PAUSED,
    Status.WAITING: EventType.EXECUTION_WAITING,
    Status.COMPLETED: EventType.EXECUTION_COMPLETED,
    Status.FAILED: EventType.EXECUTION_FAILED,
    Status.CANCELLED: EventType.EXECUTION_CANCELLED,
}
"""The event that tells of an execution's new status."""

OF_NODE = {
    Status.RUNNING: EventType.NODE_STARTED,
    Status.QUEUED: EventType.NODE_RETRYING,
    Status.WAITING: EventType.NODE_WAITING,
    Status.COMPLETED: EventType.NODE_COMPLETED,
    Status.FAILED: EventType.NODE_FAILED,
    Status.CANCELLED: EventType.NODE_CANCELLED,
    Status.SKIPPED: EventType.NODE_SKIPPED,
}
"""The event that tells of a node execution's new status."""
