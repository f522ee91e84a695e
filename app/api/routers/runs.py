"""Published graphs, called like functions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Request, Response

from app.api.auth import Caller
from app.api.dependencies import CallerDep, IdempotencyKey, ResourcesDep
from app.api.errors import error_response, request_id_of
from app.api.live.open_streams import EVENT_STREAM, EventStream
from app.api.live.streaming import as_text
from app.api.published.calls import ExecutionFailed, place_of
from app.api.resources import Resources
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.publications import RunView
from app.graph.status import TERMINAL
from app.models.page import MAX_NUMBER
from app.models.tables.executions import Execution

router = APIRouter(prefix="/run", tags=["publications"], route_class=ApiRoute)

DEFAULT_TIMEOUT_SECONDS = 50.0
"""Below a minute, after which much of what stands between a caller and a server gives up."""
MAX_TIMEOUT_SECONDS = 300.0


class Mode(StrEnum):
    """When a call is answered."""

    SYNC = "sync"
    ASYNC = "async"
    STREAM = "stream"


Slug = Annotated[str, Path(description="The name that the graph is published under.")]


@router.post(
    "/{slug}",
    response_model=RunView,
    responses={
        200: {"content": {EVENT_STREAM: {}}},
        202: {"model": RunView, "description": "It goes on; `Location` says where it is to be found."},
        **responses(400, 402, 404, 413, 424),
    },
)
async def run_graph(  # noqa: PLR0913 - the parameters of the call, by name
    slug: Slug,
    request: Request,
    response: Response,
    caller: CallerDep,
    api: ResourcesDep,
    inputs: Annotated[dict[str, Any] | None, Body(description="Run inputs by name.")] = None,
    mode: Annotated[Mode | None, Query(description="When to answer; `sync` when left out.")] = None,
    timeout: Annotated[
        float, Query(ge=0, description="Of `sync`: answer after these seconds at the latest (300 at most).")
    ] = DEFAULT_TIMEOUT_SECONDS,
    idempotency_key: IdempotencyKey = None,
    x_perdure_budget: Annotated[
        int | None, Header(ge=0, le=MAX_NUMBER, description="The most credits that the call may cost.")
    ] = None,
) -> RunView | Response:
    """Call a published graph. The body holds its run inputs, and the answer its run outputs.

    With `mode=async` the answer comes at once, with `mode=stream` or `Accept: text/event-stream` as server-sent
    events: those of the execution, and a last one called `result`. Repeating a call with the same `Idempotency-Key`
    waits for the first execution instead of starting another. What fails is answered with 424.
    """
    wants_stream = EVENT_STREAM in request.headers.get("accept", "")
    chosen = mode or (Mode.STREAM if wants_stream else Mode.SYNC)
    if chosen is Mode.STREAM:
        # Before anything is started: there may be too many already.
        with api.streams.held(caller.user_id):
            pass
    started = await api.published.calls.start(
        caller.user_id, slug, inputs or {}, budget=x_perdure_budget, idempotency_key=idempotency_key
    )
    execution = started.execution
    headers = _headers_of(execution, is_replayed=started.is_replayed)
    if chosen is Mode.STREAM:
        return _stream(execution, api, caller, headers)
    if chosen is Mode.SYNC and timeout:
        execution = await api.waiting.until_ended(
            caller.user_id, execution.id, min(timeout, MAX_TIMEOUT_SECONDS)
        )
    response.headers.update(headers)
    try:
        return await _answer(execution, api, response)
    except ExecutionFailed as error:
        told = {"X-Perdure-Status": execution.status, "X-Perdure-Cost": str(execution.cost)}
        return error_response(error, request_id_of(request), headers | told)


def _stream(execution: Execution, api: Resources, caller: Caller, headers: Mapping[str, str]) -> EventStream:
    text = as_text(api.published.calls.follow(caller.user_id, execution.id))
    stream = EventStream(api.callers.while_welcome(caller, text), api.streams, caller.user_id)
    stream.headers.update(headers)
    return stream


async def _answer(execution: Execution, api: Resources, response: Response) -> RunView:
    shown = await api.published.calls.view(execution)
    response.headers["X-Perdure-Status"] = shown.status
    response.headers["X-Perdure-Cost"] = str(shown.cost)
    if shown.status not in TERMINAL:
        response.status_code = 202
    return shown


def _headers_of(execution: Execution, *, is_replayed: bool) -> dict[str, str]:
    headers = {"X-Perdure-Execution-Id": str(execution.id), "Location": place_of(execution.id)}
    return headers | ({"Idempotent-Replayed": "true"} if is_replayed else {})
