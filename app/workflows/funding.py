"""What becomes of calls that nobody can pay: whether they may wait, and whether their refusal is out of date."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from temporalio import workflow

from app.workflows.outcomes import Outcome
from app.workflows.steering import Steering

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.execution import ExecutionStart
    from app.activities.contracts.node_calls import OVER_BUDGET

Key = tuple[int, int]


class Funding:
    """Knows what was already under way when somebody said that there are credits again."""

    def __init__(self, start: ExecutionStart, steering: Steering) -> None:
        """Take what was asked for, and who is told that credits came."""
        self._start = start
        self._steering = steering
        self._seen = steering.fundings
        self._earlier: set[Key] = set()

    def look(self, *under_way: Callable[[], Iterable[Key]]) -> None:
        """Note what is under way, if credits have come since the last look."""
        if self._seen != self._steering.fundings:
            self._seen = self._steering.fundings
            self._earlier = {key for keys in under_way for key in keys()}

    def may_wait(self, outcome: Outcome) -> bool:
        """Answer whether a refused call waits for credits; if not, the execution fails."""
        return self._start.on_insufficient_credits == "pause" and outcome.code != OVER_BUDGET

    def is_out_of_date(self, key: Key) -> bool:
        """Answer whether credits may have come since a call was refused: then it is made again, without a pause."""
        is_earlier = key in self._earlier
        self._earlier.discard(key)
        return is_earlier
