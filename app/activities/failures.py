"""Failures of a block call that the engine finds, not the block."""

from __future__ import annotations

from app.errors import BlockError, Category


class BlockCrashed(BlockError):
    """The block ended with an error that it does not declare."""

    code = "BLOCK_CRASHED"
    category = Category.SYSTEM
    is_transient = True


class BlockTimedOut(BlockError):
    """The block did not end within its time."""

    code = "TIMED_OUT"
    category = Category.RESOURCE
    is_transient = True


class OutcomeUnknown(BlockError):
    """An earlier attempt was lost and may have taken effect; it is not repeated."""

    code = "OUTCOME_UNKNOWN"
    category = Category.NETWORK


class WorkerLost(BlockError):
    """The worker that ran the block fell silent."""

    code = "WORKER_LOST"
    category = Category.SYSTEM
