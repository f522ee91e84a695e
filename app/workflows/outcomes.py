"""What became of a remote call, read from its activity."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutType
from temporalio.exceptions import TimeoutError as ActivityTimeout

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.node_calls import UNPAID, NodeResult
    from app.graph.emissions import Emission
    from app.graph.plan import Call


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a remote node execution ended."""

    emissions: list[Emission] = field(default_factory=list)
    code: str | None = None
    """Set when it failed."""
    message: str = ""
    is_recorded: bool = True
    """Whether the activity has written the failure down itself."""
    calls: list[list[Any]] = field(default_factory=list)
    """What it calls before it goes on, as in `NodeResult`."""

    @property
    def is_unpaid(self) -> bool:
        """Answer whether the call was not made because nobody could pay for it."""
        return self.code in UNPAID and not self.is_recorded


def outcome_of(handle: asyncio.Task[NodeResult], call: Call | None) -> Outcome:
    """Return the outcome of a call that has returned."""
    try:
        result = handle.result()
        return Outcome(result.emissions, calls=result.calls)
    except ActivityError as error:
        return _failure(error, call)


def _failure(error: ActivityError, call: Call | None) -> Outcome:
    cause = error.cause
    if isinstance(cause, ApplicationError):
        emissions = cause.details[0] if cause.details else []
        return Outcome(
            emissions, cause.type or "BLOCK_FAILED", cause.message, is_recorded=bool(cause.details)
        )
    if call is not None and call.is_at_most_once and isinstance(cause, ActivityTimeout):
        return _lost("OUTCOME_UNKNOWN", "The call was lost and may have taken effect; it is not repeated")
    if isinstance(cause, ActivityTimeout) and cause.type is TimeoutType.HEARTBEAT:
        return _lost("WORKER_LOST", "The worker that ran the block fell silent")
    if isinstance(cause, ActivityTimeout):
        seconds = f" of {call.timeout_seconds:g} s" if call else ""
        return _lost("TIMED_OUT", f"The block did not end within its time{seconds}")
    if isinstance(cause, CancelledError):
        return _lost("CANCELLED", "The call was cancelled from outside the execution")
    return _lost("BLOCK_FAILED", str(cause or error))


def _lost(code: str, message: str) -> Outcome:
    return Outcome([], code, message, is_recorded=False)
