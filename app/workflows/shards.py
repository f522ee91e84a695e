"""Shards: child workflows that carry a part of a very large fan-out, so that its history does not become this one's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from app.workflows.documents import end_task, fetch
from app.workflows.messages import tell
from app.workflows.options import CALL_OVERHEAD_BYTES, HEAVY_BYTES, pack_inputs, weight_of
from app.workflows.outcomes import Outcome

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.execution import ExecutionRef, ExecutionStart
    from app.activities.contracts.messages import WIND_UP_SIGNAL
    from app.activities.contracts.node_calls import NodeCall
    from app.activities.contracts.shards import SHARD_NAME, ShardResult, ShardStart
    from app.graph.plan import Plan
    from app.graph.scheduler import Firing, Scheduler

MAX_SHARDS = 4
"""Shards of one execution at once."""
MAX_SHARD_BYTES = HEAVY_BYTES
"""Inputs that one shard is given in all; what is heavier by itself is stored before."""
SHARD_SUMMARY = "shard of a large fan-out"


@dataclass(slots=True)
class _Shard:
    """A shard under way."""

    firings: list[Firing]
    task: asyncio.Task[ShardResult]
    handle: workflow.ChildWorkflowHandle[Any, ShardResult] | None = None


class Shards:
    """The shards that one workflow run has started."""

    def __init__(self, execution: ExecutionRef, start: ExecutionStart, plan: Plan) -> None:
        self._execution = execution
        self._start = start
        self._plan = plan
        self._shards: dict[int, _Shard] = {}
        self._returned: list[int] = []
        self.made = 0
        """How many there have been in this execution: numbers are used once over all its runs."""
        self._is_winding_up = False
        self._fetching = asyncio.Lock()
        """One fetches at a time: together they would be too much for one workflow task."""

    def __len__(self) -> int:
        return len(self._shards)

    def keys(self) -> list[tuple[int, int]]:
        """Return what shards carry that have not been taken yet."""
        return [(firing.node, firing.n) for shard in self._shards.values() for firing in shard.firings]

    @property
    def has_returned(self) -> bool:
        """Answer whether a shard is to be taken."""
        return bool(self._returned)

    @property
    def room(self) -> int:
        """Return how many ready remote node executions the shards can make use of."""
        return self._start.limits.shard_size * MAX_SHARDS

    def wants(self, scheduler: Scheduler) -> bool:
        """Answer whether so much is ready that another shard is worth its cost."""
        size = self._start.limits.shard_size
        is_worth_it = 0 < 2 * size <= scheduler.remote_count
        return is_worth_it and len(self._shards) < MAX_SHARDS and not self._is_winding_up

    def start(self, scheduler: Scheduler, call_of: Callable[[Firing], NodeCall]) -> int:
        """Start a shard with what has been ready longest; return the bytes that it takes, roughly."""
        firings: list[Firing] = []
        weight = 0
        while len(firings) < self._start.limits.shard_size:
            firing = scheduler.take_remote()
            if firing is None:
                break
            own = weight_of(firing.inputs)
            weight += own if own <= HEAVY_BYTES else CALL_OVERHEAD_BYTES
            if weight > MAX_SHARD_BYTES:
                scheduler.put_back(firing)
                break
            firings.append(firing)
        self.made += 1
        number = self.made
        shard_id = f"{self._execution.execution_id}/shard/{number}"
        task = asyncio.create_task(
            self._carry(number, shard_id, firings, [call_of(firing) for firing in firings])
        )
        self._shards[number] = _Shard(firings, task)
        task.add_done_callback(lambda _: self._returned.append(number))
        return weight

    async def _carry(
        self, number: int, shard_id: str, firings: list[Firing], calls: list[NodeCall]
    ) -> ShardResult:
        nodes = {firing.node: self._plan.nodes[firing.node] for firing in firings}
        for place, firing in enumerate(firings):
            if weight_of(firing.inputs) > HEAVY_BYTES:
                calls[place] = await pack_inputs(self._execution, calls[place])
        handle = await workflow.start_child_workflow(
            SHARD_NAME,
            ShardStart(
                start=replace(self._start, state=None),
                nodes={str(node): plan_node.call_json() for node, plan_node in nodes.items()},
                calls=calls,
            ),
            id=shard_id,
            result_type=ShardResult,
            parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
            cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            static_summary=SHARD_SUMMARY,
        )
        self._shards[number].handle = handle
        if self._is_winding_up:
            await tell(handle.signal(WIND_UP_SIGNAL))
        result: ShardResult = await handle
        if result.stored is not None:
            async with self._fetching:
                result = replace(result, outcomes=await fetch(self._execution, result.stored))
                await end_task()
        return result

    async def wind_up(self) -> None:
        """Have the shards start nothing more, and give back what they have not started."""
        if self._is_winding_up:
            return
        self._is_winding_up = True
        for shard in list(self._shards.values()):
            if shard.handle is not None and not shard.task.done():
                await tell(shard.handle.signal(WIND_UP_SIGNAL))

    def take_returned(
        self, put_back: Callable[[Firing], None], doubt: Callable[[int, int], None]
    ) -> list[tuple[Firing, Outcome]]:
        """Return what the shards that have come back have done, once.

        Args:
            put_back: Takes what was not started.
            doubt: Takes what may have been started, after a shard that was ended from outside.
        """
        returned, self._returned = self._returned, []
        outcomes: list[tuple[Firing, Outcome]] = []
        for number in returned:
            shard = self._shards.pop(number)
            waiting = {(firing.node, firing.n): firing for firing in shard.firings}
            for node, n, *outcome in self._result_of(shard).outcomes:
                outcomes.append((waiting.pop((node, n)), Outcome(*outcome)))
            for firing in reversed(waiting.values()):
                if shard.task.cancelled() or shard.task.exception():
                    doubt(firing.node, firing.n)
                put_back(firing)
        if not self._shards:
            self._is_winding_up = False
        return outcomes

    def _result_of(self, shard: _Shard) -> ShardResult:
        try:
            return shard.task.result()
        except (ChildWorkflowError, WorkflowAlreadyStartedError) as error:
            workflow.logger.warning("A shard was ended from outside: %s", error)
            return ShardResult([], [])

    def cancel(self) -> None:
        """Have every shard cancelled."""
        for shard in self._shards.values():
            shard.task.cancel()

    @property
    def is_done(self) -> bool:
        """Answer whether every shard has come back."""
        return all(shard.task.done() for shard in self._shards.values())
