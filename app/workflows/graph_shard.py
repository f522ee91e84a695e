"""The workflow behind a shard: makes the remote calls it was given, a window at a time, and returns the outcomes.

It walks nothing and records nothing itself; the execution that started it goes on with them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from temporalio import workflow

from app.workflows.options import HELPER, start_call
from app.workflows.outcomes import Outcome, outcome_of

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.engine import EngineActivities, StoreRequest
    from app.activities.contracts.execution import ExecutionRef
    from app.activities.contracts.messages import WIND_UP_SIGNAL
    from app.activities.contracts.node_calls import NodeCall, NodeResult
    from app.activities.contracts.shards import SHARD_NAME, ShardResult, ShardStart
    from app.graph.plan import PlanNode

MAX_OUTCOME_BYTES = 400_000
"""A shard whose outcomes are larger starts nothing more."""
MAX_INLINE_BYTES = 200_000
"""Outcomes that are larger together are stored."""


@workflow.defn(name=SHARD_NAME)
class GraphShardWorkflow:
    """Makes the calls of one shard."""

    @workflow.init
    def __init__(self, shard: ShardStart) -> None:
        self._start = shard.start
        self._nodes = {int(number): PlanNode.from_call_json(node) for number, node in shard.nodes.items()}
        self._waiting = deque(shard.calls)
        self._running: dict[tuple[int, int], asyncio.Task[NodeResult]] = {}
        self._outcomes: list[list[Any]] = []
        self._size = 0
        self._has_news = False
        self._is_winding_up = False

    @workflow.run
    async def run(self, shard: ShardStart) -> ShardResult:
        """Make the calls; return the outcomes in the order in which they came."""
        try:
            while self._start_calls() or self._running:
                self._has_news = False
                await workflow.wait_condition(lambda: self._has_news)
        except asyncio.CancelledError as caught:
            for handle in self._running.values():
                handle.cancel()
            await workflow.wait_condition(lambda: not self._running)
            raise asyncio.CancelledError from caught
        undone = [(call.node, call.n) for call in self._waiting]
        if self._size <= MAX_INLINE_BYTES:
            return ShardResult(self._outcomes, undone)
        execution = ExecutionRef(
            workflow.info().workflow_id.partition("/")[0], self._start.user_id, self._start.plan_hash
        )
        stored = await workflow.execute_local_activity_method(
            EngineActivities.store,
            StoreRequest(execution, self._outcomes),
            summary="store the outcomes",
            **HELPER,
        )
        return ShardResult([], undone, stored)

    @workflow.signal(name=WIND_UP_SIGNAL)
    def wind_up(self) -> None:
        """Start nothing more."""
        self._is_winding_up = True

    def _start_calls(self) -> bool:
        """Start what fits into the window; answer whether anything was started."""
        has_started = False
        while (
            self._waiting
            and not self._is_winding_up
            and len(self._running) < self._start.limits.window
            and self._size < MAX_OUTCOME_BYTES
        ):
            self._call(self._waiting.popleft())
            has_started = True
        return has_started

    def _call(self, call: NodeCall) -> None:
        handle = start_call(self._nodes[call.node], call, self._start)
        self._running[call.node, call.n] = handle
        handle.add_done_callback(lambda _: self._take(call))

    def _take(self, call: NodeCall) -> None:
        handle = self._running.pop((call.node, call.n))
        outcome = outcome_of(handle, self._nodes[call.node].call)
        how = [outcome.code, outcome.message, outcome.is_recorded, outcome.calls]
        self._outcomes.append([call.node, call.n, outcome.emissions, *how])
        self._size += _size_of(outcome)
        # The others could hardly be paid either; whoever started this decides how it goes on.
        self._is_winding_up = self._is_winding_up or outcome.is_unpaid
        self._has_news = True


def _size_of(outcome: Outcome) -> int:
    carried = [*outcome.emissions, *outcome.calls]
    return 60 + len(outcome.message) + sum(len(str(part)) for part in carried)
