"""Presets: inputs and credentials of graphs, kept under names and executed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.dependencies import CallerDep, Cursor, IdempotencyKey, Limit, ResourcesDep
from app.api.route import ApiRoute
from app.api.routers.executions import API_TRIGGER, Wait, execute
from app.api.schemas.errors import responses
from app.api.schemas.executions import ExecutionView, StartBody
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id
from app.api.schemas.presets import PresetBody, PresetChangeBody, PresetView
from app.api.services.starting import StartRequest
from app.models.page import DEFAULT_LIMIT
from app.starting.deciding import Wanted

router = APIRouter(prefix="/presets", tags=["presets"], route_class=ApiRoute)


@router.post("", status_code=201, responses=responses(400, 404, 409, 413))
async def create_preset(body: PresetBody, caller: CallerDep, api: ResourcesDep) -> PresetView:
    """Keep inputs and credentials of a graph under a name. What is given has to fit; the rest may be left open."""
    return await api.triggers.presets.create(caller.user_id, body)


@router.get("", responses=responses())
async def list_presets(
    caller: CallerDep,
    api: ResourcesDep,
    graph_id: Annotated[Id | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[PresetView]:
    """List your presets, newest first. Pages of large ones may be shorter."""
    page = await api.triggers.presets.view_list(caller.user_id, graph_id=graph_id, cursor=cursor, limit=limit)
    return PageView(items=page.items, next_cursor=page.next_cursor)


@router.get("/{preset_id}", responses=responses(404))
async def get_preset(preset_id: Id, caller: CallerDep, api: ResourcesDep) -> PresetView:
    """Return a preset."""
    return await api.triggers.presets.view(caller.user_id, preset_id)


@router.patch("/{preset_id}", responses=responses(400, 404, 409, 413))
async def change_preset(
    preset_id: Id, body: PresetChangeBody, caller: CallerDep, api: ResourcesDep
) -> PresetView:
    """Change a preset. Whatever starts executions with it uses what it holds then."""
    return await api.triggers.presets.change(caller.user_id, preset_id, body)


@router.delete("/{preset_id}", status_code=204, responses=responses(404, 409))
async def delete_preset(preset_id: Id, caller: CallerDep, api: ResourcesDep) -> Response:
    """Delete a preset. One that something else starts executions with stays: 409."""
    await api.triggers.presets.delete(caller.user_id, preset_id)
    return Response(status_code=204)


@router.post("/{preset_id}/execute", responses=responses(400, 402, 404, 413))
async def execute_preset(
    preset_id: Id,
    body: StartBody,
    caller: CallerDep,
    api: ResourcesDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = 0.0,
) -> ExecutionView:
    """Execute a preset's graph with what it holds. Inputs and credentials that are given here win.

    Repeating the request with the same `Idempotency-Key` answers with the first execution.
    """
    preset = await api.triggers.presets.require(caller.user_id, preset_id)
    wanted = Wanted(
        owner=caller.user_id,
        graph_id=preset.graph_id,
        preset_id=preset.id,
        trigger=API_TRIGGER,
        **body.model_dump(),
    )
    return await execute(StartRequest(wanted, idempotency_key), api, response, wait)
