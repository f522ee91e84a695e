"""Language models: what blocks can ask."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.dependencies import CallerDep, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.models import ModelsView

router = APIRouter(prefix="/models", tags=["blocks"], route_class=ApiRoute)


@router.get("", responses=responses())
async def list_models(caller: CallerDep, api: ResourcesDep) -> ModelsView:
    """List the language models by provider, with what a call costs and whether the provider is configured here."""
    return ModelsView.of(api.models)
