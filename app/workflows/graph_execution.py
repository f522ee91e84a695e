"""The workflow behind every graph execution: the scheduler decides, this performs.

Pure work goes out in waves, remote node executions as activities of their own, timers as Temporal timers, nested
executions as child workflows. All state that outlives the workflow is written by the activities. A run whose history
has become long hands over to the next run of the same execution.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from app.workflows.documents import fetch, fetch_plan
from app.workflows.options import HELPER, SEEDING
from app.workflows.queueing import Turn
from app.workflows.steering import Steering
from app.workflows.walk import Walk

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.engine import (
        BeginRequest,
        BeginResult,
        EngineActivities,
        FinishRequest,
        SeedRequest,
        StoreRequest,
    )
    from app.activities.contracts.execution import (
        WORKFLOW_NAME,
        ErrorRecord,
        ExecutionRef,
        ExecutionStart,
        StoredState,
    )
    from app.activities.contracts.messages import (
        ADMIT_SIGNAL,
        FUND_SIGNAL,
        PAUSE_UPDATE,
        RELEASE_SIGNAL,
        RESUME_UPDATE,
        STEER_SIGNAL,
        Release,
    )
    from app.graph.plan import plan_from_json

STATE_FORMAT = 1
LONGEST_WATCH_SECONDS = 7 * 86_400.0
"""What may take longer has no timer of its own: Temporal's time-out ends it, and its record is settled then."""


