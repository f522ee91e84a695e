"""An ASGI application on a socket of this process. Leaves signals and logging to the root."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import httpx2
import uvicorn
from fastapi import FastAPI

from app.errors import PerdureError
from app.http_protocol import BoundedProtocol
from app.socket_protocol import BoundedSocketProtocol

DRAIN_SECONDS = 3
"""How long open requests and event streams may go on once the server is asked to stop."""

MAX_MESSAGE_BYTES = 16 * 1024
"""Of what comes over a WebSocket: clients say what they want to follow, and no more."""


class ApiEnded(PerdureError):
    """The API ended on its own."""

    code = "API_ENDED"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the root, which has more to stop than the API."""
        yield


class Serving:
    """An application that answers."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    async def until_it_ends(self) -> None:
        """Wait; somebody cancels us, or the API ends, which it should not.

        Raises:
            ApiEnded: It did.
        """
        await asyncio.wait([self._task])
        self._task.result()
        raise ApiEnded


@contextlib.asynccontextmanager
async def serving(application: FastAPI, listening: socket.socket) -> AsyncIterator[Serving]:
    """Serve an application until the block ends; it answers when the block begins.

    Args:
        application: What to serve.
        listening: Bound socket.

    Raises:
        ApiEnded: It does not start.
    """
    server = _Server(
        uvicorn.Config(
            application,
            http=BoundedProtocol,
            ws=BoundedSocketProtocol,
            ws_max_size=MAX_MESSAGE_BYTES,
            # It would cost every socket memory for good.
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # Whose word counts about where a request comes from is a setting of ours.
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await _until_it_answers(url_of(listening), task)
        yield Serving(task)
    finally:
        server.should_exit = True
        await asyncio.wait([task])


async def _until_it_answers(url: str, task: asyncio.Task[None]) -> None:
    # The socket listens already, so one request waits for as long as the application takes to start.
    async with httpx2.AsyncClient(timeout=None, trust_env=False) as client:
        asking = asyncio.create_task(client.get(f"{url}/health/live"))
        await asyncio.wait([asking, task], return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            asking.cancel()
            raise ApiEnded("The API does not start; its log says why")
        asking.result()


def url_of(listening: socket.socket) -> str:
    """Return the address under which a process of this machine reaches a socket."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - the wildcards are compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
