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

from app.workflows.calls import RemoteCalls
from app.workflows.documents import end_task, fetch, fetch_plan
from app.workflows.holds import Holds
from app.workflows.options import HELPER, SEEDING
from app.workflows.outcomes import Outcome
from app.workflows.runs import RunLength
from app.workflows.shards import Shards
from app.workflows.steering import Steering
from app.workflows.timers import Timers

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts import (
        PAUSE_UPDATE,
        RELEASE_SIGNAL,
        RESUME_UPDATE,
        STEER_SIGNAL,
        WORKFLOW_NAME,
        BeginRequest,
        BeginResult,
        EngineActivities,
        ErrorRecord,
        ExecutionRef,
        ExecutionStart,
        FinishRequest,
        Loss,
        Release,
        SeedRequest,
        Step,
        StoreRequest,
        WaveRequest,
    )
    from app.graph.plan import Plan, plan_from_json
    from app.graph.scheduler import Firing, Scheduler

COMMAND_BUDGET_BYTES = 1_000_000
"""Above 4 MB of commands in one workflow task the server terminates the workflow, so far less is sent at once."""
YIELD_AFTER_SECONDS = 1.0
"""While local activities follow each other no message comes through: at the latest then, the task is ended."""
MAX_WINDOW = 400
LEAST_ROOM = 1_000
"""Emissions of folded lists are unfolded as long as fewer remote node executions are ready."""
CANCEL_GRACE = timedelta(seconds=3)
"""How long a stop waits for running blocks to end."""
STATE_FORMAT = 1


