"""What executions remember: looked at, and forgotten."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.memories import ForgottenView, MemoryView, MemoryWithValueView
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id
from app.models.memories import MAX_KEY_LENGTH
from app.models.page import DEFAULT_LIMIT

router = APIRouter(prefix="/memories", tags=["memories"], route_class=ApiRoute)

GraphId = Annotated[
    Id | None, Query(description="What this graph remembers; without it, what all graphs share.")
]
Key = Annotated[str, Query(max_length=MAX_KEY_LENGTH)]


@router.get("", responses=responses(404))
async def list_memories(
    caller: CallerDep,
    api: ResourcesDep,
    graph_id: GraphId = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[MemoryView]:
    """List the keys under which your executions remember something."""
    page = await api.memories.list(caller.user_id, graph_id, cursor=cursor, limit=limit)
    return PageView(
        items=[MemoryView.model_validate(item) for item in page.items], next_cursor=page.next_cursor
    )


@router.get("/value", responses=responses(404))
async def get_memory(
    caller: CallerDep, api: ResourcesDep, key: Key, graph_id: GraphId = None
) -> MemoryWithValueView:
    """Return what your executions remember under a key."""
    return MemoryWithValueView.of(await api.memories.require(caller.user_id, graph_id, key))


@router.delete("", responses=responses(404))
async def forget(
    caller: CallerDep, api: ResourcesDep, graph_id: GraphId = None, key: Key | None = None
) -> ForgottenView:
    """Forget what is remembered under a key, or all that a graph, or all graphs together, remember."""
    return ForgottenView(forgotten=await api.memories.delete(caller.user_id, graph_id, key=key))
