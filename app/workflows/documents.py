"""Documents too large for one payload: fetched in parts, so that no workflow task becomes too large."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow

from app.workflows.options import HELPER

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.engine import EngineActivities, PartRequest
    from app.activities.contracts.execution import ExecutionRef, StoredState
    from app.graph.envelope import Envelope
    from app.graph.packing import unpack

PARTS_A_TASK = 2


async def fetch(execution: ExecutionRef, stored: StoredState) -> Any:
    """Return a stored document."""
    return await _fetch(execution, stored.envelope, stored.parts)


async def fetch_plan(execution: ExecutionRef, parts: int) -> Any:
    """Return the plan of an execution."""
    return await _fetch(execution, None, parts)


async def _fetch(execution: ExecutionRef, document: Envelope | None, count: int) -> Any:
    parts = []
    for number in range(count):
        parts.append(
            await workflow.execute_local_activity_method(
                EngineActivities.fetch_part,
                PartRequest(execution, document, number),
                summary="fetch",
                **HELPER,
            )
        )
        if number % PARTS_A_TASK == PARTS_A_TASK - 1:
            await end_task()
    return unpack(parts)


async def end_task() -> None:
    """End the workflow task, so that its commands are sent and waiting messages come in."""
    await workflow.sleep(timedelta(milliseconds=1), summary="next workflow task")
