"""Node executions that wait for something outside: a person's answer, or the end of a nested execution.

They outlive a workflow run. So a nested execution is not bound to the run that started it: it is found by its id, it is
told what to do by signals, and whoever closes its record tells this execution by a signal too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from app.workflows.messages import tell
from app.workflows.options import execution_options
from app.workflows.steering import Steering

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.execution import WORKFLOW_NAME, ExecutionStart
    from app.activities.contracts.messages import STEER_SIGNAL, Release
    from app.activities.contracts.waves import Reminder
    from app.graph.scheduler import Firing

Key = tuple[int, int]

TIMEOUT_MARGIN = timedelta(minutes=1)
MAX_RELEASES = 20
"""A wave carries out so many at once: each may emit tens of kilobytes."""


@dataclass(slots=True)
class _Held:
    """A node execution that waits."""

    firing: Firing
    nested_id: str = ""
    """Id of the nested execution it waits for; empty when it waits for a person."""
    start: ExecutionStart | None = None
    """What the nested execution is to be started with; None once it has been."""
    due: datetime | None = None
    """When nobody needs to answer any more."""
    remind_at: datetime | None = None
    is_released: bool = False
    """Whether the end of its wait is to be carried out."""
    again: Release | None = None
    """What came while that was being carried out: it counts if the first one came too early."""


class Holds:
    """What one execution waits for."""

    def __init__(self, steering: Steering, nested_at_once: int) -> None:
        self._steering = steering
        self._nested_at_once = nested_at_once
        self._is_cancelled = False
        self.releases: list[Release] = []
        """To be carried out."""
        self.reminders: list[Reminder] = []
        """To be recorded."""
        self._held: dict[Key, _Held] = {}
        self._early: dict[Key, Release] = {}
        self._clocks: dict[Key, list[asyncio.Task[None]]] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._queued: deque[_Held] = deque()
        self._nested_count = 0

    @property
    def has_reviews(self) -> bool:
        """Answer whether a person is waited for."""
        return any(not held.nested_id for held in self._held.values())

    @property
    def has_nested(self) -> bool:
        """Answer whether a nested execution is waited for."""
        return any(held.nested_id for held in self._held.values())

    @property
    def is_starting(self) -> bool:
        """Answer whether a nested execution is just being started, which this run has to see through."""
        return bool(self._starting)

    # -- what begins to wait

    def ask(self, firing: Firing, *, timeout_seconds: float | None, remind_seconds: float | None) -> None:
        """Wait for a person's answer."""
        self._hold(_Held(firing, due=_after(timeout_seconds), remind_at=_after(remind_seconds)))

    def nest(self, firing: Firing, execution_id: str, start: ExecutionStart) -> None:
        """Start a nested execution when it is its turn, and wait for its end."""
        self._hold(_Held(firing, nested_id=execution_id, start=start))
        self._start_more()

    def _start_more(self) -> None:
        """Start queued nested executions, as many as may run at once."""
        while self._queued and self._nested_count < self._nested_at_once:
            if self._is_cancelled or self._steering.is_paused:
                return
            held = self._queued.popleft()
            start, held.start = held.start, None
            if start is not None:
                self._nested_count += 1
                self._starting[held.nested_id] = asyncio.create_task(self._start(held, start))

    async def _start(self, held: _Held, start: ExecutionStart) -> None:
        firing, execution_id = held.firing, held.nested_id
        try:
            handle = await workflow.start_child_workflow(
                WORKFLOW_NAME,
                start,
                id=execution_id,
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
                execution_timeout=_net_below(start.limits.timeout_seconds),
                **execution_options(start),
            )
        except WorkflowAlreadyStartedError:
            self.release(Release(firing.node, firing.n))
        else:
            handle.add_done_callback(lambda done: self._note_end(firing, done))
            # What was asked meanwhile could not reach it.
            if self._is_cancelled:
                await tell(_handle(held).cancel())
            elif self._steering.is_paused:
                await tell(_handle(held).signal(STEER_SIGNAL, True))
        finally:
            del self._starting[execution_id]

    def _note_end(self, firing: Firing, done: asyncio.Future[Any]) -> None:
        if not done.cancelled() and isinstance(done.exception(), FailureError | None):
            self.release(Release(firing.node, firing.n))

    def _hold(self, held: _Held) -> None:
        key = held.firing.node, held.firing.n
        self._held[key] = held
        if held.start is not None:
            self._queued.append(held)
        elif held.nested_id:
            self._nested_count += 1
        self._clocks[key] = [
            asyncio.create_task(self._watch(held, moment, title))
            for moment, title in ((held.due, "review times out"), (held.remind_at, "review reminder"))
            if moment is not None
        ]
        if early := self._early.pop(key, None):
            self.release(early)

    async def _watch(self, held: _Held, moment: datetime, title: str) -> None:
        firing = held.firing
        await workflow.sleep(max(moment - workflow.now(), timedelta(0)), summary=title)
        if moment is held.due:
            self.release(Release(firing.node, firing.n, is_timeout=True))
        else:
            held.remind_at = None
            self.reminders.append(Reminder(firing.node, firing.n))

    # -- what is over

    def release(self, release: Release) -> None:
        """Take that a wait is over. What is repeated or not waited for changes nothing."""
        key = release.node, release.n
        held = self._held.get(key)
        if held is None:
            self._early[key] = release
        elif held.is_released:
            held.again = release
        else:
            held.is_released = True
            self.releases.append(replace(release, inputs=list(held.firing.inputs.items())))

    def drop_early(self) -> None:
        """Forget the releases of what is not held, now that all is known that is."""
        self._early.clear()

    def take_releases(self) -> list[Release]:
        """Return what is over, once; of very much the first part."""
        releases, self.releases = self.releases[:MAX_RELEASES], self.releases[MAX_RELEASES:]
        return releases

    def take_reminders(self) -> list[Reminder]:
        """Return what somebody is to be reminded of, once."""
        reminders, self.reminders = self.reminders, []
        return reminders

    def keep(self, node: int, n: int) -> None:
        """Take that a node execution was released too early and goes on waiting."""
        held = self._held[node, n]
        held.is_released = False
        again, held.again = held.again, None
        if again is not None:
            self.release(again)

    def forget(self, node: int, n: int) -> None:
        """Take that a node execution has ended."""
        held = self._held.pop((node, n), None)
        if held is None:
            return
        for clock in self._clocks.pop((node, n)):
            clock.cancel()
        if held.nested_id and held.start is None:
            self._nested_count -= 1
            self._start_more()

    # -- what goes down to nested executions

    async def steer(self, *, is_paused: bool) -> None:
        """Pause or resume the nested executions."""
        for held in self._running_nested():
            await tell(_handle(held).signal(STEER_SIGNAL, is_paused))
        self._start_more()

    def go_on(self) -> None:
        """Start what was held back while the execution was paused. What runs has been told by others, or needs not."""
        self._start_more()

    async def cancel(self) -> None:
        """Stop the nested executions, and no longer wait for people."""
        self._is_cancelled = True
        for clocks in self._clocks.values():
            for clock in clocks:
                clock.cancel()
        for held in self._running_nested():
            await tell(_handle(held).cancel())

    @property
    def has_running_nested(self) -> bool:
        """Answer whether a nested execution has not ended."""
        return bool(self._running_nested())

    def _running_nested(self) -> list[_Held]:
        return [
            held
            for held in self._held.values()
            if held.nested_id and held.start is None and not held.is_released
        ]

    # -- from run to run

    def dump(self) -> list[list[Any]]:
        """Return the state as JSON. Nothing is left to be carried out then."""
        return [
            [
                held.firing.node,
                held.firing.n,
                list(held.firing.inputs.items()),
                held.nested_id,
                asdict(held.start) if held.start else None,
                held.due.isoformat() if held.due else None,
                held.remind_at.isoformat() if held.remind_at else None,
            ]
            for held in self._held.values()
        ]

    def load(self, dumped: list[list[Any]]) -> None:
        """Go on from a state."""
        for node, n, pairs, nested_id, start, due, remind_at in dumped:
            firing = Firing(node, n, dict(pairs))
            nested = None if start is None else read_start(start)
            self._hold(_Held(firing, nested_id, nested, _moment(due), _moment(remind_at)))
        self._start_more()


def read_start(document: dict[str, Any]) -> ExecutionStart:
    """Return what a nested execution is started with from its JSON form."""
    converter = workflow.payload_converter()
    return converter.from_payload(converter.to_payload(document), ExecutionStart)


def _handle(held: _Held) -> workflow.ExternalWorkflowHandle[Any]:
    return workflow.get_external_workflow_handle(held.nested_id)


def _net_below(timeout_seconds: float | None) -> timedelta | None:
    """Return when Temporal ends what has not ended by itself."""
    return None if timeout_seconds is None else timedelta(seconds=timeout_seconds) + TIMEOUT_MARGIN


def _after(seconds: float | None) -> datetime | None:
    return None if seconds is None else workflow.now() + timedelta(seconds=seconds)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
