"""Does in the workflow's scheduler what a wave did in its own, and begins the waits that the wave has prepared."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from app.workflows.holds import Holds, read_start
from app.workflows.timers import Timers

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.waves import Step
    from app.graph.plan import Plan
    from app.graph.scheduler import Firing, Scheduler


def repeat(step: list[object], scheduler: Scheduler, plan: Plan, timers: Timers, holds: Holds) -> None:
    """Repeat one step of a wave.

    Raises:
        RuntimeError: There is no such step.
    """
    kind, node, n, *rest = step
    assert isinstance(node, int)
    assert isinstance(n, int)
    firing = scheduler.take(node, n)
    match kind, rest:
        case Step.ENDED, [list(emissions)]:
            scheduler.settle(node, n, emissions)
            timers.forget(node, n)
            holds.forget(node, n)
        case Step.FAILED, [list(emissions), str(code), str(message)]:
            scheduler.fail(node, n, emissions, code=code, message=message)
            timers.forget(node, n)
            holds.forget(node, n)
        case Step.RANG, [list(emissions)]:
            scheduler.emit(node, n, emissions)
        case Step.UNFOLDED, [list(emissions)]:
            scheduler.unfold(node, n, emissions)
        case Step.KEPT, []:
            holds.keep(node, n)
        case Step.TIMER_SET, [float() | int() as seconds, int(rounds)] if firing is not None:
            timers.start(firing, title=plan.nodes[node].title, seconds=seconds, rounds=rounds)
        case Step.REVIEW, [timeout_seconds, remind_seconds] if firing is not None:
            _ask(holds, firing, timeout_seconds, remind_seconds)
        case Step.NESTED, [str(execution_id), dict(start)] if firing is not None:
            holds.nest(firing, execution_id, read_start(start))
        case _:
            raise RuntimeError(f"A wave returned the step {step}")


def _ask(holds: Holds, firing: Firing, timeout_seconds: Any, remind_seconds: Any) -> None:
    holds.ask(firing, timeout_seconds=timeout_seconds, remind_seconds=remind_seconds)
