"""The WebSocket: who may open one is decided here, before anything is read."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from app.api.auth import Caller
from app.api.live.channels import Channel
from app.api.live.stream_route import TICKET
from app.api.live.websocket import INVALID, TRY_AGAIN, LiveSocket
from app.api.policies import authorize, find_policy
from app.api.resources import Resources
from app.api.route import PREFIX
from app.errors import Forbidden, PerdureError, RateLimited, Unauthenticated
from app.tenants import working_for

PATH = "/ws"
TOKEN = "token"  # noqa: S105 - the name of a parameter
PROTOCOL = "perdure"
BEARER = "bearer."
"""Before a token among the protocols that a client offers: all that a browser can send along."""
MISSING, FORBIDDEN = 4001, 4002
POLICY = find_policy("GET", PATH)


class SocketRoute(WebSocketRoute):
    """A route of a socket, with the policy that it keeps."""

    def __init__(self, path: str) -> None:
        """Take where it is."""
        super().__init__(path, serve_socket)
        self.policy = POLICY


async def serve_socket(websocket: WebSocket) -> None:
    """Let a caller in, and serve them until one of both sides ends it."""
    api: Resources = websocket.app.state.resources
    if not _is_welcome_origin(websocket, api):
        # Before it is accepted: to a page of somebody else's there is no server here.
        await websocket.close()
        return
    protocol = PROTOCOL if PROTOCOL in websocket.scope.get("subprotocols", ()) else None
    try:
        caller, only = await _let_in(websocket, api)
    except PerdureError as error:
        # Accepted first: a browser shows pages no code of what was refused at once.
        await websocket.accept(protocol)
        await websocket.close(_code_of(error, has_credential=bool(_credentials(websocket))), error.message)
        return
    with working_for(caller.user_id):
        try:
            with api.streams.held(caller.user_id):
                await websocket.accept(protocol)
                await LiveSocket(websocket, api, caller, only=only).serve()
        except RateLimited as error:
            await websocket.accept(protocol)
            await websocket.close(TRY_AGAIN, error.message)


def _is_welcome_origin(websocket: WebSocket, api: Resources) -> bool:
    """Answer whether the page that opens a socket, if it is one, may. That it is of this machine opens nothing."""
    return all(origin in api.live.origins for origin in websocket.headers.getlist("origin"))


async def _let_in(websocket: WebSocket, api: Resources) -> tuple[Caller, Channel | None]:
    """Return who opens a socket, and what alone they may follow if they come with a ticket.

    Raises:
        Unauthenticated: Nobody we know.
        Forbidden: They may not.
        RateLimited: They have asked too often.
    """
    client = websocket.client.host if websocket.client else None
    address = api.trusted_proxies.address_of(client, websocket.headers.getlist("x-forwarded-for"))
    await api.rate_limits.take_address(address)
    try:
        caller, only = await _identify(websocket, api, address)
    except PerdureError:
        await api.rate_limits.take_stranger(address)
        raise
    await api.rate_limits.take_user(caller.user_id, is_start=False)
    authorize(caller, POLICY)
    return caller, only


async def _identify(
    websocket: WebSocket, api: Resources, address: str | None
) -> tuple[Caller, Channel | None]:
    given = _credentials(websocket)
    if len(given) != 1:
        raise Unauthenticated
    kind, credential = given[0]
    if kind == TICKET:
        ticket = api.live.tickets.read(credential)
        await api.callers.require_welcome(ticket.caller)
        return ticket.caller, ticket.channel
    # However it came, it is checked as it is everywhere.
    headers = Headers({kind: credential})
    return await api.callers.identify(headers, address=address), None


def _credentials(websocket: WebSocket) -> list[tuple[str, str]]:
    """Return all that says who it is, each with the header that it would stand in, or as a ticket."""
    query, headers = websocket.query_params, websocket.headers
    offered = websocket.scope.get("subprotocols", ())
    return [
        *((TICKET, text) for text in query.getlist(TICKET)),
        *(("authorization", f"Bearer {text}") for text in query.getlist(TOKEN)),
        *(("authorization", f"Bearer {text[len(BEARER) :]}") for text in offered if text.startswith(BEARER)),
        *(("authorization", text) for text in headers.getlist("authorization")),
        *(("x-api-key", text) for text in headers.getlist("x-api-key")),
    ]


def _code_of(error: PerdureError, *, has_credential: bool) -> int:
    match error:
        case Forbidden():
            return FORBIDDEN
        case Unauthenticated():
            return INVALID if has_credential else MISSING
        case _:
            return TRY_AGAIN


routes = [SocketRoute(PATH), SocketRoute(PREFIX + PATH)]
