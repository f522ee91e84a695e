"""The user that a token speaks for."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.dependencies import CallerDep, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.users import UserView

router = APIRouter(prefix="/user", tags=["user"], route_class=ApiRoute)


@router.get("", responses=responses())
async def get_user(caller: CallerDep, api: ResourcesDep) -> UserView:
    """Return who you are here."""
    return UserView.model_validate(await api.users.require(caller.user_id))
