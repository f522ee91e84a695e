"""Failures of a block call that the engine finds, not the block."""

from __future__ import annotations

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from app.errors import (
    BlockError,
    BudgetExceeded,
    Category,
    InsufficientCredits,
    PerdureError,
    SpendingLimitReached,
)

UNPAID_ERRORS = (InsufficientCredits, BudgetExceeded, SpendingLimitReached)
"""Why a call was not made: nobody could pay for it."""


def unpaid(error: PerdureError) -> ApplicationError:
    """Return how the workflow hears that a call was not made. Without details: nothing is recorded of it."""
    return ApplicationError(
        error.message, type=error.code, non_retryable=True, category=ApplicationErrorCategory.BENIGN
    )


class TooLate(PerdureError):
    """The call is not to be made any more: its execution has ended meanwhile, or it was given up as lost."""


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


class NestedTooDeep(BlockError):
    """Graphs are nested deeper than they may be."""

    code = "DEPTH_EXCEEDED"
    category = Category.RESOURCE


class NestedGraphMissing(BlockError):
    """The owner of the execution has no such graph, or it has no such version."""

    code = "NOT_FOUND"
    category = Category.RESOURCE


class NestedFailed(BlockError):
    """The nested execution failed."""

    code = "NESTED_FAILED"


class NestedCancelled(BlockError):
    """The nested execution was stopped."""

    code = "NESTED_CANCELLED"
