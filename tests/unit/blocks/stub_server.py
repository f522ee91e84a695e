"""A web server that answers as it is told, byte for byte, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    """Says nothing, or nothing more than its body, until the client leaves."""
    breaks_off: bool = False
    """Closes the connection in place of an answer."""

    @staticmethod
    def of_json(value: Any, status: int = 200, **headers: str) -> Answer:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return Answer(status, json.dumps(value).encode(), {"content-type": "application/json", **named})


class StubServer:
    """Answers with what `answers` holds for the path: one answer, or a function of what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[Asked], Answer]] = {}
        self.asked: list[Asked] = []
        self.reached = asyncio.Event()
        """Set when somebody asked."""
        self.left = asyncio.Event()
        """Set when a client left a hanging answer."""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await self._read(reader)
            self.asked.append(asked)
            self.reached.set()
            answer = self.answers.get(asked.target.partition("?")[0], Answer(404))
            if callable(answer):
                answer = answer(asked)
            if answer.body or not (answer.hangs or answer.breaks_off):
                length = {} if answer.hangs else {"content-length": str(len(answer.body))}
                head = {**length, "connection": "close", **answer.headers}
                lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in head.items())]
                writer.write("\r\n".join([*lines, "", ""]).encode())
                writer.write(b"" if asked.method == "HEAD" else answer.body)
                await writer.drain()
            if answer.hangs:
                await reader.read()
                self.left.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left: some tests make it
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Asked:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Asked(method, target, headers, body)


@asynccontextmanager
async def running_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[StubServer]:
    stub = StubServer()
    server = await asyncio.start_server(stub.handle, "127.0.0.1", 0, ssl=tls)
    stub.port = server.sockets[0].getsockname()[1]
    async with server:
        yield stub
