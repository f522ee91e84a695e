"""Schedules: graphs that are executed by themselves."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id
from app.api.schemas.schedule_views import BackfillView, ScheduleView
from app.api.schemas.schedules import BackfillBody, NoteBody, ScheduleBody, TriggerBody
from app.models.page import DEFAULT_LIMIT
from app.models.tables.schedules import Schedule

router = APIRouter(tags=["schedules"], route_class=ApiRoute)


@router.post("/graphs/{graph_id}/schedules", status_code=201, responses=responses(400, 404, 409, 413))
async def create_schedule(
    graph_id: Id, body: ScheduleBody, caller: CallerDep, api: ResourcesDep
) -> ScheduleView:
    """Have a graph executed again and again.

    Each fire is an execution with trigger `schedule`. One that cannot be started leaves an execution that has failed.
    """
    return await _view(await api.schedules.create(caller.user_id, graph_id, body), api)


@router.get("/graphs/{graph_id}/schedules", responses=responses(404))
async def list_schedules_of_graph(
    graph_id: Id, caller: CallerDep, api: ResourcesDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> PageView[ScheduleView]:
    """List the schedules of a graph, newest first."""
    page = await api.schedules.showing.list(caller.user_id, graph_id=graph_id, cursor=cursor, limit=limit)
    return PageView(items=page.items, next_cursor=page.next_cursor)


@router.get("/schedules", responses=responses())
async def list_schedules(
    caller: CallerDep, api: ResourcesDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> PageView[ScheduleView]:
    """List your schedules, newest first. Each says when it fires next, and how the last executions went."""
    page = await api.schedules.showing.list(caller.user_id, cursor=cursor, limit=limit)
    return PageView(items=page.items, next_cursor=page.next_cursor)


@router.get("/schedules/{schedule_id}", responses=responses(404))
async def get_schedule(schedule_id: Id, caller: CallerDep, api: ResourcesDep) -> ScheduleView:
    """Return a schedule: when it fires next, what it has started last, whether it is paused and why."""
    return await api.schedules.showing.get(caller.user_id, schedule_id)


@router.patch("/schedules/{schedule_id}", responses=responses(400, 404, 409, 413))
async def change_schedule(
    schedule_id: Id, body: ScheduleBody, caller: CallerDep, api: ResourcesDep
) -> ScheduleView:
    """Change a schedule. What is left out stays; inputs are replaced as a whole."""
    return await _view(await api.schedules.change(caller.user_id, schedule_id, body.list_given()), api)


@router.delete("/schedules/{schedule_id}", status_code=204, responses=responses(404))
async def delete_schedule(schedule_id: Id, caller: CallerDep, api: ResourcesDep) -> Response:
    """Delete a schedule. What it has started goes on."""
    await api.schedules.delete(caller.user_id, schedule_id)
    return Response(status_code=204)


@router.post("/schedules/{schedule_id}/pause", responses=responses(404, 413))
async def pause_schedule(
    schedule_id: Id, caller: CallerDep, api: ResourcesDep, body: NoteBody | None = None
) -> ScheduleView:
    """Let a schedule fire no more for the time being. What it has started goes on."""
    given = {"paused": True, "note": body.note if body else ""}
    return await _view(await api.schedules.change(caller.user_id, schedule_id, given), api)


@router.post("/schedules/{schedule_id}/resume", responses=responses(404, 413))
async def resume_schedule(
    schedule_id: Id, caller: CallerDep, api: ResourcesDep, body: NoteBody | None = None
) -> ScheduleView:
    """Let a schedule fire again. What it has missed is not made up for."""
    given = {"paused": False, "note": body.note if body else ""}
    return await _view(await api.schedules.change(caller.user_id, schedule_id, given), api)


@router.post("/schedules/{schedule_id}/trigger", responses=responses(404, 409, 413))
async def trigger_schedule(
    schedule_id: Id, caller: CallerDep, api: ResourcesDep, body: TriggerBody | None = None
) -> ScheduleView:
    """Have a schedule fire now, also if it is paused.

    The execution is listed a moment later, under `GET /executions?trigger_id=`. While an earlier one goes on, the
    overlap decides whether there is one: that of the schedule, or the one given here.
    """
    overlap = body.overlap if body else None
    return await _view(await api.schedules.firing.trigger(caller.user_id, schedule_id, overlap=overlap), api)


@router.post("/schedules/{schedule_id}/backfill", responses=responses(404, 413))
async def backfill_schedule(
    schedule_id: Id, body: BackfillBody, caller: CallerDep, api: ResourcesDep
) -> BackfillView:
    """Have a schedule fire as often as it would have in a time that has passed: 1,000 times at most.

    Asking twice executes twice, unless it is done under the same `Idempotency-Key`.
    """
    fires = await api.schedules.firing.backfill(
        caller.user_id,
        schedule_id,
        start_at=body.start_at,
        end_at=body.end_at,
        overlap=body.overlap,
    )
    return BackfillView(schedule_id=schedule_id, fires=fires)


async def _view(row: Schedule, api: ResourcesDep) -> ScheduleView:
    return await api.schedules.showing.show(row)
