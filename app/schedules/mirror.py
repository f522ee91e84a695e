"""Temporal's schedules: each is made of a record of ours, has its id, and says which revision of it it is of."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio import client as temporal
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import Client, ScheduleAlreadyRunningError
from temporalio.service import RPCError, RPCStatusCode

from app.activities.contracts.scheduling import ScheduledFire
from app.models.tables.schedules import Schedule
from app.schedules.specs import OVERLAPS, REVISION, TRIGGER, make_attributes, make_schedule

RPC_TIMEOUT = timedelta(seconds=5)
PAGE_SIZE = 500
MOST_FIRES = 1_000
"""Of a backfill: Temporal keeps as many waiting, and drops what is more."""
ITS_OWN_NOTE = "paused due to workflow"
"""How the note begins with which Temporal pauses a schedule. It holds ids of its own, and maybe sealed text."""
INCLUDED = timedelta(milliseconds=1)
"""What Temporal lists begins after the moment that it is told."""

_TASK_QUEUE = "task_queue"


@dataclass(frozen=True, slots=True)
class Listed:
    """What Temporal's list shows of a schedule. It may lag behind for a moment."""

    id: uuid.UUID
    revision: int | None
    is_paused: bool
    note: str


@dataclass(frozen=True, slots=True)
class Described:
    """What Temporal knows of a schedule."""

    revision: int
    task_queue: str
    is_paused: bool
    note: str
    remaining_actions: int | None
    """Fires until it rests; None for any number."""
    next_times: tuple[datetime, ...]
    missed: int
    """Fires that were left out because nothing ran at their time, nor in the catch-up window after it."""
    overlapped: int
    """Fires that were left out because of an earlier one that went on."""
    created_at: datetime


async def push(client: Client, row: Schedule, *, task_queue: str, counts_anew: bool = False) -> None:
    """Make Temporal's schedule what the record says, whether there is one or not.

    Args:
        client: Of Temporal.
        row: The record.
        task_queue: Where our workers wait.
        counts_anew: Whether the number of remaining fires is that of the record; else Temporal goes on counting.

    Raises:
        RPCError: Temporal is away or refuses it.
    """
    schedule, attributes = make_schedule(row, task_queue=task_queue), make_attributes(row)

    def update(found: temporal.ScheduleUpdateInput) -> temporal.ScheduleUpdate:
        state = found.description.schedule.state
        if not counts_anew:
            schedule.state.limited_actions = state.limited_actions
            schedule.state.remaining_actions = state.remaining_actions
        return temporal.ScheduleUpdate(schedule, attributes)

    handle = client.get_schedule_handle(str(row.id))
    try:
        await handle.update(update, rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        await create(client, row, task_queue=task_queue)


async def create(client: Client, row: Schedule, *, task_queue: str) -> None:
    """Make Temporal's schedule of a record.

    Raises:
        RPCError: Temporal is away or refuses it.
    """
    try:
        await client.create_schedule(
            str(row.id),
            make_schedule(row, task_queue=task_queue),
            memo={_TASK_QUEUE: task_queue},
            search_attributes=make_attributes(row),
            rpc_timeout=RPC_TIMEOUT,
        )
    except ScheduleAlreadyRunningError:
        # The call was repeated, or somebody was quicker: the reconciler sees to it that it is of this revision.
        return


async def remove(client: Client, schedule_id: uuid.UUID) -> None:
    """Delete Temporal's schedule, if there is one. What it has started goes on.

    Raises:
        RPCError: Temporal is away.
    """
    try:
        await client.get_schedule_handle(str(schedule_id)).delete(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


async def trigger(client: Client, schedule_id: uuid.UUID, *, overlap: str | None) -> None:
    """Have a schedule fire now.

    Raises:
        RPCError: Temporal is away, or there is no such schedule.
    """
    handle = client.get_schedule_handle(str(schedule_id))
    await handle.trigger(overlap=None if overlap is None else OVERLAPS[overlap], rpc_timeout=RPC_TIMEOUT)


async def count_fires(client: Client, schedule_id: uuid.UUID, start_at: datetime, end_at: datetime) -> int:
    """Return how often a schedule fires from one moment to another. More than `MOST_FIRES` are not told apart.

    Raises:
        RPCError: Temporal is away, or there is no such schedule.
    """
    first = await list_fires(client, schedule_id, start_at, end_at)
    # Temporal lists a thousand and no more.
    if len(first) < MOST_FIRES or not await list_fires(
        client, schedule_id, first[-1] + timedelta(seconds=1), end_at
    ):
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


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


async def backfill(
    client: Client, schedule_id: uuid.UUID, start_at: datetime, end_at: datetime, *, overlap: str
) -> None:
    """Have a schedule fire as often as it does from one moment to another.

    Raises:
        RPCError: Temporal is away, or there is no such schedule.
    """
    span = temporal.ScheduleBackfill(start_at - INCLUDED, end_at, overlap=OVERLAPS[overlap])
    await client.get_schedule_handle(str(schedule_id)).backfill(span, rpc_timeout=RPC_TIMEOUT)


async def describe(client: Client, schedule_id: uuid.UUID) -> Described | None:
    """Return what Temporal knows of a schedule; None when it knows none.

    Raises:
        RPCError: Temporal is away.
    """
    try:
        found = await client.get_schedule_handle(str(schedule_id)).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    action, state, info = found.schedule.action, found.schedule.state, found.info
    assert isinstance(action, temporal.ScheduleActionStartWorkflow)
    fire: ScheduledFire = (await client.data_converter.decode(list(action.args), [ScheduledFire]))[0]
    return Described(
        revision=fire.revision,
        task_queue=action.task_queue,
        is_paused=state.paused,
        note=state.note or "",
        remaining_actions=state.remaining_actions if state.limited_actions else None,
        next_times=tuple(info.next_action_times),
        missed=info.num_actions_missed_catchup_window,
        overlapped=info.num_actions_skipped_overlap,
        created_at=info.created_at,
    )


async def list_all(client: Client, *, task_queue: str) -> AsyncIterator[Listed]:
    """Give all schedules that were made of records of ours. A namespace may hold those of other deployments.

    Raises:
        RPCError: Temporal is away.
    """
    found = await client.list_schedules(
        f"`Trigger` = '{TRIGGER}'", page_size=PAGE_SIZE, rpc_timeout=RPC_TIMEOUT
    )
    async for entry in found:
        if await entry.memo_value(_TASK_QUEUE, None) != task_queue:
            continue
        state = entry.schedule.state if entry.schedule else None
        yield Listed(
            uuid.UUID(entry.id),
            entry.typed_search_attributes.get(REVISION),
            is_paused=bool(state and state.paused),
            note=(state.note if state else None) or "",
        )
