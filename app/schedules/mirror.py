"""Temporal's schedules: each is made of a record of ours, has its id, and says which revision of it it is of."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import client as temporal
from temporalio.client import Client, ScheduleAlreadyRunningError
from temporalio.service import RPCError, RPCStatusCode

from app.activities.contracts.scheduling import ScheduledFire
from app.models.tables.schedules import Schedule
from app.schedules.specs import REVISION, TRIGGER, make_attributes, make_schedule

RPC_TIMEOUT = timedelta(seconds=5)
PAGE_SIZE = 500
ITS_OWN_NOTE = "paused due to workflow"
"""How the note begins with which Temporal pauses a schedule. It holds ids of its own, and maybe sealed text."""

_TASK_QUEUE = "task_queue"


@dataclass(frozen=True, slots=True)
class Listed:
    """What Temporal's list shows of a schedule. It may lag behind for a moment."""

    id: uuid.UUID
    revision: int | None
    is_paused: bool
    note: str
    next_times: tuple[datetime, ...]
    """Some five."""


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


async def push(
    client: Client, row: Schedule, *, task_queue: str, changed: Collection[str] | None = None
) -> None:
    """Make Temporal's schedule what the record says, whether there is one or not.

    Args:
        client: Of Temporal.
        row: The record. What Temporal has changed by itself since, and nobody has now, is taken into it.
        task_queue: Where our workers wait.
        changed: Names of what is other than in the revision before; None for all, whatever Temporal has.

    Raises:
        RPCError: Temporal is away or refuses it.
    """

    async def update(found: temporal.ScheduleUpdateInput) -> temporal.ScheduleUpdate:
        before = found.description.schedule
        # Of another revision it may be by a change that was taken back.
        if changed is not None and (await _fire_of(client, before)).revision == row.revision - 1:
            _adopt(row, before.state, changed)
        return temporal.ScheduleUpdate(make_schedule(row, task_queue=task_queue), make_attributes(row))

    try:
        await client.get_schedule_handle(str(row.id)).update(update, rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        await create(client, row, task_queue=task_queue)


def _adopt(row: Schedule, state: temporal.ScheduleState, changed: Collection[str]) -> None:
    """Take into a record what Temporal has done by itself: it counts fires, and pauses what has failed."""
    if "remaining_actions" not in changed:
        row.remaining_actions = state.remaining_actions if state.limited_actions else None
    if "paused" not in changed:
        row.is_paused = state.paused
        if "note" not in changed:
            row.note = state.note or ""


async def create(client: Client, row: Schedule, *, task_queue: str) -> None:
    """Make Temporal's schedule of a record.

    Raises:
        RPCError: Temporal is away or refuses it.
    """
    schedule = make_schedule(row, task_queue=task_queue)
    is_spent = row.remaining_actions == 0
    if is_spent:
        # The client makes none without a fire left, but lets one come to that: until then it is paused.
        schedule.state.remaining_actions, schedule.state.paused = 1, True
    try:
        handle = await client.create_schedule(
            str(row.id),
            schedule,
            memo={_TASK_QUEUE: task_queue},
            search_attributes=make_attributes(row),
            rpc_timeout=RPC_TIMEOUT,
        )
    except ScheduleAlreadyRunningError:
        # The call was repeated, or somebody was quicker: the reconciler sees to it that it is of this revision.
        return
    if is_spent:
        spent = temporal.ScheduleUpdate(make_schedule(row, task_queue=task_queue))
        await handle.update(lambda _: spent, rpc_timeout=RPC_TIMEOUT)


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
    state, info = found.schedule.state, found.info
    return Described(
        revision=(await _fire_of(client, found.schedule)).revision,
        task_queue=_action_of(found.schedule).task_queue,
        is_paused=state.paused,
        note=state.note or "",
        remaining_actions=state.remaining_actions if state.limited_actions else None,
        next_times=tuple(info.next_action_times),
        missed=info.num_actions_missed_catchup_window,
        overlapped=info.num_actions_skipped_overlap + found.raw_description.info.buffer_dropped,
        created_at=info.created_at,
    )


async def list_all(client: Client, *, task_queue: str) -> AsyncIterator[Listed]:
    """Give all schedules that were made of records of ours. A namespace may hold those of other deployments.

    Raises:
        RPCError: Temporal is away.
    """
    async for entry in _list(client, f"`Trigger` = '{TRIGGER}'"):
        if await entry.memo_value(_TASK_QUEUE, None) == task_queue:
            yield _listed(entry)


async def find_listed(client: Client, schedule_ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Listed]:
    """Return what Temporal's list shows of some schedules, in one call.

    Raises:
        RPCError: Temporal is away.
    """
    if not schedule_ids:
        return {}
    ids = ", ".join(f"'{schedule_id}'" for schedule_id in schedule_ids)
    return {uuid.UUID(entry.id): _listed(entry) async for entry in _list(client, f"ScheduleId IN ({ids})")}


async def _list(client: Client, query: str) -> AsyncIterator[temporal.ScheduleListDescription]:
    async for entry in await client.list_schedules(query, page_size=PAGE_SIZE, rpc_timeout=RPC_TIMEOUT):
        yield entry


def _listed(entry: temporal.ScheduleListDescription) -> Listed:
    state = entry.schedule.state if entry.schedule else None
    return Listed(
        uuid.UUID(entry.id),
        entry.typed_search_attributes.get(REVISION),
        is_paused=bool(state and state.paused),
        note=(state.note if state else None) or "",
        next_times=tuple(entry.info.next_action_times if entry.info else ()),
    )


def _action_of(schedule: temporal.Schedule) -> temporal.ScheduleActionStartWorkflow:
    assert isinstance(schedule.action, temporal.ScheduleActionStartWorkflow)
    return schedule.action


async def _fire_of(client: Client, schedule: temporal.Schedule) -> ScheduledFire:
    args = list(_action_of(schedule).args)
    fire: ScheduledFire = (await client.data_converter.decode(args, [ScheduledFire]))[0]
    return fire
