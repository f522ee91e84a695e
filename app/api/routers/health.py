"""Whether the API lives and can work. The only routes that are open to everybody."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from app.api.dependencies import ResourcesDep
from app.api.schemas.errors import ErrorView

router = APIRouter(prefix="/health", tags=["health"])

_DOWN: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorView, "description": "`details` names what is down."}
}


@router.get("/live")
async def get_liveness() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "ok"}


@router.get("/ready", responses=_DOWN)
async def get_readiness(api: ResourcesDep) -> dict[str, str]:
    """Say that Postgres and Temporal can be reached."""
    return {"status": "ok", **await api.health.check()}
