"""The workflow behind every graph execution: the scheduler decides, this performs.

Pure work goes out in waves, remote node executions as activities of their own, timers as Temporal timers. All state
that outlives the workflow is written by the activities.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts import (
        PAUSE_UPDATE,
        RESUME_UPDATE,
        WORKFLOW_NAME,
        BeginRequest,
        EngineActivities,
        ErrorRecord,
        ExecutionRef,
        ExecutionStart,
        FinishRequest,
        Loss,
        NodeResult,
        Ring,
        StatusMark,
        Step,
        WaveRequest,
    )
    from app.graph.plan import Plan, plan_from_json
    from app.graph.scheduler import Firing, Scheduler
    from app.workflows.options import HELPER, start_call, weight_of
    from app.workflows.outcomes import Outcome, outcome_of

COMMAND_BUDGET_BYTES = 1_000_000
"""Above 4 MB of commands in one workflow task the server terminates the workflow, so far less is sent at once."""
YIELD_AFTER_SECONDS = 1.0
"""While local activities follow each other no message comes through: at the latest then, the task is ended."""
MAX_WINDOW = 400
CANCEL_GRACE = timedelta(seconds=3)
"""How long a stop waits for running blocks to end."""
STATUS = SearchAttributeKey.for_keyword("GraphStatus")


@workflow.defn(name=WORKFLOW_NAME)
class GraphExecutionWorkflow:
    """Walks one version of a graph from its inputs to its outputs."""

    @workflow.init
    def __init__(self, start: ExecutionStart) -> None:
        self._start = start
        self._execution = ExecutionRef(workflow.info().workflow_id, start.user_id, start.plan_hash)
        self._window = max(1, min(start.limits.window, MAX_WINDOW))
        self._plan = Plan(())
        self._scheduler = self._make_scheduler()
        self._calls: dict[tuple[int, int], workflow.ActivityHandle[NodeResult]] = {}
        self._returned: list[Firing] = []
        self._timers: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._rings: list[Ring] = []
        self._losses: list[Loss] = []
        self._marks: list[StatusMark] = []
        self._marks_made = 0
        self._marks_recorded = 0
        self._is_paused = False
        self._is_ended = False
        self._unsent_bytes = 0
        self._unsent_seconds = 0.0

    @workflow.run
    async def run(self, start: ExecutionStart) -> int:
        """Walk the graph; return the number of node executions.

        Raises:
            ApplicationError: The execution failed; the type is the error's code.
        """
        try:
            error = await self._begin_and_walk()
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
        await self._set_paused(is_paused=True)

    @workflow.update(name=RESUME_UPDATE)
    async def resume(self) -> None:
        """Go on where the execution was paused."""
        await self._set_paused(is_paused=False)

    @pause.validator
    def _refuse_pause(self) -> None:
        self._refuse_when_ended()

    @resume.validator
    def _refuse_resume(self) -> None:
        self._refuse_when_ended()

    def _refuse_when_ended(self) -> None:
        if self._is_ended:
            raise ApplicationError("The execution has ended", type="CONFLICT")

    async def _set_paused(self, *, is_paused: bool) -> None:
        if self._is_paused is not is_paused:
            self._is_paused = is_paused
            self._marks_made += 1
            status = "PAUSED" if is_paused else "RUNNING"
            self._marks.append(StatusMark(status, self._marks_made))
            workflow.upsert_search_attributes([STATUS.value_set(status)])
        wanted = self._marks_made
        await workflow.wait_condition(lambda: self._marks_recorded >= wanted or self._is_ended)
        if self._marks_recorded < wanted:
            raise ApplicationError("The execution has ended", type="CONFLICT", non_retryable=True)

    # -- the walk

    async def _begin_and_walk(self) -> ErrorRecord | None:
        """Return why the execution failed, or None."""
        begun = await workflow.execute_local_activity_method(
            EngineActivities.begin, BeginRequest(self._execution.execution_id, self._start), **HELPER
        )
        if begun.plan is None:
            return begun.refusal
        self._plan = plan_from_json(begun.plan)
        self._scheduler = self._make_scheduler()
        self._scheduler.start()
        await self._walk()
        if self._scheduler.is_exhausted:
            limit = self._start.limits.max_node_executions
            return ErrorRecord("LIMIT_EXCEEDED", f"More than {limit} node executions")
        failure = self._scheduler.failure
        return ErrorRecord(failure.code, failure.message, failure.node) if failure else None

    def _make_scheduler(self) -> Scheduler:
        return Scheduler(self._plan, max_node_executions=self._start.limits.max_node_executions)

    async def _walk(self) -> None:
        while True:
            self._take_returned()
            has_more = False if self._is_paused else self._start_remote()
            self._describe()
            if self._wants_wave():
                await self._send_wave()
            elif has_more or self._is_task_full():
                await self._end_task()
            elif self._scheduler.is_finished:
                return
            else:
                await workflow.wait_condition(self._has_news)

    def _has_news(self) -> bool:
        return (
            bool(self._returned) or self._wants_wave() or (not self._is_paused and self._can_start_remote())
        )

    def _wants_wave(self) -> bool:
        if self._is_task_full():
            return False
        has_work = not self._is_paused and (self._scheduler.has_wave or bool(self._rings))
        return has_work or bool(self._marks or self._losses)

    def _is_task_full(self) -> bool:
        return self._unsent_bytes >= COMMAND_BUDGET_BYTES or self._unsent_seconds >= YIELD_AFTER_SECONDS

    async def _end_task(self) -> None:
        """End the workflow task, so that its commands are sent and waiting messages come in."""
        await workflow.sleep(timedelta(milliseconds=1), summary="next workflow task")
        self._unsent_bytes = 0
        self._unsent_seconds = 0.0

    def _describe(self) -> None:
        scheduler = self._scheduler
        state = "Paused. " if self._is_paused else ""
        workflow.set_current_details(
            f"{state}{scheduler.settled} of {scheduler.dispatched} node executions done, "
            f"{scheduler.running_count} running"
        )

    # -- remote node executions

    def _can_start_remote(self) -> bool:
        return self._scheduler.has_remote and len(self._calls) < self._window

    def _start_remote(self) -> bool:
        """Start what fits into the window and the task; answer whether the task was too full for the rest."""
        while self._can_start_remote():
            if self._is_task_full():
                return True
            firing = self._scheduler.take_remote()
            if firing is None:
                return False
            self._unsent_bytes += weight_of(firing.inputs)
            self._call(firing)
        return False

    def _call(self, firing: Firing) -> None:
        node = self._plan.nodes[firing.node]
        handle = start_call(node, firing, self._start)
        self._calls[firing.node, firing.n] = handle
        handle.add_done_callback(lambda _: self._returned.append(firing))

    def _take_returned(self) -> None:
        returned, self._returned = self._returned, []
        for firing in returned:
            call = self._plan.nodes[firing.node].call
            outcome = outcome_of(self._calls.pop((firing.node, firing.n)), call)
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

    # -- waves and timers

    async def _send_wave(self) -> None:
        """Have everything pure that is ready walked, and do the same steps here.

        What returns meanwhile is taken afterwards, so the scheduler stands still until the steps are repeated.
        """
        rings: list[Ring] = []
        if not self._is_paused:
            rings, self._rings = self._rings, rings
        losses, self._losses = self._losses, []
        marks, self._marks = self._marks, []
        request = WaveRequest(
            execution=self._execution,
            state=self._scheduler.wave_snapshot(waking=[ring.node for ring in rings]),
            max_node_executions=self._start.limits.max_node_executions,
            rings=rings,
            losses=losses,
            marks=marks,
            is_paused=self._is_paused,
        )
        result = await workflow.execute_local_activity_method(EngineActivities.wave, request, **HELPER)
        self._marks_recorded += len(marks)
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
                self._timers.pop((node, n), None)
            case Step.FAILED, [list(emissions), str(code), str(message)]:
                scheduler.fail(node, n, emissions, code=code, message=message)
                self._timers.pop((node, n), None)
            case Step.TIMER_SET, [float() | int() as seconds, int(rounds)] if firing is not None:
                self._timers[node, n] = asyncio.create_task(self._time(firing, seconds, rounds))
            case Step.RANG, [list(emissions)]:
                scheduler.emit(node, n, emissions)
            case _:
                raise RuntimeError(f"A wave returned the step {step}")

    async def _time(self, firing: Firing, seconds: float, rounds: int) -> None:
        title = self._plan.nodes[firing.node].title
        for number in range(1, rounds + 1):
            await workflow.sleep(timedelta(seconds=seconds), summary=title[:120])
            self._rings.append(
                Ring(firing.node, firing.n, list(firing.inputs.items()), number, is_last=number == rounds)
            )

    # -- the end

    async def _cancel_running(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        for handle in self._calls.values():
            handle.cancel()
        try:
            await workflow.wait_condition(
                lambda: all(handle.done() for handle in self._calls.values()),
                timeout=CANCEL_GRACE,
                timeout_summary="running blocks may end",
            )
        except TimeoutError:
            workflow.logger.warning("Blocks did not end in time for the stop")

    async def _finish(self, status: str, error: ErrorRecord | None = None) -> None:
        self._is_ended = True
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
