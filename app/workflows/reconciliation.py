"""The workflow behind the reconciler: page by page it has open executions compared with Temporal.

Started by a Temporal schedule, so it needs no process of ours to remember it. Everything it does may be repeated.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TypedDict

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.reconciliation import (
        RECONCILIATION_WORKFLOW,
        AdoptRequest,
        Found,
        Patience,
        ReconciliationActivities,
        ReconciliationRequest,
        ScheduleReconciliation,
        SchedulesRequest,
        SweepRequest,
    )

PAGES_PER_RUN = 100
"""A page takes some six history events; a run ends long before its history is large."""
SCHEDULES_PATCH = "schedules"
"""A run that began before there were schedules ends as it began."""


class SweepOptions(TypedDict):
    """How the reconciler's activities are started."""

    start_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy


# While this goes on, the schedule starts no other; so what cannot be done now is left to the next one.
TRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=5), maximum_attempts=10
)


@workflow.defn(name=RECONCILIATION_WORKFLOW)
class ReconciliationWorkflow:
    """Goes once over everything that is open."""

    @workflow.run
    async def run(self, request: ReconciliationRequest) -> Found:
        """Compare all open executions with Temporal; return what was found."""
        found, after = request.found, request.after
        sweep = _sweep_options(request.patience)
        for _ in range(PAGES_PER_RUN):
            page = await workflow.execute_activity_method(
                ReconciliationActivities.reconcile_page, SweepRequest(request.patience, after), **sweep
            )
            found, after = found.plus(page.found), page.last
            if after is None:
                break
        else:
            workflow.continue_as_new(replace(request, after=after, found=found))
        adopted = await workflow.execute_activity_method(
            ReconciliationActivities.adopt_unrecorded, AdoptRequest(request.patience), **sweep
        )
        found = found.plus(adopted)
        if workflow.patched(SCHEDULES_PATCH):
            found = found.plus(
                await workflow.execute_activity_method(
                    ScheduleReconciliation.reconcile_schedules, SchedulesRequest(request.patience), **sweep
                )
            )
        collected = await workflow.execute_activity_method(ReconciliationActivities.collect, **sweep)
        return found.plus(collected)


def _sweep_options(patience: Patience) -> SweepOptions:
    return SweepOptions(
        start_to_close_timeout=timedelta(minutes=5),
        heartbeat_timeout=timedelta(seconds=patience.silent_seconds),
        retry_policy=TRIES,
    )
