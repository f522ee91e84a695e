"""The remote calls of one execution that are under way: started within the window, taken when they have returned."""

from __future__ import annotations

import asyncio
from itertools import islice

from temporalio import workflow

from app.workflows.options import HEAVY_BYTES, pack_inputs, start_call, weight_of
from app.workflows.outcomes import Outcome, outcome_of

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.execution import ExecutionRef, ExecutionStart
    from app.activities.contracts.node_calls import NodeCall, NodeResult
    from app.graph.plan import Plan
    from app.graph.scheduler import Firing

Key = tuple[int, int]


class RemoteCalls:
    """The calls that one workflow run has started."""

    def __init__(self, execution: ExecutionRef, start: ExecutionStart, plan: Plan) -> None:
        self._execution = execution
        self._start = start
        self._plan = plan
        self._handles: dict[Key, asyncio.Task[NodeResult]] = {}
        self._returned: list[Firing] = []
        self.doubtful: set[Key] = set()
        """Node executions of which a call may have been made already: what that has recorded counts."""

    def __len__(self) -> int:
        return len(self._handles)

    def keys(self) -> list[Key]:
        """Return what is under way, or has come back and is still to be taken."""
        return list(self._handles)

    @property
    def has_returned(self) -> bool:
        """Answer whether a call is to be taken."""
        return bool(self._returned)

    def start(self, firing: Firing) -> int:
        """Start a call; return the bytes that it takes in the workflow task, roughly."""
        weight = weight_of(firing.inputs)
        call = self.call_of(firing)
        node = self._plan.nodes[firing.node]
        handle: asyncio.Task[NodeResult]
        if weight > HEAVY_BYTES:
            handle = asyncio.create_task(self._store_and_call(call))
            weight = 0
        else:
            handle = start_call(node, call, self._start)
        self._handles[firing.node, firing.n] = handle
        handle.add_done_callback(lambda _: self._returned.append(firing))
        return weight

    async def _store_and_call(self, call: NodeCall) -> NodeResult:
        packed = await pack_inputs(self._execution, call)
        return await start_call(self._plan.nodes[call.node], packed, self._start)

    def call_of(self, firing: Firing) -> NodeCall:
        """Return the call of a node execution."""
        is_repeated = (firing.node, firing.n) in self.doubtful
        return NodeCall(
            firing.node,
            firing.n,
            list(firing.inputs.items()),
            is_repeated,
            turn=firing.turn,
            called_by=firing.caller,
        )

    def doubt(self, node: int, n: int) -> None:
        """Note that a call of this node execution may have been made already."""
        self.doubtful.add((node, n))

    def take_returned(self) -> list[tuple[Firing, Outcome]]:
        """Return what has come back, in that order, once."""
        returned, self._returned = self._returned, []
        return [
            (
                firing,
                outcome_of(self._handles.pop((firing.node, firing.n)), self._plan.nodes[firing.node].call),
            )
            for firing in returned
        ]

    def list_titles(self, limit: int) -> list[str]:
        """Return the titles of those that have been under way for longest."""
        return [self._plan.nodes[node].title for node, _ in islice(self._handles, limit)]

    def cancel(self) -> None:
        """Have every call cancelled."""
        for handle in self._handles.values():
            handle.cancel()

    @property
    def is_done(self) -> bool:
        """Answer whether every call has come back."""
        return all(handle.done() for handle in self._handles.values())
