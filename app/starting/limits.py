"""How much an execution may take: what it asks for, within what the server allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from app.activities.contracts.execution import ExecutionLimits
from app.errors import InvalidRequest

MOST_NODE_EXECUTIONS = 1_000_000


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """What the server allows."""

    allowed: ExecutionLimits
    """Of an execution that asks for none; the time-out is also the longest that may be asked for."""
    most_node_executions: int = MOST_NODE_EXECUTIONS
    """The most that may be asked for."""
    timeout_margin_seconds: float = 60.0
    """How long after its time is up Temporal ends what has not ended by itself."""

    def of(self, *, timeout_seconds: float | None, max_node_executions: int | None) -> ExecutionLimits:
        """Return the limits of an execution.

        Args:
            timeout_seconds: What is asked for; None for as long as is allowed.
            max_node_executions: What is asked for; None for the default.

        Raises:
            InvalidRequest: More is asked for than is allowed.
        """
        longest = self.allowed.timeout_seconds
        if timeout_seconds is not None and longest is not None and timeout_seconds > longest:
            raise InvalidRequest(f"timeout_seconds is {longest:g} at most")
        if max_node_executions is not None and max_node_executions > self.most_node_executions:
            raise InvalidRequest(f"max_node_executions is {self.most_node_executions} at most")
        return replace(
            self.allowed,
            timeout_seconds=longest if timeout_seconds is None else timeout_seconds,
            max_node_executions=max_node_executions or self.allowed.max_node_executions,
        )

    def net_below(self, limits: ExecutionLimits) -> timedelta | None:
        """Return after how long Temporal is to end an execution whose own time-out has not; None for never."""
        if limits.timeout_seconds is None:
            return None
        return timedelta(seconds=limits.timeout_seconds + self.timeout_margin_seconds)