@workflow.defn(name=WORKFLOW_NAME)
class GraphExecutionWorkflow:
    """Walks one version of a graph from its inputs to its outputs."""

    @workflow.init
    def __init__(self, start: ExecutionStart) -> None:
        self._start = start
        self._execution = ExecutionRef(workflow.info().workflow_id, start.user_id, start.plan_hash)
        self._steering = Steering(is_ready=start.state is None)
        self._walk = Walk(self._execution, start, self._steering)
        self._turn = Turn()
        self._deadline: datetime | None = None
        self._deadline_watch: asyncio.Task[None] | None = None

    @workflow.run
    async def run(self, start: ExecutionStart) -> int:
        """Walk the graph; return the number of node executions.

        Raises:
            ApplicationError: The execution failed; the type is the error's code.
        """
        try:
            error = await self._begin_and_walk()
            if self._walk.is_cut_short:
                await self._walk.cancel()
        except (asyncio.CancelledError, ActivityError) as caught:
            if not is_cancelled_exception(caught):
                # Not a failure of the graph: the workflow task fails, and the execution goes on after a fix.
                raise RuntimeError("A helper activity gave up") from caught
            await self._walk.cancel()
            await self._end("CANCELLED")
            raise asyncio.CancelledError from caught
        await self._end("FAILED" if error else "COMPLETED", error)
        if error:
            raise ApplicationError(error.message, type=error.code, non_retryable=True)
        return self._walk.scheduler.settled

    # -- messages

    @workflow.update(name=PAUSE_UPDATE)
    async def pause(self) -> None:
        """Start no further node execution. Those that run go on to their end."""
        await self._pause(is_paused=True)

    @workflow.update(name=RESUME_UPDATE)
    async def resume(self) -> None:
        """Go on where the execution was paused."""
        await self._pause(is_paused=False)

    @pause.validator
    def _refuse_pause(self) -> None:
        self._refuse_when_it_cannot_be()

    @resume.validator
    def _refuse_resume(self) -> None:
        self._refuse_when_it_cannot_be()

    def _refuse_when_it_cannot_be(self) -> None:
        self._steering.refuse_when_ended()
        if self._turn.is_awaited:
            raise ApplicationError("The execution is still queued", type="CONFLICT", non_retryable=True)

    async def _pause(self, *, is_paused: bool) -> None:
        await self._steering.pause(is_paused=is_paused)
        await self._walk.holds.steer(is_paused=is_paused)

    @workflow.signal(name=STEER_SIGNAL)
    async def steer(self, is_paused: bool) -> None:
        """Do as the execution that this one is nested in."""
        await self._steering.until_ready()
        if self._steering.is_ended:
            return
        self._steering.set_paused(is_paused=is_paused)
        await self._walk.holds.steer(is_paused=is_paused)

    @workflow.signal(name=FUND_SIGNAL)
    async def fund(self) -> None:
        """Go on if it was for want of credits that nothing went on: there are some now."""
        await self._steering.until_ready()
        if not self._steering.is_ended:
            self._steering.fund()
            self._walk.holds.go_on()

    @workflow.signal(name=ADMIT_SIGNAL)
    def admit(self) -> None:
        """Ask again whether the execution may begin: there is room for it now."""
        self._turn.call()

    @workflow.signal(name=RELEASE_SIGNAL)
    def release(self, release: Release) -> None:
        """End the wait of a node execution."""
        self._walk.holds.release(release)

    # -- the course of a run

    async def _begin_and_walk(self) -> ErrorRecord | None:
        """Return why the execution failed, or None."""
        begun = await self._begin()
        if begun.refusal is not None:
            return begun.refusal
        if not begun.is_admitted:
            return self._error()
        await self._load(begun)
        await self._walk.go(hand_over=self._hand_over, on_wait=self._watch_deadline)
        return self._error()

    async def _begin(self) -> BeginResult:
        """Have recorded that the execution has begun, as soon as it may or until its time is up."""
        request = BeginRequest(self._execution.execution_id, self._start)
        while True:
            begun = await workflow.execute_local_activity_method(
                EngineActivities.begin, request, summary="begin", **HELPER
            )
            self._turn.is_awaited = not begun.is_admitted
            if begun.is_admitted or self._walk.is_overdue:
                return begun
            self._watch_deadline()
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(
                    self._start,
                    initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE,
                )
            await self._turn.come(is_overdue=lambda: self._walk.is_overdue)

    def _error(self) -> ErrorRecord | None:
        limits, scheduler = self._start.limits, self._walk.scheduler
        if self._walk.is_overdue:
            return ErrorRecord("TIMED_OUT", f"Not ended after {limits.timeout_seconds:g} s")
        if self._walk.unpaid is not None:
            return self._walk.unpaid
        if scheduler.is_exhausted:
            return ErrorRecord("LIMIT_EXCEEDED", f"More than {limits.max_node_executions} node executions")
        failure = scheduler.failure
        return ErrorRecord(failure.code, failure.message, failure.node) if failure else None

    async def _load(self, begun: BeginResult) -> None:
        """Take the plan, and the state to go on from."""
        document = begun.plan or await fetch_plan(self._execution, begun.plan_parts)
        stored = self._start.state or await self._seed()
        state = None if stored is None else await fetch(self._execution, stored)
        if state is not None and state["v"] != STATE_FORMAT:
            raise RuntimeError(f"State format {state['v']} is not {STATE_FORMAT}")
        if state is not None and "steering" in state:
            self._steering.load(state["steering"])
        self._walk.begin(plan_from_json(document), state)
        if state is not None and "steering" in state:
            self._deadline = datetime.fromisoformat(state["deadline"]) if state["deadline"] else None
            # A timer takes a moment even when its time is up; runs may be shorter than that.
            self._walk.is_overdue = self._deadline is not None and self._deadline <= workflow.now()

    async def _seed(self) -> StoredState | None:
        """Have recorded what a rerun reuses; return the state that it begins with."""
        if self._start.rerun is None:
            return None
        request = SeedRequest(self._execution, self._start)
        return await workflow.execute_local_activity_method(
            EngineActivities.seed, request, summary="take over what is reused", **SEEDING
        )

    def _watch_deadline(self) -> None:
        """Set the timer of the execution's longest time; what never waits needs none."""
        seconds = self._start.limits.timeout_seconds
        if seconds is None or seconds > LONGEST_WATCH_SECONDS or self._deadline_watch is not None:
            return
        self._deadline = self._deadline or workflow.now() + timedelta(seconds=seconds)
        self._deadline_watch = asyncio.create_task(self._pass_deadline(self._deadline))

    async def _pass_deadline(self, deadline: datetime) -> None:
        await workflow.sleep(max(deadline - workflow.now(), timedelta(0)), summary="longest time")
        self._walk.is_overdue = True

    async def _hand_over(self) -> bool:
        """Hand over to the next run; answer that something came in which has to be looked at first."""
        state = self._dump()
        stored = await workflow.execute_local_activity_method(
            EngineActivities.store,
            StoreRequest(self._execution, state),
            summary="keep the state for the next run",
            **HELPER,
        )
        # A handler may wait for a record that only the walk has made.
        await workflow.wait_condition(lambda: workflow.all_handlers_finished() or self._walk.is_engaged)
        if self._walk.is_engaged or self._dump() != state:
            return True
        # Builds are pinned to a run: between two runs is the moment to move to a newer one.
        return workflow.continue_as_new(
            replace(self._start, state=stored),
            initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE,
        )

    def _dump(self) -> dict[str, Any]:
        return {
            "v": STATE_FORMAT,
            **self._walk.dump(),
            "steering": self._steering.dump(),
            "deadline": self._deadline.isoformat() if self._deadline else None,
        }

    async def _end(self, status: str, error: ErrorRecord | None = None) -> None:
        """Record the end. A stop that comes now is too late: record and workflow have to tell of the same end."""
        ending = asyncio.create_task(self._finish(status, error))
        while not ending.done():
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                workflow.logger.info("A stop came while the end was being recorded")
        ending.result()

    async def _finish(self, status: str, error: ErrorRecord | None) -> None:
        self._steering.is_ended = True
        request = FinishRequest(
            execution_id=self._execution.execution_id,
            start=self._start,
            status=status,
            error=error,
            losses=self._walk.losses,
            starved=self._walk.scheduler.list_starved(),
            unreached=self._walk.scheduler.list_unreached(),
        )
        await workflow.execute_local_activity_method(
            EngineActivities.finish, request, summary="end", **HELPER
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
