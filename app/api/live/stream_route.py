"""The kind of route that browsers read streams from."""

from __future__ import annotations

from fastapi import Request

from app.api.auth import Caller
from app.api.live.channels import channel_of
from app.api.live.open_streams import EVENT_STREAM
from app.api.live.tickets import Ticket
from app.api.route import ReadingRoute
from app.errors import Unauthenticated

TICKET = "ticket"


class StreamRoute(ReadingRoute):
    """A route whose stream browsers open with `?ticket=`, since they cannot send a token along."""

    async def identify(self, request: Request) -> Caller:
        """Return who calls, or has taken the ticket."""
        text = request.query_params.get(TICKET)
        if text is None:
            return await super().identify(request)
        has_more = any(name in request.headers for name in ("authorization", "x-api-key"))
        if has_more or EVENT_STREAM not in request.headers.get("accept", ""):
            raise Unauthenticated
        api = request.app.state.resources
        ticket: Ticket = api.live.tickets.read(text)
        if ticket.channel != channel_of(request.path_params):
            raise Unauthenticated
        await api.callers.require_welcome(ticket.caller)
        return ticket.caller
