"""The workflow behind every fire of a schedule: has decided what is executed, and executes that to its end.

It lasts as long as the execution, so that what Temporal's schedule says of overlaps and of failures means the
execution. Should it be ended from outside, the execution is stopped.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import (
    ApplicationError,
    ApplicationErrorCategory,
    ChildWorkflowError,
    FailureError,
    is_cancelled_exception,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from app.workflows.options import HELPER, execution_options

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.execution import WORKFLOW_NAME, ErrorRecord, ExecutionStart
    from app.activities.contracts.scheduling import (
        SCHEDULED_START_WORKFLOW,
        FireDecision,
        FireRequest,
        ScheduledFire,
        SchedulingActivities,
        execution_id_of,
    )
    from app.fairness import make_priority


@workflow.defn(name=SCHEDULED_START_WORKFLOW)
class ScheduledStartWorkflow:
    """Executes a graph once."""

    @workflow.run
    async def run(self, fire: ScheduledFire) -> str:
        """Execute what the schedule says; return the execution's id, empty when the schedule is gone.

        Raises:
            ApplicationError: The execution failed, or could not be started; the type is the error's code.
        """
        # A fire has a run id of its own, also when somebody asks for the same moment again.
        execution_id = execution_id_of(fire.schedule_id, workflow.info().first_execution_run_id)
        decided = await workflow.execute_local_activity_method(
            SchedulingActivities.decide_fire,
            FireRequest(fire, execution_id),
            summary="decide what is executed",
            **HELPER,
        )
        if decided.refusal is not None:
            raise _failure(decided.refusal)
        if decided.start is None:
            return ""
        try:
            await self._execute(execution_id, decided.start, decided)
        except ChildWorkflowError as error:
            if workflow.cancellation_reason() is not None:
                raise
            # Somebody has stopped the execution: that is no failure of it.
            if not is_cancelled_exception(error):
                raise _failure(_reason(error)) from error
        return execution_id

    async def _execute(self, execution_id: str, start: ExecutionStart, decided: FireDecision) -> None:
        net = decided.net_seconds
        await workflow.execute_child_workflow(
            WORKFLOW_NAME,
            start,
            id=execution_id,
            parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
            cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            execution_timeout=None if net is None else timedelta(seconds=net),
            priority=make_priority(start.user_id, decided.priority),
            static_details=decided.details,
            **execution_options(start),
        )


def _reason(error: ChildWorkflowError) -> ErrorRecord:
    match error.cause:
        case ApplicationError() as cause:
            return ErrorRecord(cause.type or "FAILED", cause.message)
        case FailureError() as cause:
            return ErrorRecord("FAILED", cause.message)
        case _:
            return ErrorRecord("FAILED", "The execution failed")


def _failure(error: ErrorRecord) -> ApplicationError:
    # Nobody is to be woken for it: it is what the execution's record says, and what a user has asked for.
    return ApplicationError(
        error.message, type=error.code, non_retryable=True, category=ApplicationErrorCategory.BENIGN
    )
