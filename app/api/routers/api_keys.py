"""API keys: what programs of yours authenticate with."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import OneTimeRoute
from app.api.schemas.api_keys import ApiKeyBody, ApiKeyChangeBody, ApiKeyView, NewApiKeyView
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id
from app.models.page import DEFAULT_LIMIT

router = APIRouter(prefix="/user/api-keys", tags=["api keys"], route_class=OneTimeRoute)


@router.post("", status_code=201, responses=responses(403, 409, 413))
async def create_api_key(body: ApiKeyBody, caller: CallerDep, api: ResourcesDep) -> NewApiKeyView:
    """Make an API key. The answer shows it this once; nothing keeps it.

    A key that makes another one cannot give it more than it has: scopes, time, addresses.
    """
    return NewApiKeyView.made(*await api.api_keys.create(caller, body))


@router.get("", responses=responses())
async def list_api_keys(
    caller: CallerDep, api: ResourcesDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> PageView[ApiKeyView]:
    """List your API keys without their secrets, newest first. Those that were revoked are gone."""
    page = await api.api_keys.list(caller.user_id, cursor=cursor, limit=limit)
    return PageView(items=[ApiKeyView.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/{api_key_id}", responses=responses(404))
async def get_api_key(api_key_id: Id, caller: CallerDep, api: ResourcesDep) -> ApiKeyView:
    """Return an API key without its secret."""
    return ApiKeyView.of(await api.api_keys.require(caller.user_id, api_key_id))


@router.patch("/{api_key_id}", responses=responses(403, 404, 413))
async def change_api_key(
    api_key_id: Id, body: ApiKeyChangeBody, caller: CallerDep, api: ResourcesDep
) -> ApiKeyView:
    """Rename an API key, change what it may do, or suspend it. The very next call with it obeys."""
    return ApiKeyView.of(await api.api_keys.change(caller, api_key_id, body))


@router.post("/{api_key_id}/rotate", responses=responses(403, 404))
async def rotate_api_key(api_key_id: Id, caller: CallerDep, api: ResourcesDep) -> NewApiKeyView:
    """Give an API key another secret, shown this once. The old one is refused from now on."""
    return NewApiKeyView.made(*await api.api_keys.rotate(caller, api_key_id))


@router.delete("/{api_key_id}", status_code=204, responses=responses(404))
async def revoke_api_key(api_key_id: Id, caller: CallerDep, api: ResourcesDep) -> Response:
    """Revoke an API key, for ever: the very next call with it is refused."""
    await api.api_keys.revoke(caller.user_id, api_key_id)
    return Response(status_code=204)
