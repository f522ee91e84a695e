"""Reruns: executions that take over what another one has done."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Response

from app.api.dependencies import CallerDep, IdempotencyKey, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.executions import ExecutionView
from app.api.schemas.paths import Id
from app.api.schemas.reruns import (
    BulkRerunBody,
    BulkRerunView,
    NodeCountView,
    RefusedView,
    RerunBody,
    RerunPreviewView,
)
from app.api.services.rerunning import RerunRequest

router = APIRouter(tags=["executions"], route_class=ApiRoute)


@router.post("/executions/rerun", responses=responses(413))
async def rerun_executions(
    body: BulkRerunBody,
    caller: CallerDep,
    api: ResourcesDep,
    idempotency_key: IdempotencyKey = None,
) -> BulkRerunView:
    """Run many ended executions again, each from what failed, at most 1,000 in one call.

    Repeating the request with the same `Idempotency-Key` starts only what the first one had not come to.
    """
    done = await api.bulk_rerunning.rerun(caller.user_id, body, idempotency_key)
    refused = [RefusedView(id=one.id, code=one.code, message=one.message) for one in done.refused]
    return BulkRerunView(
        matched=done.matched, started=done.started, refused=refused, next_cursor=done.next_cursor
    )


@router.post("/executions/{execution_id}/rerun", responses=responses(400, 402, 404, 409, 413))
async def rerun_execution(
    execution_id: Id,
    body: RerunBody,
    caller: CallerDep,
    api: ResourcesDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionView | RerunPreviewView:
    """Run an ended execution again as a new one, which takes over what need not be executed again.

    Without `from_nodes` it goes on from what failed or was left undone. What would do something in the world a second
    time needs `confirm`; `dry_run` says what would be done and starts nothing.
    """
    request = RerunRequest(caller.user_id, execution_id, body, idempotency_key)
    if body.dry_run:
        preview = await api.rerunning.preview(request)
        return RerunPreviewView(
            reused=_counts(preview.reused),
            to_run=_counts(preview.to_run),
            unkeyed=_counts(preview.unkeyed),
            estimated_credits=preview.estimated_credits,
            missing_credentials=preview.missing_credentials,
        )
    started = await api.rerunning.rerun(request)
    if started.is_replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return await api.views.view_done(started.execution)


def _counts(counts: Mapping[str, int]) -> list[NodeCountView]:
    return [NodeCountView(node_id=node_id, count=count) for node_id, count in counts.items()]
