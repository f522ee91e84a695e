"""A wave: walks everything pure that is ready or becomes ready, within bounds, and gathers the record of it.

Drives a scheduler of its own, restored from what the workflow sent; the workflow repeats the steps in its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from app.activities.contracts.messages import Release
from app.activities.contracts.waves import Loss, Reminder, Ring, StatusMark, Step, WaveRequest, WaveResult
from app.activities.holds import Hold
from app.activities.node_runs import NodeRun, dump
from app.activities.plans import LoadedNode, LoadedPlan
from app.activities.value_store import ValueMissing
from app.activities.values import MAX_VALUE_BYTES, Shelf
from app.blocks.base import Block, BlockInput, Emitted, PureBlock, TimerBlock
from app.blocks.calling import prepare, run_pure
from app.errors import BlockError
from app.graph.emissions import Emission, Folded, size_of_emission
from app.graph.envelope import Envelope, size_of
from app.graph.scheduler import Firing, Scheduler
from app.graph.signature import PAYLOAD, Kind
from app.graph.status import Status
from app.models.changes import Changes, EventRecord
from app.models.event_types import OF_EXECUTION

_FED_BY_THE_RUN = (Kind.INPUT, Kind.TRIGGER)
MAX_STEPS = 2_000
MAX_SECONDS = 1.0
MAX_RESULT_BYTES = 256 * 1024
MAX_RECORD_BYTES = 8 * 1024 * 1024
TURN_SECONDS = 0.02
"""How long the event loop is held before other work gets a turn."""


class Wave:
    """Walks one wave."""

    def __init__(
        self,
        request: WaveRequest,
        plan: LoadedPlan,
        *,
        run_inputs: Mapping[str, Any] | None,
        shelf: Shelf,
        holds: Mapping[type[Block], Hold],
    ) -> None:
        """Prepare to walk.

        Args:
            request: What the workflow asked for.
            plan: The plan it walks.
            run_inputs: The inputs of the execution by name; None when they are not stored any more.
            shelf: The owner's values.
            holds: What waits for something outside, by class of block.
        """
        self._request = request
        self._plan = plan
        self._run_inputs = run_inputs
        self._shelf = shelf
        self._holds = holds
        self._room = request.room
        self._scheduler = Scheduler.restore(
            plan.plan, request.state, max_node_executions=request.max_node_executions
        )
        self._steps: list[list[Any]] = []
        self._result_bytes = 0
        self._record_bytes = 0
        self.changes = Changes()
        """What is to be written."""
        self.ended: Counter[tuple[str, str]] = Counter()
        """How many node executions have ended, by block and status."""

    async def walk(self) -> WaveResult:
        """Walk until nothing pure is ready or a bound is reached."""
        began = time.monotonic()
        self._record_marks(self._request.marks)
        for loss in self._request.losses:
            self._record_loss(loss)
        for ring in self._request.rings:
            await self._ring(ring)
        for release in self._request.releases:
            await self._release(release)
        for reminder in self._request.reminders:
            await self._remind(reminder)
        turn = began
        while not self._request.is_paused and not self._is_full(began):
            if firing := self._scheduler.take_in_wave():
                await self._run(firing)
            elif self._room > 0 and (folded := self._scheduler.next_folded()):
                await self._unfold(folded)
            else:
                break
            if time.monotonic() - turn > TURN_SECONDS:
                await asyncio.sleep(0)
                turn = time.monotonic()
        self.changes.values.extend(await self._shelf.stow())
        return WaveResult(self._steps, self._result_bytes, round(time.monotonic() - began, 3))

    def _is_full(self, began: float) -> bool:
        return (
            len(self._steps) >= MAX_STEPS
            or self._result_bytes >= MAX_RESULT_BYTES
            or self._record_bytes >= MAX_RECORD_BYTES
            or self._shelf.unwritten_bytes >= MAX_VALUE_BYTES
            or time.monotonic() - began >= MAX_SECONDS
        )

    # -- node executions

    async def _run(self, firing: Firing) -> None:
        run = self._make_run(firing.node, firing.n, firing.inputs)
        block = run.node.block
        began = datetime.now(UTC)
        try:
            given = prepare(block, await self._open(run), run.node.input_default)
            if isinstance(block, TimerBlock):
                wait = block.wait(given)
                if wait.rounds < 1:
                    self._end(run, began)
                    return
                self._steps.append([Step.TIMER_SET, firing.node, firing.n, wait.seconds, wait.rounds])
                run.write(self.changes, Status.WAITING, started_at=began)
                return
            if not isinstance(block, PureBlock):
                await self._hold(run, given, began)
                return
            for pin, value in run_pure(block, given):
                run.emit(pin, value)
        except BlockError as error:
            self._fail(run, error, began)
            return
        self._end(run, began)

    def _end(self, run: NodeRun, began: datetime | None) -> None:
        emissions = run.fold()
        self._scheduler.settle(run.number, run.n, emissions)
        self._add_step([Step.ENDED, run.number, run.n], emissions)
        self._write_end(run, Status.COMPLETED, began)

    async def _ring(self, ring: Ring) -> None:
        run = self._make_run(ring.node, ring.n, dict(ring.inputs))
        block = run.node.block
        if not isinstance(block, TimerBlock):
            raise TypeError(f"{block.name} has no timer")
        try:
            given = prepare(block, await self._open(run), run.node.input_default)
            emitted = list(run_pure(block, given))
            for pin, value in emitted:
                run.emit(pin, value)
        except BlockError as error:
            self._fail(run, error, None)
            return
        run.outputs = run.outputs * ring.round
        if ring.is_last:
            self._end(run, None)
        else:
            self._scheduler.emit(ring.node, ring.n, run.emissions)
            self._add_step([Step.RANG, ring.node, ring.n], run.emissions)

    async def _hold(self, run: NodeRun, given: BlockInput, began: datetime) -> None:
        step = await self._hold_of(run).begin(run, given, self._request, self.changes)
        self._steps.append(step)
        self._result_bytes += len(dump(step))
        run.write(self.changes, Status.WAITING, started_at=began)

    async def _release(self, release: Release) -> None:
        run = self._make_run(release.node, release.n, dict(release.inputs))
        try:
            given = prepare(run.node.block, await self._open(run), run.node.input_default)
            emitted = await self._hold_of(run).end(run, given, release, self.changes)
            if emitted is None:
                self._steps.append([Step.KEPT, run.number, run.n])
                return
            self._emit(run, emitted)
        except BlockError as error:
            self._fail(run, error, None)
            return
        self._end(run, None)

    def _emit(self, run: NodeRun, emitted: Iterable[Emitted]) -> None:
        for pin, value in emitted:
            run.emit(pin, value)

    async def _remind(self, reminder: Reminder) -> None:
        run = self._make_run(reminder.node, reminder.n, {})
        await self._hold_of(run).remind(run, self.changes)

    def _hold_of(self, run: NodeRun) -> Hold:
        for block_class, hold in self._holds.items():
            if isinstance(run.node.block, block_class):
                return hold
        raise TypeError(f"{run.node.block.name} does not belong in a wave")

    async def _unfold(self, folded: Folded) -> None:
        """Put the next stored list of emissions in its place."""
        emissions: list[Emission] = (await self._shelf.open({"list": folded.envelope}))["list"]
        self._room -= len(emissions)
        self._scheduler.unfold(folded.node, folded.n, emissions)
        self._add_step([Step.UNFOLDED, folded.node, folded.n], emissions)

    def _fail(self, run: NodeRun, error: BlockError, began: datetime | None) -> None:
        emissions = run.fold()
        self._scheduler.fail(run.number, run.n, emissions, code=error.code, message=error.message)
        self._add_step([Step.FAILED, run.number, run.n], emissions, error.code, error.message)
        self._write_end(run, Status.FAILED, began, (error.code, error.message))

    def _write_end(
        self, run: NodeRun, status: Status, began: datetime | None, error: tuple[str, str] | None = None
    ) -> None:
        ended = datetime.now(UTC)
        self.ended[run.node.block.name, status] += 1
        run.write(self.changes, status, started_at=began, ended_at=ended, error=error)
        self._record_bytes += sum(map(size_of, run.given.values())) + 200

    def _add_step(self, step: list[Any], emissions: list[Emission], *rest: str) -> None:
        self._steps.append([*step, emissions, *rest])
        self._result_bytes += 24 + sum(map(size_of_emission, emissions)) + sum(map(len, rest))

    def _make_run(self, number: int, n: int, inputs: Mapping[int, Envelope]) -> NodeRun:
        node = self._plan.nodes[number]
        given = {node.pins[pin]: envelope for pin, envelope in inputs.items()}
        if node.block.kind is Kind.TRIGGER or (node.block.kind is Kind.INPUT and not given):
            given = self._run_inputs_of(node) | given
        caller = self._scheduler.caller_of(number, n)
        return NodeRun(
            self._request.execution.execution_id, number, n, node, given, self._shelf, called_by=caller
        )

    def _run_inputs_of(self, node: LoadedNode) -> dict[str, Envelope]:
        run_inputs = self._run_inputs or {}
        if node.block.takes_any_input:
            return {pin: self._shelf.wrap(value)[0] for pin, value in run_inputs.items()}
        is_trigger = node.block.kind is Kind.TRIGGER
        name, pin = (PAYLOAD, PAYLOAD) if is_trigger else (node.input_default.get("name"), "value")
        if isinstance(name, str) and name in run_inputs:
            return {pin: self._shelf.wrap(run_inputs[name])[0]}
        return {}

    async def _open(self, run: NodeRun) -> dict[str, Any]:
        if self._run_inputs is None and run.node.block.kind in _FED_BY_THE_RUN and not run.given:
            raise ValueMissing
        try:
            return await self._shelf.open(run.given)
        except ValueMissing as error:
            run.forget(error.hashes)
            raise

    # -- what only needs writing down

    def _record_marks(self, marks: list[StatusMark]) -> None:
        for mark in marks:
            status = Status(mark.status)
            self.changes.status = status
            self.changes.paused_for = mark.reason
            data = dump({"status": status, **({"reason": mark.reason} if mark.reason else {})})
            self.changes.events.append(EventRecord(f"mark:{mark.number}", OF_EXECUTION[status], data))

    def _record_loss(self, loss: Loss) -> None:
        write_loss(self.changes, loss, self._plan, self._request.execution.execution_id, self._shelf)


def write_loss(changes: Changes, loss: Loss, plan: LoadedPlan, execution_id: str, shelf: Shelf) -> None:
    """Add the failure of a call that was lost to a transaction. What it was given stays as it was recorded."""
    node = plan.nodes[loss.node]
    run = NodeRun(execution_id, loss.node, loss.n, node, {}, shelf, called_by=loss.called_by)
    if node.block.costs:
        changes.unpaid.append(run.id)
    run.write(
        changes,
        Status.FAILED,
        started_at=None,
        ended_at=datetime.now(UTC),
        error=(loss.code, loss.message),
    )
