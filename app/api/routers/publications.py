"""Publications: graphs that are called by names."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id
from app.api.schemas.publications import PublicationBody, PublicationView
from app.models.page import DEFAULT_LIMIT

router = APIRouter(tags=["publications"], route_class=ApiRoute)


@router.put("/graphs/{graph_id}/publication", responses=responses(400, 404, 409, 413))
async def publish_graph(
    graph_id: Id, body: PublicationBody, caller: CallerDep, api: ResourcesDep
) -> PublicationView:
    """Publish a graph under a name: from now on `POST /api/run/{slug}` calls it. Of a published graph, change how."""
    return await api.published.publications.publish(caller.user_id, graph_id, body)


@router.get("/graphs/{graph_id}/publication", responses=responses(404))
async def get_publication(graph_id: Id, caller: CallerDep, api: ResourcesDep) -> PublicationView:
    """Return how a graph is published."""
    return await api.published.publications.require(caller.user_id, graph_id)


@router.delete("/graphs/{graph_id}/publication", status_code=204, responses=responses(404))
async def withdraw_graph(graph_id: Id, caller: CallerDep, api: ResourcesDep) -> Response:
    """Let a graph no longer be called by its name. Executions go on."""
    await api.published.publications.withdraw(caller.user_id, graph_id)
    return Response(status_code=204)


@router.get("/publications", responses=responses())
async def list_publications(
    caller: CallerDep, api: ResourcesDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> PageView[PublicationView]:
    """List what you have published, by name."""
    page = await api.published.publications.list(caller.user_id, cursor=cursor, limit=limit)
    return PageView(items=page.items, next_cursor=page.next_cursor)
