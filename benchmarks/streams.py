"""Idle event streams: what a thousand of them cost the one process that holds them, and how soon each hears of news."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.rounds import running_server, token_of

PER_USER = 100
"""As many as a user may have."""
IDLE_SECONDS = 30.0
LOOKS = 40
LOOK_SECONDS = 0.1
"""Between two looks at an execution that is to wait."""
TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class IdleStreams:
    """What streams cost."""

    streams: int
    mebibytes: float
    """What the process grew by."""
    busy: float
    """Of one core, while nothing happened."""
    alone: float
    """Median seconds of a small request with no streams open."""
    beside: float
    """The same with all of them."""
    news: list[float]
    """Seconds from the end of an execution to the end of each of its streams; all ended at one moment."""

    def __str__(self) -> str:
        """Return the result as a line for a person."""
        return (
            f"{self.streams:,} idle event streams: {self.mebibytes:.0f} MiB "
            f"({1024 * self.mebibytes / self.streams:.0f} KiB each), {100 * self.busy:.0f} % of a core; a small "
            f"request takes {1000 * self.beside:.1f} ms beside them, {1000 * self.alone:.1f} ms alone; news is with "
            f"half of them after {statistics.median(self.news):.2f} s, with all after {max(self.news):.2f} s"
        )


async def measure_streams(streams: int = 1_000) -> IdleStreams:
    """Open streams of executions that wait for a person, leave them alone, then end all executions at once."""
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as home, running_server(Path(home)) as running:
        server = psutil.Process(running["pid"])
        async with contextlib.AsyncExitStack() as stack:
            users = []
            for number in range(-(-streams // PER_USER)):
                token = token_of(Path(home), f"user-{number}@example.com")
                users.append(await stack.enter_async_context(_user(running, token)))
            waiting = [await _start_waiting(user) for user in users]
            alone = await _time_looks(users[0])
            before = server.memory_info().rss
            opened = asyncio.Queue[None]()
            tasks = [
                asyncio.create_task(_follow(users[n // PER_USER], waiting[n // PER_USER], opened))
                for n in range(streams)
            ]
            for _ in tasks:
                await _unless_ended(opened.get(), tasks)
            worked = _cpu_seconds(server)
            await asyncio.sleep(IDLE_SECONDS)  # nothing happens, which is what is measured
            busy = (_cpu_seconds(server) - worked) / IDLE_SECONDS
            grown = (server.memory_info().rss - before) / 1024**2
            beside = await _time_looks(users[0])
            began = time.perf_counter()
            stops = [u.post(f"/api/executions/{e}/stop") for u, e in zip(users, waiting, strict=True)]
            await asyncio.gather(*stops)
            ended = await asyncio.wait_for(asyncio.gather(*tasks), TIMEOUT_SECONDS)
            return IdleStreams(streams, grown, busy, alone, beside, [end - began for end in ended])


async def _start_waiting(user: httpx.AsyncClient) -> str:
    """Return an execution that waits for an answer."""
    ask = {"id": "ask", "block_id": "human_in_the_loop_block", "input_default": {"data": 1, "name": "?"}}
    saved = await user.post("/api/graphs", json={"name": "waits", "nodes": [ask], "links": []})
    saved.raise_for_status()
    started = await user.post(f"/api/graphs/{saved.json()['id']}/execute", json={"inputs": {}})
    started.raise_for_status()
    execution_id: str = started.json()["id"]
    for _ in range(round(TIMEOUT_SECONDS / LOOK_SECONDS)):
        if (await user.get(f"/api/executions/{execution_id}")).json()["status"] == "WAITING":
            return execution_id
        await asyncio.sleep(LOOK_SECONDS)
    raise RuntimeError("the execution does not come to ask")


async def _follow(user: httpx.AsyncClient, execution_id: str, opened: asyncio.Queue[None]) -> float:
    """Follow an execution; say when it is being followed, and return when its stream ended."""
    path, headers = f"/api/executions/{execution_id}/events", {"Accept": "text/event-stream"}
    async with user.stream("GET", path, headers=headers) as response:
        response.raise_for_status()
        opened.put_nowait(None)
        async for _ in response.aiter_bytes():
            continue
    return time.perf_counter()


async def _unless_ended(opening: Coroutine[Any, Any, None], tasks: list[asyncio.Task[float]]) -> None:
    waiting = asyncio.ensure_future(opening)
    done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    if waiting not in done:
        waiting.cancel()
        raise RuntimeError(f"a stream ended before all were open: {done.pop().exception()!r}")


async def _time_looks(user: httpx.AsyncClient) -> float:
    seconds = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        (await user.get("/api/user")).raise_for_status()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextlib.asynccontextmanager
async def _user(running: dict[str, Any], token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=running["api_url"],
        headers={"Authorization": f"Bearer {token}"},
        timeout=TIMEOUT_SECONDS,
        limits=httpx.Limits(max_connections=None),
    ) as client:
        yield client


if __name__ == "__main__":
    print(asyncio.run(measure_streams(*map(int, sys.argv[1:]))))
