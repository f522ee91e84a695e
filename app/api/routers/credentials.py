"""Credentials: how blocks are let in at services. Their secrets are taken and never given back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import ApiRoute, SecretRoute
from app.api.schemas.credentials import (
    CallbackBody,
    CredentialsBody,
    CredentialsChangeBody,
    CredentialsView,
    LoginView,
    ReencryptionView,
)
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id
from app.models.page import DEFAULT_LIMIT

router = APIRouter(prefix="/credentials", tags=["credentials"], route_class=SecretRoute)
admin_router = APIRouter(prefix="/admin/credentials", tags=["admin"], route_class=ApiRoute)


@router.post("", status_code=201, responses=responses(409, 413))
async def create_credentials(body: CredentialsBody, caller: CallerDep, api: ResourcesDep) -> CredentialsView:
    """Keep credentials. Their secret is encrypted, and no call gives it back."""
    return CredentialsView.of(await api.credentials.create(caller.user_id, body))


@router.get("", responses=responses())
async def list_credentials(
    caller: CallerDep,
    api: ResourcesDep,
    provider: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[CredentialsView]:
    """List your credentials without their secrets, newest first."""
    page = await api.credentials.list(caller.user_id, provider=provider, cursor=cursor, limit=limit)
    return PageView(items=[CredentialsView.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/{credentials_id}", responses=responses(404))
async def get_credentials(credentials_id: Id, caller: CallerDep, api: ResourcesDep) -> CredentialsView:
    """Return credentials without their secret."""
    return CredentialsView.of(await api.credentials.require(caller.user_id, credentials_id))


@router.patch("/{credentials_id}", responses=responses(404, 413))
async def change_credentials(
    credentials_id: Id, body: CredentialsChangeBody, caller: CallerDep, api: ResourcesDep
) -> CredentialsView:
    """Change the title, or replace the secret. What runs uses the new one from the next call of a block on."""
    return CredentialsView.of(await api.credentials.change(caller.user_id, credentials_id, body))


@router.delete("/{credentials_id}", status_code=204, responses=responses(404))
async def delete_credentials(credentials_id: Id, caller: CallerDep, api: ResourcesDep) -> Response:
    """Delete credentials. Nodes that come to need them from now on fail with `CREDENTIALS_MISSING`."""
    await api.credentials.delete(caller.user_id, credentials_id)
    return Response(status_code=204)


@router.get("/oauth/{provider}/login", responses=responses(404))
async def begin_login(
    provider: str,
    caller: CallerDep,
    api: ResourcesDep,
    scopes: Annotated[str, Query(max_length=2_000, description="What to ask for, separated by blanks.")] = "",
) -> LoginView:
    """Begin a login at a provider with OAuth2: send the user's browser to `login_url`."""
    login = api.oauth_logins.begin(caller.user_id, provider, scopes=scopes.split())
    return LoginView(login_url=login.url, state=login.state)


@router.post("/oauth/{provider}/callback", status_code=201, responses=responses(404, 409, 413))
async def end_login(
    provider: str, body: CallbackBody, caller: CallerDep, api: ResourcesDep
) -> CredentialsView:
    """End a login with what the browser came back with, and keep what the provider gives as credentials."""
    return CredentialsView.of(await api.oauth_logins.end(caller.user_id, provider, body))


@admin_router.post("/reencrypt", responses=responses(403))
async def reencrypt_credentials(_: CallerDep, api: ResourcesDep) -> ReencryptionView:
    """Encrypt the secrets of all users with the newest key. Afterwards older keys are not needed for them any more."""
    done, unreadable = await api.credentials.reencrypt()
    return ReencryptionView(reencrypted=done, unreadable=unreadable)
