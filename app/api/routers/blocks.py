"""Blocks: what nodes can do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.dependencies import CallerDep, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.blocks import BlockView, TrialBody, TrialView
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.blocks.base import BlockCategory

router = APIRouter(prefix="/blocks", tags=["blocks"], route_class=ApiRoute)


@router.get("", responses=responses())
async def list_blocks(
    caller: CallerDep,
    api: ResourcesDep,
    category: Annotated[BlockCategory | None, Query()] = None,
    q: Annotated[str, Query(max_length=100, description="Words of the name or the description.")] = "",
) -> PageView[BlockView]:
    """List all blocks there are; the list is not cut into pages."""
    return PageView(items=api.catalogue.find(category=category, words=q), next_cursor=None)


@router.get("/{block_id}", responses=responses(404))
async def get_block(block_id: str, caller: CallerDep, api: ResourcesDep) -> BlockView:
    """Return a block by its UUID or its slug."""
    return BlockView.of(api.registry.require(block_id))


@router.post("/{block_id}/execute", responses=responses(400, 404, 413))
async def execute_block(block_id: str, body: TrialBody, caller: CallerDep, api: ResourcesDep) -> TrialView:
    """Call a block once, outside any graph. When it fails the error carries the block's own code."""
    block = api.registry.require(block_id)
    noting = api.idempotent_calls.note_done_at_once
    return await api.trials.run(caller.user_id, block, body.inputs, on_begin=noting)
