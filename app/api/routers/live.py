"""Executions as they are watched: streams of server-sent events, and tickets with which browsers open them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from app.api.dependencies import CallerDep, Limit, ResourcesDep
from app.api.live.channels import EXECUTION, GRAPH, USER, Channel
from app.api.live.feeds import read_place
from app.api.live.open_streams import EVENT_STREAM, EventStream
from app.api.live.stream_route import StreamRoute
from app.api.live.streaming import as_text
from app.api.route import ReadingRoute
from app.api.schemas.errors import responses
from app.api.schemas.executions import EventView
from app.api.schemas.live import FeedPageView, TicketView
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id, Number, parse_number
from app.models.page import DEFAULT_LIMIT, MAX_NUMBER

router = APIRouter(tags=["live"], route_class=StreamRoute)
ticket_router = APIRouter(tags=["live"], route_class=ReadingRoute)

LastEventId = Annotated[str | None, Header(max_length=200, description="Where a broken stream goes on.")]
After = Annotated[
    str | None,
    Query(max_length=200, description="The id of the last event that is known, as `Last-Event-ID`."),
]
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {EVENT_STREAM: {}}}}


@router.get(
    "/executions/{execution_id}/events",
    response_model=PageView[EventView],
    responses={200: {"content": {EVENT_STREAM: {}}}, **responses(404)},
    tags=["executions"],
)
async def list_events(  # noqa: PLR0913 - the parameters of the call, by name
    execution_id: Id,
    request: Request,
    caller: CallerDep,
    api: ResourcesDep,
    after: Annotated[int, Query(ge=0, description="Only events with higher numbers.")] = 0,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Annotated[Number, Query(description="`next_cursor` of the page before.")] = 0,
    tokens: Annotated[bool, Query(description="Stream what language models write meanwhile, too.")] = False,
    snapshot: Annotated[bool, Query(description="Begin a stream with how the execution stands.")] = False,
    last_event_id: LastEventId = None,
) -> PageView[EventView] | Response:
    """Read what happened in an execution, event by event.

    With `Accept: text/event-stream` the events come as they happen, and the stream ends after the last one. With
    `snapshot=true` it begins with a `snapshot` event, the execution as it stands, and goes on with what comes after;
    unless it is said where to go on.

    With `tokens=true` pieces of what language models write come in between, as `token` events without an id:
    `{node_id, node_execution_id, text}`. They are shown to whoever listens at that moment and kept nowhere; the whole
    text is an output of the node.
    """
    await api.records.require(caller.user_id, execution_id)
    start = parse_number(last_event_id) if last_event_id else min(max(after, cursor), MAX_NUMBER)
    if EVENT_STREAM not in request.headers.get("accept", ""):
        return await api.views.view_events(caller.user_id, execution_id, after=start, limit=limit)
    begins_new = snapshot and not start and not last_event_id
    batches = api.live.following.follow(
        caller.user_id, execution_id, after=None if begins_new else start, takes_tokens=tokens
    )
    shown = api.callers.while_welcome(caller, as_text(batches))
    return EventStream(shown, api.streams, caller.user_id)


@router.get("/graphs/{graph_id}/events", response_model=FeedPageView, responses={**STREAM, **responses(404)})
async def follow_graph(
    graph_id: Id,
    request: Request,
    caller: CallerDep,
    api: ResourcesDep,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
    last_event_id: LastEventId = None,
) -> FeedPageView | Response:
    """Follow the executions of a graph. See `GET /events`."""
    await api.live.require(caller.user_id, Channel(GRAPH, graph_id))
    return await _follow(request, caller, api, graph_id, after=last_event_id or after, limit=limit)


@router.get("/events", response_model=FeedPageView, responses={**STREAM, **responses()})
async def follow_all(
    request: Request,
    caller: CallerDep,
    api: ResourcesDep,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
    last_event_id: LastEventId = None,
) -> FeedPageView | Response:
    """Follow all your executions: what has happened since `after`, or where things stand now.

    With `Accept: text/event-stream` it is told as it happens, for as long as you read. Such a stream begins with a
    `snapshot` event, the newest executions. Then come the events of executions as wholes (queued, started, paused,
    reviews, credits, ended), each with `execution_id`, `graph_id` and its number in that execution's log; those of node
    executions, and nested executions, do not. With `Last-Event-ID`, or `after`, it goes on behind that event and misses
    none. When the database was restored meanwhile, a `reset` event and a snapshot come instead.
    """
    return await _follow(request, caller, api, None, after=last_event_id or after, limit=limit)


@ticket_router.post("/executions/{execution_id}/tickets", responses=responses(404))
async def make_execution_ticket(execution_id: Id, caller: CallerDep, api: ResourcesDep) -> TicketView:
    """Return a ticket to the stream of an execution, for a browser's `EventSource` or `WebSocket`.

    It lets in for a minute, as `?ticket=`, and only there; what is open then goes on.
    """
    return await _make_ticket(caller, api, Channel(EXECUTION, execution_id))


@ticket_router.post("/graphs/{graph_id}/tickets", responses=responses(404))
async def make_graph_ticket(graph_id: Id, caller: CallerDep, api: ResourcesDep) -> TicketView:
    """Return a ticket to the stream of the executions of a graph."""
    return await _make_ticket(caller, api, Channel(GRAPH, graph_id))


@ticket_router.post("/events/tickets", responses=responses())
async def make_ticket(caller: CallerDep, api: ResourcesDep) -> TicketView:
    """Return a ticket to the stream of all your executions."""
    return await _make_ticket(caller, api, Channel(USER))


async def _follow(
    request: Request,
    caller: CallerDep,
    api: ResourcesDep,
    graph_id: UUID | None,
    *,
    after: str | None,
    limit: int,
) -> FeedPageView | Response:
    place = read_place(after) if after else None
    if EVENT_STREAM not in request.headers.get("accept", ""):
        return await api.live.feeds.read(caller.user_id, graph_id=graph_id, after=place, limit=limit)
    batches = api.live.feeds.follow(caller.user_id, graph_id=graph_id, after=place)
    return EventStream(api.callers.while_welcome(caller, as_text(batches)), api.streams, caller.user_id)


async def _make_ticket(caller: CallerDep, api: ResourcesDep, channel: Channel) -> TicketView:
    await api.live.require(caller.user_id, channel)
    ticket, expires_at = api.live.tickets.write(caller, channel)
    return TicketView(ticket=ticket, expires_at=datetime.fromtimestamp(expires_at, UTC))
