"""The OpenAPI document: for everybody that of the API, for its users with the calls of their published graphs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.dependencies import CallerDep, ResourcesDep
from app.api.json_response import JsonResponse
from app.api.policies import Scope
from app.api.route import ApiRoute, ReadingRoute
from app.api.routers.runs import Slug
from app.api.schemas.errors import responses
from app.errors import RateLimited
from app.tenants import work_for

JSON = "application/json"


class DocumentRoute(ReadingRoute):
    """A route for everybody, which shows more to those that say who they are."""

    async def let_in(self, request: Request) -> None:
        """Find out who calls, if they say so. What everybody sees is not counted, nor refused to who calls too often.

        Raises:
            Unauthenticated: They say so, and are nobody we know.
            Forbidden: They are suspended.
        """
        if {"authorization", "x-api-key"} & set(request.headers):
            try:
                await super().let_in(request)
            except RateLimited:
                request.state.caller = None

    async def admit(self, request: Request) -> None:
        """Find out who calls. Anybody may.

        Raises:
            Unauthenticated: Nobody we know.
            Forbidden: They are suspended.
            RateLimited: They call too often.
        """
        api = request.app.state.resources
        caller = await self.identify(request)
        request.state.caller = caller
        request.state.rate = await api.rate_limits.take_user(caller.user_id, is_start=False)
        work_for(caller.user_id)


open_router = APIRouter(route_class=DocumentRoute)
router = APIRouter(prefix="/run", tags=["publications"], route_class=ApiRoute)


@open_router.get("/openapi.json", include_in_schema=False)
async def get_document(request: Request, api: ResourcesDep) -> Response:
    """Return the OpenAPI document; for users who may call their published graphs, with these."""
    document = request.app.openapi()
    caller = getattr(request.state, "caller", None)
    if caller is None or (caller.scopes is not None and Scope.EXECUTIONS_RUN not in caller.scopes):
        return JsonResponse(document)
    text = await api.published.documents.describe_all(caller.user_id, document)
    return Response(text, media_type=JSON, headers={"Cache-Control": "private"})


@router.get("/{slug}/openapi.json", response_model=dict[str, Any], responses=responses(404))
async def get_document_of_graph(
    slug: Slug, request: Request, caller: CallerDep, api: ResourcesDep
) -> Response:
    """Return an OpenAPI document of nothing but the call of one published graph."""
    text = await api.published.documents.describe(caller.user_id, slug, request.app.openapi())
    return Response(text, media_type=JSON)
