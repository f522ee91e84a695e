"""The wrapper around every remote block: one regular activity, named after the block.

It opens values, keeps the heartbeat, runs the block, and writes what became of it in one transaction before it returns.
A completion that was recorded is never run again: a later attempt returns what the record holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from app.activities.attempts import counted_attempt
from app.activities.contexts import CallRef, Contexts
from app.activities.contracts.node_calls import PACKED, NodeCall, NodeResult
from app.activities.couriers import Couriers
from app.activities.node_attempts import Attempt
from app.activities.node_runs import NodeRun
from app.activities.origins import Origins
from app.activities.outages import wait_out
from app.activities.plans import LoadedNode, PlanCache
from app.activities.recorder import Recorder
from app.activities.turns import TurnAttempt
from app.activities.value_store import ValueMissing
from app.activities.values import Shelf, ValueCache
from app.blocks.base import RemoteBlock, ToolCallingBlock
from app.graph.envelope import Envelope
from app.graph.signature import Kind
from app.graph.status import Status
from app.models import execution_writes
from app.secrecy import keeping_secrets
from app.telemetry.series import BLOCK_CALLS, BLOCK_RETRIES, BLOCK_SECONDS
from app.telemetry.tallies import Tallies

HEARTBEAT_EVERY_SECONDS = 1.0
RETRYING = "RETRYING"
"""How an attempt is counted that failed and is followed by another."""
CALLING = "CALLING"
"""How a turn is counted that ended with calls of tools."""


class BlockCalls:
    """Runs remote blocks for executions."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        recorder: Recorder,
        origins: Origins,
        plans: PlanCache,
        values: ValueCache,
        contexts: Contexts,
        couriers: Couriers,
        tallies: Tallies,
    ) -> None:
        """Take what all calls in this process share."""
        self._pool = pool
        self._recorder = recorder
        self._origins = origins
        self._plans = plans
        self._values = values
        self._contexts = contexts
        self._couriers = couriers
        self._tallies = tallies

    def activity_for(self, block: RemoteBlock) -> Callable[[NodeCall], Awaitable[NodeResult]]:
        """Return the activity that runs a block."""

        @activity.defn(name=block.name)
        async def call_block(call: NodeCall) -> NodeResult:
            return await self.run(call)

        return call_block

    async def run(self, call: NodeCall) -> NodeResult:
        """Run one attempt of a node execution.

        Raises:
            ApplicationError: The attempt failed; not retryable when it was the last or would fail again.
        """
        async with counted_attempt(heartbeat_seconds=HEARTBEAT_EVERY_SECONDS) as number:
            attempt = await wait_out(lambda: self._prepare(call, number))
            run = attempt.run
            with (
                keeping_secrets(),
                structlog.contextvars.bound_contextvars(
                    execution_id=run.execution_id,
                    node_id=run.node.id,
                    node_execution_id=run.id,
                    attempt=run.attempt,
                ),
            ):
                recorded = None if _is_first(call) else await wait_out(attempt.find_recorded)
                if recorded is None and number > attempt.limit:
                    await attempt.give_up()
                try:
                    return recorded or await self._count(run, attempt.perform())
                finally:
                    if attempt.runs_low:
                        self._couriers.send_new(run.execution_id, owner=run.shelf.owner)

    async def _count(self, run: NodeRun, performing: Awaitable[NodeResult]) -> NodeResult:
        """Have an attempt performed, and count it with what became of it."""
        block, began = run.node.block.name, time.monotonic()
        if run.attempt > 1:
            self._tallies.count(BLOCK_RETRIES, block)
        status: str = Status.FAILED
        try:
            result = await performing
            status = CALLING if result.calls else Status.COMPLETED
            return result
        except asyncio.CancelledError:
            status = Status.CANCELLED
            raise
        except ApplicationError as error:
            status = Status.FAILED if error.non_retryable else RETRYING
            raise
        finally:
            self._tallies.count(BLOCK_CALLS, block, status)
            self._tallies.observe(BLOCK_SECONDS, block, seconds=time.monotonic() - began)

    async def _prepare(self, call: NodeCall, attempt_number: int) -> Attempt:
        info = activity.info()
        if info.workflow_id is None:
            raise RuntimeError("A node is executed by a workflow only")
        # A shard's id is its execution's and more.
        execution_id = info.workflow_id.partition("/")[0]
        origin = await self._origins.require(execution_id)
        plan = await self._plans.require(origin.plan_hash)
        node = plan.nodes[call.node]
        shelf = Shelf(origin.user_id, self._values)
        given = {node.pins[pin]: envelope for pin, envelope in await _unpack(call.inputs, shelf)}
        if node.block.kind is Kind.INPUT and not given:
            given = await self._run_input_of(node, execution_id, shelf)
        run = NodeRun(execution_id, call.node, call.n, node, given, shelf, called_by=call.called_by)
        options = plan.plan.nodes[call.node].call
        if options is None or not isinstance(node.block, RemoteBlock):
            raise TypeError(f"{node.block.name} is not a remote block")
        run.attempt = min(attempt_number, options.max_attempts)
        credentials = node.choose_credentials(origin.credentials)
        context = self._contexts.make(
            origin,
            CallRef(
                execution_id=execution_id,
                node_id=node.id,
                attempt=run.attempt,
                is_last_attempt=run.attempt >= options.max_attempts,
                idempotency_key=f"{execution_id}:{node.id}:{call.n}",
                needs=node.block.credentials,
                credentials=credentials,
                place=(call.node, call.n),
                is_first_attempt=_is_first(call),
                meter=run.meter,
            ),
        )
        make = TurnAttempt if isinstance(node.block, ToolCallingBlock) else Attempt
        attempt = make(
            self._pool,
            self._recorder,
            run,
            node.block,
            options,
            context,
            owner=origin.user_id,
            credentials=credentials,
        )
        if isinstance(attempt, TurnAttempt):
            attempt.go_on(plan, call.turn)
        return attempt

    async def _run_input_of(self, node: LoadedNode, execution_id: str, shelf: Shelf) -> dict[str, Envelope]:
        """Return what a run gives to an input that is a remote block, by pin."""
        async with self._pool.acquire() as connection:
            inputs = await execution_writes.require_inputs(connection, execution_id, owner=shelf.owner)
        try:
            run_inputs = (await shelf.open({"inputs": inputs}))["inputs"]
        except ValueMissing:
            # The attempt meets it again, and can write the failure down.
            return {"value": inputs}
        name = node.input_default.get("name")
        return {"value": shelf.wrap(run_inputs[name])[0]} if name in run_inputs else {}


def _is_first(call: NodeCall) -> bool:
    return activity.info().attempt == 1 and not call.is_repeated


async def _unpack(inputs: list[Any], shelf: Shelf) -> list[Any]:
    if not inputs or inputs[0][0] != PACKED:
        return inputs
    try:
        unpacked: list[Any] = (await shelf.open({"inputs": inputs[0][1]}))["inputs"]
    except ValueMissing:
        # The attempt meets it again when it opens what it was given, and can write the failure down.
        return [[0, inputs[0][1]]]
    return unpacked
