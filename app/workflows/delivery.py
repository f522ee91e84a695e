"""The workflow that a delivery is: attempts and the pauses between them, for days if need be.

How long to wait and when to give up the activity says, so that both may change while deliveries are under way.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.deliveries import (
        DELIVERY_WORKFLOW,
        AttemptRequest,
        DeliveryActivities,
        DeliveryRequest,
    )

# Above all that an attempt takes, so that no second one is made beside it.
LONGEST_ATTEMPT = timedelta(minutes=2)
HEARTBEAT_TIMEOUT = timedelta(seconds=6)
AGAIN = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""When the attempt could not be made at all: the database is away, or the worker has died."""


@workflow.defn(name=DELIVERY_WORKFLOW)
class NotificationDeliveryWorkflow:
    """Delivers one notification."""

    @workflow.run
    async def run(self, request: DeliveryRequest) -> int:
        """Try until it is delivered or given up; return how many attempts have failed."""
        began = workflow.now()
        failures = put_off = 0
        while True:
            result = await workflow.execute_activity_method(
                DeliveryActivities.deliver,
                AttemptRequest(
                    request.delivery_id,
                    request.user_id,
                    failures,
                    put_off,
                    (workflow.now() - began).total_seconds(),
                ),
                start_to_close_timeout=LONGEST_ATTEMPT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=AGAIN,
            )
            if result.is_over:
                return failures
            failures, put_off = (failures + 1, 0) if result.is_attempt else (failures, put_off + 1)
            await workflow.sleep(result.wait_seconds)
