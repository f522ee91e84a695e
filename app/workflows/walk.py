"""The walk of one workflow run: what is ready is carried out, what has come back is taken, until nothing is left.

Decides what is sent first. How an execution begins, ends, and moves from run to run is not known here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow

from app.workflows.calls import RemoteCalls
from app.workflows.funding import Funding
from app.workflows.holds import Holds
from app.workflows.options import HELPER
from app.workflows.outcomes import Outcome
from app.workflows.runs import RunLength
from app.workflows.shards import Shards
from app.workflows.steering import Steering
from app.workflows.task_load import TaskLoad
from app.workflows.timers import Timers
from app.workflows.wave_steps import repeat

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.engine import EngineActivities
    from app.activities.contracts.execution import ErrorRecord, ExecutionRef, ExecutionStart
    from app.activities.contracts.waves import Loss, WaveRequest
    from app.graph.plan import Plan
    from app.graph.scheduler import Firing, Scheduler

MAX_WINDOW = 400
LEAST_ROOM = 1_000
"""Emissions of folded lists are unfolded as long as fewer remote node executions are ready."""
TITLES_SHOWN = 5
"""How many of the remote node executions under way are named in the Web UI."""
CANCEL_GRACE = timedelta(seconds=3)
"""How long a stop waits for running blocks to end."""


class Walk:
    """The walk of one workflow run."""

    def __init__(self, execution: ExecutionRef, start: ExecutionStart, steering: Steering) -> None:
        """Make a walk at rest; the plan is still to come."""
        self._execution = execution
        self._start = start
        self._steering = steering
        self._window = max(1, min(start.limits.window, MAX_WINDOW))
        self._run_length = RunLength(
            start.limits.events_per_run, patience_seconds=start.limits.patience_seconds
        )
        self._timers = Timers()
        self.holds = Holds(steering, start.limits.nested_at_once)
        self.losses: list[Loss] = []
        """Failures that are still to be recorded."""
        self.is_overdue = False
        """Whether the execution's time is up."""
        self.unpaid: ErrorRecord | None = None
        """Set when the execution fails because a node execution cannot be paid."""
        self._funding = Funding(start, steering)
        self._load = TaskLoad()
        self._take_plan(Plan(()))

    def _take_plan(self, plan: Plan) -> None:
        self._plan = plan
        self.scheduler = Scheduler(plan, max_node_executions=self._start.limits.max_node_executions)
        self._calls = RemoteCalls(self._execution, self._start, plan)
        self._shards = Shards(self._execution, self._start, plan)

    # -- from run to run

    def begin(self, plan: Plan, state: dict[str, Any] | None) -> None:
        """Take the plan, and begin at its start or go on from a state."""
        self._take_plan(plan)
        if state is None:
            self.scheduler.start()
            return
        limit = self._start.limits.max_node_executions
        self.scheduler = Scheduler.restore(plan, state["scheduler"], max_node_executions=limit)
        if "timers" in state:
            self._timers.load(state["timers"])
            self.holds.load(state["holds"])
            self._calls.doubtful.update((node, n) for node, n in state["doubtful"])
            self._shards.made = state["shards"]
        self._run_length.begin()

    def dump(self) -> dict[str, Any]:
        """Return the state as JSON. Nothing may be under way that only this run can see through."""
        return {
            "scheduler": self.scheduler.snapshot(),
            "timers": self._timers.dump(),
            "holds": self.holds.dump(),
            "doubtful": sorted(self._calls.doubtful),
            "shards": self._shards.made,
        }

    @property
    def is_engaged(self) -> bool:
        """Answer whether something is under way that only this run can see through."""
        return bool(
            self.scheduler.is_finished
            or self._calls
            or self._shards
            or self.losses
            or self._steering.marks
            or self.holds.releases
            or self.holds.reminders
            or self.holds.is_starting
        )

    @property
    def is_cut_short(self) -> bool:
        """Answer whether the walk is to end although something may be left."""
        return self.is_overdue or self.unpaid is not None

    async def cancel(self) -> None:
        """Have all that runs stopped, and give it some time to end."""
        self._timers.cancel()
        self._calls.cancel()
        self._shards.cancel()
        await self.holds.cancel()
        try:
            await workflow.wait_condition(
                lambda: self._calls.is_done and self._shards.is_done and not self.holds.has_running_nested,
                timeout=CANCEL_GRACE,
                timeout_summary="running blocks may end",
            )
        except TimeoutError:
            workflow.logger.warning("Blocks did not end in time for the stop")

    # -- the loop

    async def go(self, *, hand_over: Callable[[], Awaitable[bool]], on_wait: Callable[[], None]) -> None:
        """Walk until nothing is left or the time is up.

        Args:
            hand_over: Hands over to the next run, and does not return then; answers whether something came in before
                it could. Called when this run is long and nothing is under way.
            on_wait: Called whenever there is nothing to do for the moment.
        """
        while not self.is_cut_short:
            self._funding.look(self._calls.keys, self._shards.keys)
            self._take_returned()
            self._run_length.look()
            if self._shards and (self._run_length.is_over or self._steering.is_paused):
                await self._shards.wind_up()
            if self._run_length.is_over and not self.is_engaged and await hand_over():
                continue
            has_more = self._start_remote() if self._may_call() else False
            self._describe()
            if self._wants_wave():
                await self._send_wave()
            elif has_more or self._load.is_full:
                await self._load.shed()
            elif self.scheduler.is_finished:
                return
            else:
                on_wait()
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
        is_busy = self._calls or self._shards or self.holds.has_nested or self.scheduler.has_remote
        return self.holds.has_reviews and not is_busy

    def _has_news(self) -> bool:
        return (
            self._calls.has_returned
            or self._shards.has_returned
            or self.is_overdue
            or (self._run_length.is_over and not self.is_engaged)
            or self._wants_wave()
            or (self._may_call() and self._can_start_remote())
        )

    def _may_call(self) -> bool:
        # Whoever has called what was lost is told so by the record, which the next wave makes.
        is_unrecorded = bool(self.losses) and self.scheduler.has_conversations
        return not self._steering.is_paused and self._run_length.may_call() and not is_unrecorded

    def _wants_wave(self) -> bool:
        if self._load.is_full:
            return False
        if self._steering.marks or self.losses or self.holds.releases or self.holds.reminders:
            return True
        is_ready = self.scheduler.has_wave or bool(self._timers.rings) or self._can_unfold()
        return is_ready and not self._steering.is_paused and not self._run_length.is_longest

    def _can_unfold(self) -> bool:
        return self.scheduler.has_folded and self._room() > 0

    def _room(self) -> int:
        return max(LEAST_ROOM, self._shards.room) - self.scheduler.remote_count

    def _describe(self) -> None:
        state = f"{self._steering.standing}. " if self._steering.is_paused else ""
        running = ", ".join(self._calls.list_titles(TITLES_SHOWN))
        workflow.set_current_details(
            f"{state}{self.scheduler.settled} of {self.scheduler.dispatched} node executions done, "
            f"{self.scheduler.running_count} running{': ' if running else ''}{running}"
        )

    # -- remote node executions

    def _can_start_remote(self) -> bool:
        has_room = len(self._calls) < self._window or self._shards.wants(self.scheduler)
        return self.scheduler.has_remote and has_room

    def _start_remote(self) -> bool:
        """Start what fits into the window and the task; answer whether the task was too full for the rest."""
        while self._can_start_remote():
            if self._load.is_full:
                return True
            if self._shards.wants(self.scheduler):
                self._load.add(self._shards.start(self.scheduler, self._calls.call_of))
                continue
            firing = self.scheduler.take_remote()
            if firing is None:
                return False
            self._load.add(self._calls.start(firing))
        return False

    def _take_returned(self) -> None:
        for firing, outcome in self._calls.take_returned():
            self._settle(firing, outcome)
        if self._shards.has_returned:
            for firing, outcome in self._shards.take_returned(self.scheduler.put_back, self._calls.doubt):
                self._settle(firing, outcome)

    def _settle(self, firing: Firing, outcome: Outcome) -> None:
        if outcome.calls:
            self.scheduler.call(firing, [(node, dict(pairs)) for node, pairs in outcome.calls])
            return
        if outcome.code is None:
            self.scheduler.settle(firing.node, firing.n, outcome.emissions)
            return
        if outcome.is_unpaid:
            if self._funding.may_wait(outcome):
                self._calls.doubt(firing.node, firing.n)
                self.scheduler.put_back(firing)
                if not self._funding.is_out_of_date((firing.node, firing.n)):
                    self._steering.set_paused(is_paused=True, reason=outcome.code)
                return
            self.unpaid = ErrorRecord(outcome.code, outcome.message, firing.node)
        if not outcome.is_recorded:
            self.losses.append(Loss(firing.node, firing.n, outcome.code, outcome.message, firing.caller))
        self.scheduler.fail(
            firing.node, firing.n, outcome.emissions, code=outcome.code, message=outcome.message
        )

    # -- waves

    async def _send_wave(self) -> None:
        """Have everything pure that is ready walked, and do the same steps here.

        What returns meanwhile is taken afterwards, so the scheduler stands still until the steps are repeated.
        """
        steering, holds = self._steering, self.holds
        if holds.releases:
            steering.set_waiting(is_waiting=False)
        rings = [] if steering.is_paused else self._timers.take_rings()
        releases = holds.take_releases()
        losses, self.losses = self.losses, []
        marks = steering.take_marks()
        request = WaveRequest(
            execution=self._execution,
            state=self.scheduler.wave_snapshot(
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
        result = await workflow.execute_local_activity_method(
            EngineActivities.wave, request, summary="pure blocks, timers and records", **HELPER
        )
        steering.note_recorded(marks)
        self._load.add(result.size, seconds=result.seconds)
        for step in result.steps:
            repeat(step, self.scheduler, self._plan, self._timers, self.holds)
        holds.drop_early()
