"""Executions: started, watched, steered."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response

from app.api.dependencies import CallerDep, Cursor, IdempotencyKey, Limit, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.executions import ExecuteBody, ExecutionView, NodeExecutionView, ResultsView
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id, Number
from app.api.schemas.stopping import BulkStopBody, BulkStopView
from app.api.services.records import require_ended
from app.api.services.starting import StartRequest
from app.graph.status import Status
from app.models.executions import ExecutionFilter
from app.models.page import DEFAULT_LIMIT
from app.starting.deciding import Wanted

router = APIRouter(tags=["executions"], route_class=ApiRoute)

MAX_WAIT_SECONDS = 300.0
API_TRIGGER = "api"

Wait = Annotated[
    float, Query(ge=0, description="Answer when it has ended, or after these seconds (300 at most).")
]

Refs = Annotated[
    bool,
    Query(
        description='Large values as `{"$ref": sha256, "size": bytes}`, to be had from '
        "`/executions/{execution_id}/values/{sha256}`."
    ),
]
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The hash in a reference.")]


@router.post("/graphs/{graph_id}/execute", responses=responses(400, 402, 404, 413))
async def execute_graph(
    graph_id: Id,
    body: ExecuteBody,
    caller: CallerDep,
    api: ResourcesDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = 0.0,
) -> ExecutionView:
    """Start an execution of the graph's active version.

    Repeating the request with the same `Idempotency-Key` answers with the first execution and the header
    `Idempotent-Replayed: true`; another request under that key is refused.
    """
    request = make_request(caller.user_id, graph_id, None, body, idempotency_key)
    return await execute(request, api, response, wait)


@router.post("/graphs/{graph_id}/execute/{version}", responses=responses(400, 402, 404, 413))
async def execute_version(
    graph_id: Id,
    version: Annotated[Number, Path()],
    body: ExecuteBody,
    caller: CallerDep,
    api: ResourcesDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = 0.0,
) -> ExecutionView:
    """Start an execution of a version of a graph."""
    request = make_request(caller.user_id, graph_id, version, body, idempotency_key)
    return await execute(request, api, response, wait)


async def _read_filter(
    graph_id: Annotated[Id | None, Query()] = None,
    status: Annotated[Status | None, Query()] = None,
    trigger: Annotated[str | None, Query(max_length=40)] = None,
    trigger_id: Annotated[Id | None, Query(description="A schedule or webhook.")] = None,
    parent_id: Annotated[Id | None, Query()] = None,
) -> ExecutionFilter:
    return ExecutionFilter(graph_id, status, trigger, trigger_id, parent_id)


@router.get("/executions", responses=responses())
async def list_executions(
    caller: CallerDep,
    api: ResourcesDep,
    wanted: Annotated[ExecutionFilter, Depends(_read_filter)],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    refs: Refs = False,
) -> PageView[ExecutionView]:
    """List your executions, newest first. Pages of executions with large values may be shorter.

    Nested executions are listed with `trigger=subgraph`, or with the `parent_id` of the one that they are nested in.
    """
    page = await api.views.view_list(caller.user_id, wanted, cursor=cursor, limit=limit, refs=refs)
    return PageView(items=page.items, next_cursor=page.next_cursor)


@router.get("/executions/{execution_id}", responses=responses(404, 413))
async def get_execution(
    execution_id: Id, caller: CallerDep, api: ResourcesDep, refs: Refs = False
) -> ExecutionView:
    """Return one execution. With more than 32 MiB of large values it is to be had with `refs` only."""
    return await api.views.view(await api.records.require(caller.user_id, execution_id), refs=refs)


@router.get("/executions/{execution_id}/values/{sha256}", responses=responses(404))
async def get_value(execution_id: Id, sha256: Sha256, caller: CallerDep, api: ResourcesDep) -> Response:
    """Return a large value that the execution refers to, as JSON. See the parameter `refs` of the calls around."""
    owner = (await api.records.read(caller.user_id, execution_id)).user_id
    return Response(await api.values.require_text(owner, execution_id, sha256), media_type="application/json")


@router.delete("/executions/{execution_id}", status_code=204, responses=responses(404, 409))
async def delete_execution(execution_id: Id, caller: CallerDep, api: ResourcesDep) -> Response:
    """Delete the record of an execution that has ended."""
    await api.control.delete(caller.user_id, execution_id)
    return Response(status_code=204)


@router.get("/executions/{execution_id}/results", responses=responses(404, 409, 413))
async def get_results(
    execution_id: Id, caller: CallerDep, api: ResourcesDep, refs: Refs = False
) -> ResultsView:
    """Return how an execution ended. While it is running there is nothing to return.

    With more than 32 MiB of large outputs it is to be had with `refs` only.
    """
    execution = await api.records.require(caller.user_id, execution_id)
    return await api.views.view_results(require_ended(execution), refs=refs)


@router.get("/executions/{execution_id}/nodes", responses=responses(404))
async def list_node_executions(
    execution_id: Id,
    caller: CallerDep,
    api: ResourcesDep,
    node_id: Annotated[str | None, Query(max_length=500)] = None,
    status: Annotated[Status | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    refs: Refs = False,
) -> PageView[NodeExecutionView]:
    """List the node executions of an execution in the order in which something last happened to them.

    Pages with large values may be shorter.
    """
    owner = (await api.records.require(caller.user_id, execution_id)).user_id
    page = await api.views.view_nodes(
        owner, execution_id, node_id=node_id, status=status, cursor=cursor, limit=limit, refs=refs
    )
    return PageView(items=page.items, next_cursor=page.next_cursor)


@router.post("/graphs/{graph_id}/executions/{execution_id}/stop", responses=responses(404))
async def stop_execution_of_graph(
    graph_id: Id, execution_id: Id, caller: CallerDep, api: ResourcesDep
) -> ExecutionView:
    """Stop an execution. One that has ended stays as it is."""
    return await api.views.view_done(await api.control.stop(caller.user_id, execution_id, graph_id=graph_id))


@router.post("/executions/stop", responses=responses())
async def stop_executions(body: BulkStopBody, caller: CallerDep, api: ResourcesDep) -> BulkStopView:
    """Stop every open execution of yours that all given fields name.

    Executions that do not end in time are ended without their blocks. The answer comes after some twenty seconds at
    the latest, however many there are; repeat the call while `failed` is not 0. Repeating does no harm.
    """
    done = await api.bulk_stopping.stop(
        caller.user_id, ids=body.ids, graph_id=body.graph_id, status=body.status
    )
    return BulkStopView(**asdict(done), failed=done.matched - done.requested)


@router.post("/executions/{execution_id}/stop", responses=responses(404))
async def stop_execution(execution_id: Id, caller: CallerDep, api: ResourcesDep) -> ExecutionView:
    """Stop an execution. One that has ended stays as it is."""
    return await api.views.view_done(await api.control.stop(caller.user_id, execution_id))


@router.post("/executions/{execution_id}/pause", responses=responses(404, 409))
async def pause_execution(execution_id: Id, caller: CallerDep, api: ResourcesDep) -> ExecutionView:
    """Start no further node execution. Those that run go on to their end."""
    return await api.views.view_done(await api.control.pause(caller.user_id, execution_id))


@router.post("/executions/{execution_id}/resume", responses=responses(404, 409))
async def resume_execution(execution_id: Id, caller: CallerDep, api: ResourcesDep) -> ExecutionView:
    """Go on where the execution was paused."""
    return await api.views.view_done(await api.control.resume(caller.user_id, execution_id))


def make_request(
    owner: str, graph_id: UUID, version: int | None, body: ExecuteBody, idempotency_key: str | None
) -> StartRequest:
    """Return what a caller asks for who starts an execution by hand."""
    wanted = Wanted(owner=owner, graph_id=graph_id, version=version, trigger=API_TRIGGER, **body.model_dump())
    return StartRequest(wanted, idempotency_key)


async def execute(request: StartRequest, api: ResourcesDep, response: Response, wait: float) -> ExecutionView:
    """Start an execution and answer with it, at once or when it has ended.

    Args:
        request: What is asked for.
        api: What it is served from.
        response: Gets the header that tells of a replay.
        wait: How many seconds to wait for the end; 0 for none.
    """
    started = await api.starting.start(request)
    execution = started.execution
    if started.is_replayed:
        response.headers["Idempotent-Replayed"] = "true"
    if wait:
        execution = await api.waiting.until_ended(
            request.wanted.owner, execution.id, min(wait, MAX_WAIT_SECONDS)
        )
    return await api.views.view_done(execution)