@workflow.defn(name=WORKFLOW_NAME)
class GraphExecutionWorkflow:
    """Walks one version of a graph from its inputs to its outputs."""

    @workflow.init
    def __init__(self, start: ExecutionStart) -> None:
        self._start = start
        self._execution = ExecutionRef(workflow.info().workflow_id, start.user_id, start.plan_hash)
        self._window = max(1, min(start.limits.window, MAX_WINDOW))
        self._run_length = RunLength(start.limits.events_per_run)
        self._steering = Steering(is_ready=start.state is None)
        self._timers = Timers()
        self._holds = Holds(self._steering)
        self._losses: list[Loss] = []
        self._deadline: datetime | None = None
        self._is_overdue = False
        self._deadline_watch: asyncio.Task[None] | None = None
        self._unsent_bytes = 0
        self._unsent_seconds = 0.0
        self._take_plan(Plan(()))

    def _take_plan(self, plan: Plan) -> None:
        self._plan = plan
        self._scheduler = Scheduler(plan, max_node_executions=self._start.limits.max_node_executions)
        self._calls = RemoteCalls(self._execution, self._start, plan)
        self._shards = Shards(self._execution, self._start, plan)

    @workflow.run
    async def run(self, start: ExecutionStart) -> int:
        """Walk the graph; return the number of node executions.

        Raises:
            ApplicationError: The execution failed; the type is the error's code.
        """
        try:
            error = await self._begin_and_walk()
            if self._is_overdue:
                await self._cancel_running()
        except (asyncio.CancelledError, ActivityError) as caught:
            if not is_cancelled_exception(caught):
                # Not a failure of the graph: the workflow task fails, and the execution goes on after a fix.
                raise RuntimeError("A helper activity gave up") from caught
            await self._cancel_running()
            await self._finish("CANCELLED")
            raise asyncio.CancelledError from caught
        await self._finish("FAILED" if error else "COMPLETED", error)
        if error:
            raise ApplicationError(error.message, type=error.code, non_retryable=True)
        return self._scheduler.settled

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
        self._steering.refuse_when_ended()

    @resume.validator
    def _refuse_resume(self) -> None:
        self._steering.refuse_when_ended()

    async def _pause(self, *, is_paused: bool) -> None:
        await self._steering.pause(is_paused=is_paused)
        await self._holds.steer(is_paused=is_paused)

    @workflow.signal(name=STEER_SIGNAL)
    async def steer(self, is_paused: bool) -> None:
        """Do as the execution that this one is nested in."""
        await self._steering.until_ready()
        self._steering.set_paused(is_paused=is_paused)
        await self._holds.steer(is_paused=is_paused)

    @workflow.signal(name=RELEASE_SIGNAL)
    def release(self, release: Release) -> None:
        """End the wait of a node execution."""
        self._holds.release(release)

    # -- the walk

    async def _begin_and_walk(self) -> ErrorRecord | None:
        """Return why the execution failed, or None."""
        begun = await workflow.execute_local_activity_method(
            EngineActivities.begin, BeginRequest(self._execution.execution_id, self._start), **HELPER
        )
        if begun.refusal is not None:
            return begun.refusal
        await self._load(begun)
        self._watch_deadline()
        await self._walk()
        if self._is_overdue:
            return ErrorRecord("TIMED_OUT", f"Not ended after {self._start.limits.timeout_seconds:g} s")
        if self._scheduler.is_exhausted:
            limit = self._start.limits.max_node_executions
            return ErrorRecord("LIMIT_EXCEEDED", f"More than {limit} node executions")
        failure = self._scheduler.failure
        return ErrorRecord(failure.code, failure.message, failure.node) if failure else None

    async def _walk(self) -> None:
        while not self._is_overdue:
            self._take_returned()
            self._run_length.look()
            if self._run_length.is_over and await self._has_handed_over():
                continue
            has_more = self._start_remote() if self._may_call() else False
            self._describe()
            if self._wants_wave():
                await self._send_wave()
            elif has_more or self._is_task_full():
                await self._end_task()
            elif self._scheduler.is_finished:
                return
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Wait until there is something to do."""
        self._steering.set_waiting(is_waiting=self._waits_for_a_person())
        if self._wants_wave():
            return
        patience = self._run_length.patience_left()
        try:
            await workflow.wait_condition(self._has_news, timeout=patience)
        except TimeoutError:
            return

    def _waits_for_a_person(self) -> bool:
        is_busy = self._calls or self._shards or self._holds.has_nested or self._scheduler.has_remote
        return self._holds.has_reviews and not is_busy

    def _has_news(self) -> bool:
        return (
            self._calls.has_returned
            or self._shards.has_returned
            or self._is_overdue
            or self._wants_wave()
            or (self._may_call() and self._can_start_remote())
        )

    def _may_call(self) -> bool:
        return not self._steering.is_paused and self._run_length.may_call()

    def _wants_wave(self) -> bool:
        if self._is_task_full():
            return False
        if self._steering.marks or self._losses or self._holds.releases or self._holds.reminders:
            return True
        is_ready = self._scheduler.has_wave or bool(self._timers.rings)
        return not self._steering.is_paused and (is_ready or self._can_unfold())

    def _can_unfold(self) -> bool:
        return self._scheduler.has_folded and self._room() > 0

    def _room(self) -> int:
        return max(LEAST_ROOM, self._shards.room) - self._scheduler.remote_count

    def _is_task_full(self) -> bool:
        return self._unsent_bytes >= COMMAND_BUDGET_BYTES or self._unsent_seconds >= YIELD_AFTER_SECONDS

    async def _end_task(self) -> None:
        await end_task()
        self._unsent_bytes = 0
        self._unsent_seconds = 0.0

    def _describe(self) -> None:
        scheduler = self._scheduler
        state = "Paused. " if self._steering.is_paused else ""
        workflow.set_current_details(
            f"{state}{scheduler.settled} of {scheduler.dispatched} node executions done, "
            f"{scheduler.running_count} running"
        )

    def _watch_deadline(self) -> None:
        seconds = self._start.limits.timeout_seconds
        if seconds is None:
            return
        self._deadline = self._deadline or workflow.now() + timedelta(seconds=seconds)
        self._deadline_watch = asyncio.create_task(self._pass_deadline(self._deadline))

    async def _pass_deadline(self, deadline: datetime) -> None:
        await workflow.sleep(max(deadline - workflow.now(), timedelta(0)), summary="longest time")
        self._is_overdue = True

    # -- remote node executions

    def _can_start_remote(self) -> bool:
        has_room = len(self._calls) < self._window or self._shards.wants(self._scheduler)
        return self._scheduler.has_remote and has_room

    def _start_remote(self) -> bool:
        """Start what fits into the window and the task; answer whether the task was too full for the rest."""
        while self._can_start_remote():
            if self._is_task_full():
                return True
            if self._shards.wants(self._scheduler):
                self._unsent_bytes += self._shards.start(self._scheduler, self._calls.call_of)
                continue
            firing = self._scheduler.take_remote()
            if firing is None:
                return False
            self._unsent_bytes += self._calls.start(firing)
        return False

    def _take_returned(self) -> None:
        for firing, outcome in self._calls.take_returned():
            self._settle(firing, outcome)
        if self._shards.has_returned:
            for firing, outcome in self._shards.take_returned(self._scheduler.put_back, self._calls.doubt):
                self._settle(firing, outcome)

    def _settle(self, firing: Firing, outcome: Outcome) -> None:
        if outcome.code is None:
            self._scheduler.settle(firing.node, firing.n, outcome.emissions)
            return
        if not outcome.is_recorded:
            self._losses.append(Loss(firing.node, firing.n, outcome.code, outcome.message))
        self._scheduler.fail(
            firing.node, firing.n, outcome.emissions, code=outcome.code, message=outcome.message
        )

    # -- waves, timers, holds

    async def _send_wave(self) -> None:
        """Have everything pure that is ready walked, and do the same steps here.

        What returns meanwhile is taken afterwards, so the scheduler stands still until the steps are repeated.
        """
        steering, holds = self._steering, self._holds
        if holds.releases:
            steering.set_waiting(is_waiting=False)
        rings = [] if steering.is_paused else self._timers.take_rings()
        releases = holds.take_releases()
        losses, self._losses = self._losses, []
        marks = steering.take_marks()
        request = WaveRequest(
            execution=self._execution,
            state=self._scheduler.wave_snapshot(
                waking=[*(ring.node for ring in rings), *(release.node for release in releases)]
            ),
            max_node_executions=self._start.limits.max_node_executions,
            rings=rings,
            losses=losses,
            marks=marks,
            is_paused=steering.is_paused,
            releases=releases,
            reminders=holds.take_reminders(),
            room=self._room(),
            depth=self._start.depth,
            limits=self._start.limits,
            budget=self._start.budget,
        )
        result = await workflow.execute_local_activity_method(EngineActivities.wave, request, **HELPER)
        steering.note_recorded(marks)
        self._unsent_bytes += result.size
        self._unsent_seconds += result.seconds
        for step in result.steps:
            self._repeat(step)

    def _repeat(self, step: list[object]) -> None:
        """Do in this scheduler what a wave did in its own."""
        kind, node, n, *rest = step
        assert isinstance(node, int)
        assert isinstance(n, int)
        scheduler = self._scheduler
        firing = scheduler.take(node, n)
        match kind, rest:
            case Step.ENDED, [list(emissions)]:
                scheduler.settle(node, n, emissions)
                self._forget(node, n)
            case Step.FAILED, [list(emissions), str(code), str(message)]:
                scheduler.fail(node, n, emissions, code=code, message=message)
                self._forget(node, n)
            case Step.RANG, [list(emissions)]:
                scheduler.emit(node, n, emissions)
            case Step.UNFOLDED, [list(emissions)]:
                scheduler.unfold(node, n, emissions)
            case Step.KEPT, []:
                self._holds.keep(node, n)
            case _ if firing is not None:
                self._begin_to_wait(kind, firing, rest)
            case _:
                raise RuntimeError(f"A wave returned the step {step}")

    def _begin_to_wait(self, kind: object, firing: Firing, rest: list[Any]) -> None:
        match kind, rest:
            case Step.TIMER_SET, [float() | int() as seconds, int(rounds)]:
                title = self._plan.nodes[firing.node].title
                self._timers.start(firing, title=title, seconds=seconds, rounds=rounds)
            case Step.REVIEW, [timeout_seconds, remind_seconds]:
                self._holds.ask(firing, timeout_seconds=timeout_seconds, remind_seconds=remind_seconds)
            case Step.NESTED, [str(execution_id), dict(start)]:
                converter = workflow.payload_converter()
                nested = converter.from_payload(converter.to_payload(start), ExecutionStart)
                self._holds.nest(firing, execution_id, nested)
            case _:
                raise RuntimeError(f"A wave returned a step of kind {kind}")

    def _forget(self, node: int, n: int) -> None:
        self._timers.forget(node, n)
        self._holds.forget(node, n)

    # -- from run to run

    async def _load(self, begun: BeginResult) -> None:
        """Take the plan, and the state to go on from."""
        document = begun.plan or await fetch_plan(self._execution, begun.plan_parts)
        self._take_plan(plan_from_json(document))
        stored = self._start.state
        if stored is None and self._start.rerun is not None:
            request = SeedRequest(self._execution, self._start)
            stored = await workflow.execute_local_activity_method(EngineActivities.seed, request, **SEEDING)
        if stored is None:
            self._scheduler.start()
            return
        state = await fetch(self._execution, stored)
        if state["v"] != STATE_FORMAT:
            raise RuntimeError(f"State format {state['v']} is not {STATE_FORMAT}")
        self._scheduler = Scheduler.restore(
            self._plan, state["scheduler"], max_node_executions=self._start.limits.max_node_executions
        )
        if "steering" in state:
            self._steering.load(state["steering"])
            self._timers.load(state["timers"])
            self._holds.load(state["holds"])
            self._calls.doubtful.update((node, n) for node, n in state["doubtful"])
            self._deadline = datetime.fromisoformat(state["deadline"]) if state["deadline"] else None
        self._run_length.begin()

    async def _has_handed_over(self) -> bool:
        """Hand over to the next run if nothing is under way that only this run can see through.

        Returns:
            Whether something came in meanwhile, which has to be looked at first. Does not return otherwise.
        """
        if self._shards:
            await self._shards.wind_up()
        if self._is_engaged():
            return False
        state = self._dump()
        stored = await workflow.execute_local_activity_method(
            EngineActivities.store, StoreRequest(self._execution, state), **HELPER
        )
        # A handler may wait for a record that only this loop has made.
        await workflow.wait_condition(lambda: workflow.all_handlers_finished() or self._is_engaged())
        if self._is_engaged() or self._dump() != state:
            return True
        return workflow.continue_as_new(replace(self._start, state=stored))

    def _dump(self) -> dict[str, Any]:
        return {
            "v": STATE_FORMAT,
            "scheduler": self._scheduler.snapshot(),
            "steering": self._steering.dump(),
            "timers": self._timers.dump(),
            "holds": self._holds.dump(),
            "doubtful": sorted(self._calls.doubtful),
            "deadline": self._deadline.isoformat() if self._deadline else None,
        }

    def _is_engaged(self) -> bool:
        holds = self._holds
        return bool(
            self._scheduler.is_finished
            or self._calls
            or self._shards
            or self._losses
            or self._steering.marks
            or holds.releases
            or holds.reminders
            or holds.is_starting
        )

    # -- the end

    async def _cancel_running(self) -> None:
        self._timers.cancel()
        self._calls.cancel()
        self._shards.cancel()
        await self._holds.cancel()
        try:
            await workflow.wait_condition(
                lambda: self._calls.is_done and self._shards.is_done and not self._holds.has_running_nested,
                timeout=CANCEL_GRACE,
                timeout_summary="running blocks may end",
            )
        except TimeoutError:
            workflow.logger.warning("Blocks did not end in time for the stop")

    async def _finish(self, status: str, error: ErrorRecord | None = None) -> None:
        self._steering.is_ended = True
        request = FinishRequest(
            execution_id=self._execution.execution_id,
            start=self._start,
            status=status,
            error=error,
            losses=self._losses,
            starved=self._scheduler.list_starved(),
            unreached=self._scheduler.list_unreached(),
        )
        await workflow.execute_local_activity_method(EngineActivities.finish, request, **HELPER)
        await workflow.wait_condition(workflow.all_handlers_finished)
