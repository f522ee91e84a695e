"""An API of the test's own process on a real socket, and those who watch it: by server-sent events, by WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI
from temporalio.client import Client
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.api.application import make_application
from app.api.auth import issue_token
from app.api.config import ApiConfig
from app.serving import serving, url_of
from tests.engine import KEYS
from tests.rest_api import SECRET, RestApi

STREAM = {"Accept": "text/event-stream"}
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Frame:
    """One server-sent event, with the bytes that it came as."""

    id: str
    event: str
    data: Any
    text: str


class EventStream:
    """A stream as it is read."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.last_id = ""
        self._lines = response.aiter_lines()

    async def next(self) -> Frame | None:
        """Return the next event; None when the stream has ended. What has an id and no data is passed over."""
        lines: list[str] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in self._lines:
                if line:
                    lines.append(line)
                    continue
                fields = {name: value for name, _, value in (each.partition(": ") for each in lines) if name}
                self.last_id = fields.get("id", self.last_id)
                if "data" in fields:
                    return Frame(
                        fields.get("id", ""),
                        fields["event"],
                        json.loads(fields["data"]),
                        "\n".join(lines),
                    )
                lines = []
        return None

    async def until(self, event: str, **wanted: Any) -> list[Frame]:
        """Return the events up to the next one of a kind, whose data holds some values, with it."""
        frames: list[Frame] = []
        while True:
            frame = await self.next()
            assert frame is not None, f"ended after {[each.event for each in frames]}"
            frames.append(frame)
            if frame.event == event and wanted.items() <= frame.data.items():
                return frames

    async def rest(self) -> list[Frame]:
        """Return the events up to the end of the stream."""
        frames = []
        while (frame := await self.next()) is not None:
            frames.append(frame)
        return frames


@asynccontextmanager
async def streaming(
    client: httpx.AsyncClient, path: str, *, after: str = "", **params: Any
) -> AsyncIterator[EventStream]:
    """Read a stream; `after` is the id of the last event that is known."""
    headers = {**STREAM, **({"Last-Event-ID": after} if after else {})}
    async with client.stream("GET", path, headers=headers, params=params) as response:
        if response.status_code != 200:
            await response.aread()
            raise AssertionError(response.text)
        yield EventStream(response)


@dataclass
class Socket:
    """A WebSocket as its client has it."""

    connection: ClientConnection
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def say(self, method: str, **data: Any) -> None:
        await self.connection.send(json.dumps({"method": method, "data": data}))

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        self.seen.append(message)
        return message

    async def ask(self, method: str, **data: Any) -> dict[str, Any]:
        """Say something, and return the next message that is an answer to it or a refusal."""
        await self.say(method, **data)
        while True:
            message = await self.next()
            if message["method"] in {method, "error"}:
                return message

    async def until(self, method: str) -> list[dict[str, Any]]:
        """Return the messages up to the next one of a method, with it."""
        messages = [await self.next()]
        while messages[-1]["method"] != method:
            messages.append(await self.next())
        return messages

    async def closed(self) -> int:
        """Wait until the server has closed it; return the code."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.connection.recv()
            await self.connection.wait_closed()
        code = self.connection.close_code
        assert code is not None
        return code


def bearer(email: str | None = None, **more: Any) -> str:
    """Return a token of a user; of one of their own unless said otherwise."""
    return issue_token(SECRET, email=email or f"{uuid.uuid4()}@example.org", **more)


@dataclass(frozen=True)
class LiveApi:
    """An API that answers on a socket."""

    application: FastAPI
    url: str

    @property
    def rest(self) -> RestApi:
        """The same without a socket."""
        return RestApi(self.application)

    @asynccontextmanager
    async def caller(self, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Give a client over the socket."""
        headers = {"Authorization": f"Bearer {token or bearer()}"}
        async with httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False
        ) as client:
            yield client

    @asynccontextmanager
    async def socket(
        self,
        query: str = "",
        *,
        path: str = "/ws",
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[Any] | None = None,
        **options: Any,
    ) -> AsyncIterator[Socket]:
        """Open a WebSocket."""
        url = f"ws{self.url.removeprefix('http')}{path}{query}"
        async with connect(
            url, additional_headers=headers, subprotocols=subprotocols, proxy=None, **options
        ) as connection:
            yield Socket(connection)


@asynccontextmanager
async def run_live(
    database_url: str, client: Client, *, task_queue: str, **changes: Any
) -> AsyncIterator[LiveApi]:
    """Run an API on a free port; `changes` are fields of its configuration."""

    async def connect_to() -> Client:
        return client

    config = ApiConfig(
        database_url=database_url, jwt_secret=SECRET, encryption_keys=KEYS, task_queue=task_queue, **changes
    )
    application = make_application(config, connect_to)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with serving(application, listening):
            yield LiveApi(application, url_of(listening))
