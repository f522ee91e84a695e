"""Watchers of all executions of ten users: how soon each hears of news, and what they cost the API process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from websockets.asyncio.client import connect

from benchmarks.rounds import running_server, token_of
from benchmarks.workloads import pure_chain

PER_USER = 100
ROUNDS = 20
EVERY_SECONDS = 1.0
IDLE_SECONDS = 20.0
TIMEOUT_SECONDS = 120.0
SETTINGS = {"PERDURE_STREAMS_PER_USER": str(3 * PER_USER)}
"""A socket counts, and what it follows."""
NEWS = ("execution_started", "execution_completed")


@dataclass(frozen=True, slots=True)
class Watched:
    """What watchers of one kind have cost, and what they saw."""

    kind: str
    watchers: int
    mebibytes: float
    """What the process grew by."""
    busy: float
    """Of one core, while nothing happened."""
    delays: list[float]
    """Seconds from the writing of an event to its arrival, of every event at every watcher."""

    def __str__(self) -> str:
        """Return the result as a line for a person."""
        quantiles = statistics.quantiles(self.delays, n=100)
        return (
            f"{self.watchers:,} {self.kind}: {1024 * self.mebibytes / self.watchers:.0f} KiB each, "
            f"{100 * self.busy:.0f} % of a core when idle; an event is there after "
            f"{1000 * quantiles[49]:.0f} ms (p50), {1000 * quantiles[98]:.0f} ms (p99), of {len(self.delays):,}"
        )


async def measure_watchers(watchers: int = 1_000) -> AsyncIterator[Watched]:
    """Have watchers of all executions of their user, a hundred a user; start an execution of each user every second."""
    yield await _measure("event streams", _stream, watchers)
    yield await _measure("sockets", _socket, watchers)


async def _measure(kind: str, watch: Callable[..., AsyncIterator[Any]], watchers: int) -> Watched:
    with (
        tempfile.TemporaryDirectory(prefix="perdure-bench-") as home,
        running_server(Path(home), SETTINGS) as running,
    ):
        server = psutil.Process(running["pid"])
        names = [f"user-{number}@example.com" for number in range(-(-watchers // PER_USER))]
        tokens = [token_of(Path(home), name) for name in names]
        async with contextlib.AsyncExitStack() as stack:
            users = [await stack.enter_async_context(_user(running, token)) for token in tokens]
            graphs = [await _save(user) for user in users]
            await _start_all(users, graphs)
            before = server.memory_info().rss
            delays: list[float] = []
            opened = asyncio.Semaphore(0)
            tasks = [
                asyncio.create_task(_listen(watch(running["api_url"], tokens[n // PER_USER]), opened, delays))
                for n in range(watchers)
            ]
            async with asyncio.timeout(TIMEOUT_SECONDS):
                for _ in tasks:
                    await opened.acquire()
            worked = _cpu_seconds(server)
            await asyncio.sleep(IDLE_SECONDS)  # nothing happens, which is what is measured
            busy = (_cpu_seconds(server) - worked) / IDLE_SECONDS
            grown = (server.memory_info().rss - before) / 1024**2
            delays.clear()
            for _ in range(ROUNDS):
                await asyncio.gather(_start_all(users, graphs), asyncio.sleep(EVERY_SECONDS))
            wanted = ROUNDS * len(NEWS) * watchers
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while len(delays) < wanted:  # noqa: ASYNC110 - an event each time would slow down what is measured
                    await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return Watched(kind, watchers, grown, busy, delays)


async def _listen(events: AsyncIterator[Any], opened: asyncio.Semaphore, delays: list[float]) -> None:
    """Note how late each event is; the first thing that is told is that the watching has begun."""
    await anext(events)
    opened.release()
    async for event in events:
        if event["type"] in NEWS:
            late = time.time() - datetime.fromisoformat(event["at"]).timestamp()
            delays.append(late)


async def _stream(api_url: str, token: str) -> AsyncIterator[Any]:
    parts = urlsplit(api_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(
            f"GET /api/events HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        async for line in reader:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])
    finally:
        writer.close()


async def _socket(api_url: str, token: str) -> AsyncIterator[Any]:
    url = f"ws{api_url.removeprefix('http')}/ws"
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(
        url, additional_headers=headers, proxy=None, open_timeout=TIMEOUT_SECONDS
    ) as connection:
        await connection.send(json.dumps({"method": "subscribe_executions"}))
        async for text in connection:
            message = json.loads(text)
            if message["method"] == "snapshot":
                yield message
            elif "seq" in message:
                yield message["data"]["event"]


async def _save(user: httpx.AsyncClient) -> str:
    response = await user.post("/api/graphs", json=pure_chain(3))
    response.raise_for_status()
    graph_id: str = response.json()["id"]
    return graph_id


async def _start_all(users: list[httpx.AsyncClient], graphs: list[str]) -> None:
    async def start(user: httpx.AsyncClient, graph_id: str) -> None:
        response = await user.post(f"/api/graphs/{graph_id}/execute", json={"inputs": {}})
        response.raise_for_status()

    await asyncio.gather(*map(start, users, graphs))


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextlib.asynccontextmanager
async def _user(running: dict[str, Any], token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=running["api_url"], headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_SECONDS
    ) as client:
        yield client


async def print_watchers(watchers: int = 1_000) -> None:
    """Measure, and print a line of each kind."""
    async for watched in measure_watchers(watchers):
        print(watched, flush=True)


if __name__ == "__main__":
    asyncio.run(print_watchers(*map(int, sys.argv[1:])))
