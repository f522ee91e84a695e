"""Graphs: saved as immutable versions, one of them active."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.agent_files import ImportView
from app.api.schemas.errors import responses
from app.api.schemas.graphs import ActiveVersionBody, GraphBody, GraphView, ValidationView
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id, Number
from app.api.schemas.planning import AnalysisView, EstimateBody, EstimateView
from app.models.graphs import SavedGraph
from app.models.page import DEFAULT_LIMIT, Page

router = APIRouter(prefix="/graphs", tags=["graphs"], route_class=ApiRoute)


@router.post("", status_code=201, responses=responses(400, 413))
async def create_graph(body: GraphBody, caller: CallerDep, api: ResourcesDep) -> GraphView:
    """Save a new graph. It becomes version 1 and active."""
    return await _view(await api.graphs.create(caller.user_id, body), api)


@router.get("", responses=responses())
async def list_graphs(
    caller: CallerDep, api: ResourcesDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> PageView[GraphView]:
    """List your graphs in their active versions, newest graph first. Pages of large graphs may be shorter."""
    page = await api.graphs.list(caller.user_id, cursor=cursor, limit=limit)
    return await _view_page(page, caller, api)


@router.post("/validate", responses=responses(413))
async def validate_graph(body: GraphBody, caller: CallerDep, api: ResourcesDep) -> ValidationView:
    """Say what is wrong with a graph without saving it."""
    return await api.graphs.validate(caller.user_id, body)


@router.post("/import", status_code=201, responses=responses(400, 413))
async def import_agent(body: dict[str, Any], caller: CallerDep, api: ResourcesDep) -> ImportView:
    """Take in an exported agent file, unmodified: its graph and all that are nested in it become graphs of yours.

    The report says what was changed, which blocks are missing here, and which credentials an execution needs.
    """
    imported = await api.agent_files.take_in(caller.user_id, body)
    return ImportView.of(await _view(imported.saved, api), imported.report)


@router.get("/{graph_id}/export", responses=responses(404, 413))
async def export_agent(
    graph_id: Id,
    caller: CallerDep,
    api: ResourcesDep,
    version: Annotated[Number | None, Query(description="The active version when left out.")] = None,
) -> dict[str, Any]:
    """Return a graph, with all that is nested in it, as an agent file. Secrets stay here."""
    return await api.agent_files.give_out(caller.user_id, graph_id, version=version)


@router.get("/{graph_id}/analysis", responses=responses(404))
async def analyze_graph(
    graph_id: Id,
    caller: CallerDep,
    api: ResourcesDep,
    version: Annotated[Number | None, Query(description="The active version when left out.")] = None,
) -> AnalysisView:
    """Say what a graph's shape means for how it runs: depth, batches, loops, bottlenecks, and what could be better."""
    return AnalysisView.of(await api.planning.analyze(caller.user_id, graph_id, version=version))


@router.post("/{graph_id}/estimate", responses=responses(400, 404, 413))
async def estimate_graph(
    graph_id: Id, body: EstimateBody, caller: CallerDep, api: ResourcesDep
) -> EstimateView:
    """Say what one execution is expected to cost, and how long to take. Nothing is executed.

    It goes by earlier executions of the version where there are any. What is nested in it is included.
    """
    return EstimateView.of(
        await api.planning.estimate(
            caller.user_id,
            graph_id,
            version=body.version,
            inputs=body.inputs,
            credentials=body.credentials_inputs,
        )
    )


@router.get("/{graph_id}", responses=responses(404))
async def get_graph(
    graph_id: Id,
    caller: CallerDep,
    api: ResourcesDep,
    version: Annotated[Number | None, Query(description="The active version when left out.")] = None,
) -> GraphView:
    """Return one version of a graph."""
    return await _view(await api.graphs.require(caller.user_id, graph_id, version=version), api)


@router.put("/{graph_id}", responses=responses(400, 404, 413))
async def update_graph(graph_id: Id, body: GraphBody, caller: CallerDep, api: ResourcesDep) -> GraphView:
    """Save a new version of a graph. It becomes active; earlier versions stay as they are."""
    return await _view(await api.graphs.change(caller.user_id, graph_id, body), api)


@router.delete("/{graph_id}", status_code=204, responses=responses(404))
async def delete_graph(graph_id: Id, caller: CallerDep, api: ResourcesDep) -> Response:
    """Delete a graph. Its executions stay readable, and those that run go on.

    Graphs that nest it go on executing it; no graph that is saved from now on may name it.
    """
    await api.graphs.delete(caller.user_id, graph_id)
    return Response(status_code=204)


@router.get("/{graph_id}/versions", responses=responses(404))
async def list_versions(
    graph_id: Id, caller: CallerDep, api: ResourcesDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> PageView[GraphView]:
    """List the versions of a graph, newest first. Pages of large graphs may be shorter."""
    page = await api.graphs.list_versions(caller.user_id, graph_id, cursor=cursor, limit=limit)
    return await _view_page(page, caller, api)


@router.put("/{graph_id}/versions/active", responses=responses(400, 404))
async def set_active_version(
    graph_id: Id, body: ActiveVersionBody, caller: CallerDep, api: ResourcesDep
) -> GraphView:
    """Make a version the one that runs by default."""
    return await _view(await api.graphs.activate(caller.user_id, graph_id, body.active_graph_version), api)


async def _view(saved: SavedGraph, api: ResourcesDep) -> GraphView:
    nested = await api.graphs.list_nested(saved.graph.user_id, [saved])
    return GraphView.of(saved, nested[0])


async def _view_page(page: Page[SavedGraph], caller: CallerDep, api: ResourcesDep) -> PageView[GraphView]:
    nested = await api.graphs.list_nested(caller.user_id, page.items)
    items = [GraphView.of(*each) for each in zip(page.items, nested, strict=True)]
    return PageView(items=items, next_cursor=page.next_cursor)
