"""How much an execution may take: what it asks for, within what the server allows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from app.activities.contracts.execution import ExecutionLimits
from app.errors import InvalidRequest

MOST_NODE_EXECUTIONS = 1_000_000


def limits_for(
    allowed: ExecutionLimits,
    *,
    timeout_seconds: float | None,
    max_node_executions: int | None,
    most_node_executions: int,
) -> ExecutionLimits:
    """Return the limits of an execution.

    Args:
        allowed: Those of one that asks for none; its time-out is also the longest that may be asked for.
        timeout_seconds: What is asked for; None for as long as is allowed.
        max_node_executions: What is asked for; None for the default.
        most_node_executions: The most that may be asked for.

    Raises:
        InvalidRequest: More is asked for than is allowed.
    """
    longest = allowed.timeout_seconds
    if timeout_seconds is not None and longest is not None and timeout_seconds > longest:
        raise InvalidRequest(f"timeout_seconds is {longest:g} at most")
    if max_node_executions is not None and max_node_executions > most_node_executions:
        raise InvalidRequest(f"max_node_executions is {most_node_executions} at most")
    return replace(
        allowed,
        timeout_seconds=longest if timeout_seconds is None else timeout_seconds,
        max_node_executions=max_node_executions or allowed.max_node_executions,
    )


def net_below(limits: ExecutionLimits, *, margin_seconds: float) -> timedelta | None:
    """Return after how long Temporal is to end an execution whose own time-out has not; None for never.

    Args:
        limits: Of the execution.
        margin_seconds: How long the execution is given to end by itself.
    """
    if limits.timeout_seconds is None:
        return None
    return timedelta(seconds=limits.timeout_seconds + margin_seconds)
