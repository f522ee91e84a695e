"""How a Chromium is told what to do: the DevTools protocol over a pipe, as little of it as a picture needs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from app.errors import BlockError, BlockLimitExceeded

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_END = b"\0"


@asynccontextmanager
async def open_channel(connection: socket.socket) -> AsyncIterator[Channel]:
    """Open the channel to a browser, and close it."""
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=MAX_MESSAGE_BYTES)
    channel = Channel(writer)
    listening = asyncio.create_task(channel.listen(reader))
    try:
        yield channel
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        writer.close()


class Channel:
    """Asks the browser, and hears what it says."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        """Take the way to the browser."""
        self._writer = writer
        self._last_id = 0
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._moments: dict[tuple[str, str], asyncio.Event] = {}
        self._failure: BlockError | None = None

    async def ask(
        self, method: str, params: Mapping[str, Any] | None = None, *, page: str | None = None
    ) -> dict[str, Any]:
        """Return the browser's answer.

        Raises:
            BlockError: It refuses, or is gone.
        """
        if self._failure is not None:
            raise self._failure
        self._last_id += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[self._last_id] = answer
        self._say(self._last_id, method, params, page)
        return await answer

    async def open_page(self) -> str:
        """Return a new, empty page."""
        made = await self.ask("Target.createTarget", {"url": "about:blank"})
        attached = await self.ask("Target.attachToTarget", {"targetId": made["targetId"], "flatten": True})
        return str(attached["sessionId"])

    async def wait_for_page(self, loader: str, moment: str, *, timeout_seconds: float) -> None:
        """Wait until the loading of a page has come to a moment, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._moment(loader, moment).wait()

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Hear what the browser says, until it is gone."""
        failure: BlockError = BlockError(
            "The browser has ended by itself. Unless the worker is root, it needs user namespaces for its sandbox"
        )
        try:
            while True:
                self._hear(json.loads((await reader.readuntil(_END))[:-1]))
        except asyncio.LimitOverrunError:
            failure = BlockLimitExceeded("The picture is too large")
        except (asyncio.IncompleteReadError, OSError, ValueError):
            pass
        self._failure = failure
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(failure)

    def _hear(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case None:
                self._take(message)
            case "Page.lifecycleEvent":
                self._moment(params.get("loaderId", ""), params.get("name", "")).set()
            case "Page.javascriptDialogOpening":
                # Nobody is there to read it, and the page stands still until somebody has.
                self._say(0, "Page.handleJavaScriptDialog", {"accept": False}, message.get("sessionId"))

    def _take(self, message: dict[str, Any]) -> None:
        answer = self._asked.pop(message.get("id", 0), None)
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(BlockError(f"The browser refuses: {str(message['error'])[:200]}"))
        else:
            answer.set_result(message.get("result", {}))

    def _say(self, number: int, method: str, params: Mapping[str, Any] | None, page: str | None) -> None:
        message = {"id": number, "method": method, "params": dict(params or {})}
        if page is not None:
            message["sessionId"] = page
        self._writer.write(json.dumps(message).encode() + _END)

    def _moment(self, loader: str, name: str) -> asyncio.Event:
        return self._moments.setdefault((loader, name), asyncio.Event())
