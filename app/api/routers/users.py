"""The user that a token speaks for."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.dependencies import CallerDep, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.users import UserBody, UserView

router = APIRouter(prefix="/user", tags=["user"], route_class=ApiRoute)


@router.get("", responses=responses())
async def get_user(caller: CallerDep, api: ResourcesDep) -> UserView:
    """Return who you are here."""
    return UserView.model_validate(await api.users.require(caller.user_id))


@router.put("", responses=responses(413))
async def change_user(body: UserBody, caller: CallerDep, api: ResourcesDep) -> UserView:
    """Change how you are called, your time zone, or what you like. E-mail and role are what your token says."""
    return UserView.model_validate(await api.users.change(caller.user_id, body))
