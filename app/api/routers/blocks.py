"""Blocks: what nodes can do."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from app.api.dependencies import CallerDep, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.blocks import BlockView, TrialBody, TrialView
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.blocks.base import BlockCategory
from app.models.page import MAX_LIMIT

router = APIRouter(prefix="/blocks", tags=["blocks"], route_class=ApiRoute)


@router.get(
    "",
    response_model=PageView[BlockView],
    responses={**responses(), 304: {"description": "Nothing has changed since the answer with that `ETag`."}},
)
async def list_blocks(
    caller: CallerDep,
    api: ResourcesDep,
    category: Annotated[BlockCategory | None, Query()] = None,
    q: Annotated[
        str,
        Query(
            max_length=100, description="Words of the name, the pins or the description; the best come first."
        ),
    ] = "",
    limit: Annotated[int | None, Query(ge=1, le=MAX_LIMIT, description="All of them unless said.")] = None,
    cursor: Annotated[str | None, Query()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """List the blocks, also those that are turned off here.

    The list changes with the server alone: ask again with `If-None-Match` and the `ETag` of the last answer.
    """
    # Beside the event loop: the first one to ask has all blocks described.
    found = await asyncio.to_thread(
        api.catalogue.find, category=category, words=q, limit=limit, cursor=cursor
    )
    # A copy may be kept, but is asked about before it is used.
    headers = {"ETag": found.tag, "Cache-Control": "private, no-cache"}
    if found.tag in (if_none_match or ""):
        return Response(status_code=304, headers=headers)
    return Response(found.text, media_type="application/json", headers=headers)


@router.get("/{block_id}", responses=responses(404))
async def get_block(block_id: str, caller: CallerDep, api: ResourcesDep) -> BlockView:
    """Return a block by its UUID, its slug or its class name."""
    return BlockView.of(api.registry.require(block_id))


@router.post("/{block_id}/execute", responses=responses(400, 402, 403, 404, 413))
async def execute_block(block_id: str, body: TrialBody, caller: CallerDep, api: ResourcesDep) -> TrialView:
    """Call a block once, outside any graph.

    It costs what it would in a graph; one that fails costs nothing. When it fails the error carries the block's own
    code; `details.fields` says which inputs do not fit, and why. A call that cannot be paid, or that no worker takes,
    may be repeated under the same `Idempotency-Key`: the block was not called.
    """
    block = api.registry.require_enabled(block_id)
    calls = api.idempotent_calls
    return await api.trials.run(
        caller.user_id,
        block,
        body.inputs,
        on_begin=calls.note_done_at_once,
        on_refusal=calls.note_nothing_done,
    )
