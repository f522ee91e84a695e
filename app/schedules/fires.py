"""Fires that somebody asks for: now, or for a time that has passed; and when a schedule fires by itself."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio import client as temporal
from temporalio.api.schedule.v1 import SchedulePatch, TriggerImmediatelyRequest
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest, PatchScheduleRequest
from temporalio.client import Client

from app.schedules.mirror import RPC_TIMEOUT
from app.schedules.specs import OVERLAPS

MOST_FIRES = 1_000
"""Of a backfill: Temporal keeps as many waiting, and drops what is more."""
INCLUDED = timedelta(milliseconds=1)
"""What Temporal lists begins after the moment that it is told."""
SECOND = timedelta(seconds=1)
BURST = timedelta(seconds=10)
"""How long ago fires by hand are named after, so that as many at once have seconds without waiting for them."""


def make_fire_time(before: datetime | None) -> datetime:
    """Return the moment that names a fire by hand. If it is still to come, the fire has to wait for it.

    Temporal names what a schedule starts after a second, and drops what has the name of another that goes on. So each
    fire by hand has a second of its own; what fires by itself does so at second 0.

    Args:
        before: The moment of the last fire by hand.
    """
    moment = datetime.now(UTC).replace(microsecond=0) - BURST
    if before is not None:
        moment = max(moment, before.replace(microsecond=0) + SECOND)
    return moment if moment.second else moment + SECOND


async def trigger(client: Client, schedule_id: uuid.UUID, moment: datetime, *, overlap: str | None) -> None:
    """Have a schedule fire now.

    Args:
        client: Of Temporal.
        schedule_id: Which.
        moment: What the fire is named after.
        overlap: Instead of that of the schedule.

    Raises:
        RPCError: Temporal is away, or there is no such schedule.
    """
    fire = TriggerImmediatelyRequest(scheduled_time=_timestamp(moment))
    if overlap is not None:
        fire.overlap_policy = OVERLAPS[overlap].value  # type: ignore[assignment]  # the same numbers
    await client.workflow_service.patch_schedule(
        PatchScheduleRequest(
            namespace=client.namespace,
            schedule_id=str(schedule_id),
            patch=SchedulePatch(trigger_immediately=fire),
            identity=client.identity,
            # A call that is repeated on its way is one.
            request_id=str(uuid.uuid4()),
        ),
        retry=True,
        timeout=RPC_TIMEOUT,
    )


async def count_fires(client: Client, schedule_id: uuid.UUID, start_at: datetime, end_at: datetime) -> int:
    """Return how often a schedule fires from one moment to another. More than `MOST_FIRES` are not told apart.

    Raises:
        RPCError: Temporal is away, or there is no such schedule.
    """
    first = await list_fires(client, schedule_id, start_at, end_at)
    # Temporal lists a thousand and no more.
    if len(first) < MOST_FIRES or not await list_fires(client, schedule_id, first[-1] + SECOND, end_at):
        return len(first)
    return MOST_FIRES + 1


async def list_fires(
    client: Client, schedule_id: uuid.UUID, start_at: datetime, end_at: datetime
) -> list[datetime]:
    """Return when a schedule fires from one moment to another, both included: the first thousand times.

    Raises:
        RPCError: Temporal is away, or there is no such schedule.
    """
    request = ListScheduleMatchingTimesRequest(
        namespace=client.namespace,
        schedule_id=str(schedule_id),
        start_time=_timestamp(start_at - INCLUDED),
        end_time=_timestamp(end_at),
    )
    answer = await client.workflow_service.list_schedule_matching_times(request, timeout=RPC_TIMEOUT)
    return [moment.ToDatetime(UTC) for moment in answer.start_time]


async def backfill(
    client: Client, schedule_id: uuid.UUID, start_at: datetime, end_at: datetime, *, overlap: str
) -> None:
    """Have a schedule fire as often as it does from one moment to another.

    Raises:
        RPCError: Temporal is away, or there is no such schedule.
    """
    span = temporal.ScheduleBackfill(start_at - INCLUDED, end_at, overlap=OVERLAPS[overlap])
    await client.get_schedule_handle(str(schedule_id)).backfill(span, rpc_timeout=RPC_TIMEOUT)


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
