"""Executions of anyone, for administrators. Their owners see in the audit log who has looked."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.admin import AdminExecutionView, OverviewView, UserId
from app.api.schemas.errors import responses
from app.api.schemas.executions import EventView, ExecutionView, NodeExecutionView
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id, Number
from app.graph.status import Status
from app.models.oversight import OversightFilter
from app.models.page import DEFAULT_LIMIT

router = APIRouter(prefix="/admin", tags=["admin"], route_class=ApiRoute)

Refs = Annotated[bool, Query(description='Large values as `{"$ref": sha256, "size": bytes}`.')]


@router.get("/overview", responses=responses(403))
async def get_overview(caller: CallerDep, api: ResourcesDep) -> OverviewView:
    """Return how it stands with everybody: what is stuck, what fails, and whether the ledger adds up."""
    return OverviewView.model_validate(asdict(await api.oversight.look()))


@router.get("/executions", responses=responses(403, 404))
async def list_executions(
    caller: CallerDep,
    api: ResourcesDep,
    user_id: Annotated[UserId | None, Query()] = None,
    status: Annotated[Status | None, Query()] = None,
    graph_id: Annotated[Id | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[AdminExecutionView]:
    """List executions of anyone without their values, nested ones too, newest first."""
    wanted = OversightFilter(user_id, status, graph_id)
    page = await api.oversight.list(wanted, cursor=cursor, limit=limit)
    return PageView(
        items=[AdminExecutionView.model_validate(row) for row in page.items], next_cursor=page.next_cursor
    )


@router.get("/executions/{execution_id}", responses=responses(403, 404, 413))
async def get_execution(
    execution_id: Id, caller: CallerDep, api: ResourcesDep, refs: Refs = False
) -> ExecutionView:
    """Return an execution as its owner sees it. The owner is told in the audit log."""
    async with api.oversight.for_owner(execution_id) as owner:
        return await api.views.view(await api.records.require(owner, execution_id), refs=refs)


@router.get("/executions/{execution_id}/nodes", responses=responses(403, 404))
async def list_node_executions(
    execution_id: Id,
    caller: CallerDep,
    api: ResourcesDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    refs: Refs = False,
) -> PageView[NodeExecutionView]:
    """List the node executions of an execution as its owner sees them. The owner is told in the audit log."""
    async with api.oversight.for_owner(execution_id) as owner:
        page = await api.views.view_nodes(
            owner, execution_id, node_id=None, status=None, cursor=cursor, limit=limit, refs=refs
        )
    return PageView(items=page.items, next_cursor=page.next_cursor)


@router.get("/executions/{execution_id}/events", responses=responses(403, 404))
async def list_events(
    execution_id: Id,
    caller: CallerDep,
    api: ResourcesDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Annotated[Number, Query(description="`next_cursor` of the page before.")] = 0,
) -> PageView[EventView]:
    """List what happened in an execution, event by event. The owner is told in the audit log."""
    async with api.oversight.for_owner(execution_id) as owner:
        return await api.views.view_events(owner, execution_id, after=cursor, limit=limit)


@router.post("/executions/{execution_id}/stop", responses=responses(403, 404))
async def stop_execution(execution_id: Id, caller: CallerDep, api: ResourcesDep) -> AdminExecutionView:
    """Stop an execution. One that has ended stays as it is. The owner is told in the audit log."""
    return AdminExecutionView.model_validate(await api.oversight.stop(execution_id))


@router.post("/executions/{execution_id}/settle", responses=responses(403, 404))
async def settle_execution(execution_id: Id, caller: CallerDep, api: ResourcesDep) -> AdminExecutionView:
    """Do for one execution at once what the reconciler does for all: bring its record in line with Temporal.

    What Temporal has closed, or does not know, is closed; whatever waits for it is told; and what waits for credits
    goes on if it could be paid. What runs is left alone.
    """
    return AdminExecutionView.model_validate(await api.oversight.settle(execution_id))
