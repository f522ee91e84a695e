"""One WebSocket of a caller: what it asks for, and what it is told, in the words that AutoGPT's clients know.

Nothing is kept here for a client that reads slowly: every subscription waits until what it last gave has gone out, and
reads on from the log then. A client that takes too long is cut off, and may go on where it was.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.api.auth import Caller
from app.api.json_body import parse_json
from app.api.live.channels import EXECUTION, GRAPH, USER, Channel
from app.api.live.feeds import read_place
from app.api.live.messages import make_message
from app.api.live.notices import Notice
from app.api.live.open_streams import RETRY_SECONDS
from app.api.resources import Resources
from app.api.schemas.paths import parse_id, parse_number
from app.database import AWAY
from app.errors import Forbidden, InvalidRequest, PerdureError, RateLimited

MOST_SUBSCRIPTIONS = 50
MESSAGES_AT_ONCE = 60
MESSAGES_PER_SECOND = 5.0
SLOW_SECONDS = 15.0
"""How long a message may take to go out."""
CLOSE_SECONDS = 2.0
CHECK_SECONDS = 5.0
"""How often it is looked whether the caller would still be let in."""
LONGEST_TEXT = 100

INVALID = 4003
TOO_MANY = 1008
CRASHED = 1011
TRY_AGAIN = 1013
FAULT = "Something went wrong on our side"
UNAVAILABLE = "ENGINE_UNAVAILABLE"

_SUBSCRIBE: Mapping[str, tuple[str, str]] = {
    "subscribe_graph_execution": (EXECUTION, "graph_exec_id"),
    "subscribe_graph_executions": (GRAPH, "graph_id"),
    "subscribe_executions": (USER, ""),
}
"""What is followed, by method, and where the data says which."""
UNSUBSCRIBE, HEARTBEAT, ERROR, ENDED = "unsubscribe", "heartbeat", "error", "subscription_ended"

log = structlog.get_logger(__name__)


class LiveSocket:
    """A socket that has been accepted."""

    def __init__(
        self, websocket: WebSocket, api: Resources, caller: Caller, *, only: Channel | None = None
    ) -> None:
        """Take the connection.

        Args:
            websocket: Accepted.
            api: What is told of.
            caller: Who listens.
            only: What alone they may follow; None for whatever is theirs.
        """
        self._websocket = websocket
        self._api = api
        self._caller = caller
        self._only = only
        self._following: dict[Channel, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()
        self._end: asyncio.Future[tuple[int, str] | None] = asyncio.get_running_loop().create_future()
        self._allowed = float(MESSAGES_AT_ONCE)
        self._counted_at = time.monotonic()

    async def serve(self) -> None:
        """Answer until one of both sides ends it."""
        own = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch_caller())]
        for task in own:
            task.add_done_callback(self._note_crash)
        try:
            ending = await self._end
        finally:
            tasks = [*own, *self._following.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if ending is not None and self._websocket.application_state is WebSocketState.CONNECTED:
            try:
                # Whoever does not read does not hear this either.
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._websocket.close(*ending)
            except (TimeoutError, WebSocketDisconnect, RuntimeError):
                log.info("socket_cut", user_id=self._caller.user_id, code=ending[0])

    def _end_with(self, code: int | None, reason: str = "") -> None:
        if not self._end.done():
            self._end.set_result(None if code is None else (code, reason))

    def _note_crash(self, task: asyncio.Task[None]) -> None:
        """End it with one of the tasks without which nobody is listened to, or looked after."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("socket_crashed", exc_info=error)
            self._end_with(CRASHED, FAULT)

    async def _listen(self) -> None:
        while True:
            received = await self._websocket.receive()
            if received["type"] == "websocket.disconnect":
                self._end_with(None)
                return
            if not self._may_speak():
                self._end_with(TOO_MANY, "Too many messages")
                return
            await self._answer(received.get("text") or "")

    def _may_speak(self) -> bool:
        now = time.monotonic()
        gained = (now - self._counted_at) * MESSAGES_PER_SECOND
        self._allowed = min(MESSAGES_AT_ONCE, self._allowed + gained) - 1
        self._counted_at = now
        return self._allowed >= 0

    async def _watch_caller(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if not await self._api.callers.is_welcome(self._caller):
                self._end_with(INVALID, "Not let in any more")

    async def _answer(self, text: str) -> None:
        method: Any = None
        try:
            method, data = _read_message(text)
            if method == HEARTBEAT:
                await self._send({"method": HEARTBEAT, "data": "pong", "success": True})
            elif method == UNSUBSCRIBE:
                channel = _channel_of(data)
                await self._leave(channel)
                await self._confirm(method, channel)
            else:
                await self._subscribe(method, data)
        except PerdureError as error:
            await self._refuse(method, error.code, error.message)
        except (*AWAY, SQLAlchemyError):
            await self._refuse(method, UNAVAILABLE, "The database is away; try again")

    async def _subscribe(self, method: str, data: Mapping[str, Any]) -> None:
        if method not in _SUBSCRIBE:
            raise InvalidRequest("There is no such method")
        kind, name = _SUBSCRIBE[method]
        channel = Channel(kind, parse_id(str(data.get(name))) if name else None)
        if self._only is not None and channel != self._only:
            raise Forbidden("The ticket is for something else")
        batches = self._open(channel, data)
        await self._api.live.require(self._caller.user_id, channel)
        await self._leave(channel)
        if len(self._following) >= MOST_SUBSCRIPTIONS:
            raise RateLimited(
                f"More than {MOST_SUBSCRIPTIONS} subscriptions of one socket",
                retry_after_seconds=RETRY_SECONDS,
            )
        await self._confirm(method, channel)
        self._following[channel] = asyncio.create_task(self._pass_on(channel, batches))

    def _open(self, channel: Channel, data: Mapping[str, Any]) -> AsyncGenerator[Sequence[Notice]]:
        owner, after = self._caller.user_id, data.get("after")
        if after is not None and (isinstance(after, bool) or not isinstance(after, (str, int))):
            raise InvalidRequest("`after` is what a message has said")
        if channel.kind == EXECUTION and channel.id is not None:
            seq = None if after is None else parse_number(str(after))
            takes_tokens = data.get("tokens") is True
            return self._api.live.following.follow(owner, channel.id, after=seq, takes_tokens=takes_tokens)
        place = None if after is None else read_place(str(after))
        return self._api.live.feeds.follow(owner, graph_id=channel.id, after=place)

    async def _leave(self, channel: Channel) -> None:
        task = self._following.pop(channel, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _pass_on(self, channel: Channel, batches: AsyncGenerator[Sequence[Notice]]) -> None:
        name = channel.name_for(self._caller.user_id)
        try:
            with self._api.streams.held(self._caller.user_id):
                async with aclosing(batches):
                    async for batch in batches:
                        for notice in batch:
                            if notice.type:
                                await self._send(make_message(notice, channel, name))
            await self._send({"method": ENDED, "channel": name, "success": True})
        except RateLimited as error:
            await self._refuse(None, error.code, error.message, name)
        except Exception:  # the edge of a task that nobody waits for
            log.exception("socket_crashed")
            self._end_with(CRASHED, FAULT)
        finally:
            if self._following.get(channel) is asyncio.current_task():
                del self._following[channel]

    async def _confirm(self, method: str, channel: Channel) -> None:
        name = channel.name_for(self._caller.user_id)
        await self._send({"method": method, "success": True, "channel": name})

    async def _refuse(self, method: Any, code: str, message: str, name: str | None = None) -> None:
        asked = method[:LONGEST_TEXT] if isinstance(method, str) else None
        data = {"method": asked, "message": message}
        told = {"method": ERROR, "success": False, "error": code, "data": data}
        await self._send({**told, "channel": name} if name else told)

    async def _send(self, message: Mapping[str, Any]) -> None:
        text = json.dumps(message, separators=(",", ":"))
        async with self._sending:
            try:
                async with asyncio.timeout(SLOW_SECONDS):
                    await self._websocket.send_text(text)
            except TimeoutError:
                self._end_with(TRY_AGAIN, "Read too slowly: subscribe again with `after`")
                await asyncio.Event().wait()
            except (WebSocketDisconnect, RuntimeError):
                self._end_with(None)
                await asyncio.Event().wait()


def _read_message(text: str) -> tuple[str, Mapping[str, Any]]:
    value = parse_json(text.encode())
    if not isinstance(value, dict) or not isinstance(value.get("method"), str):
        raise InvalidRequest("A message is an object with a `method`")
    data = value.get("data")
    return value["method"], data if isinstance(data, dict) else {}


def _channel_of(data: Mapping[str, Any]) -> Channel:
    """Return what a message says that it no longer wants to follow."""
    for kind, name in _SUBSCRIBE.values():
        if name and name in data:
            return Channel(kind, parse_id(str(data[name])))
    return Channel(USER)
