"""A small user beside a flood: how long a small execution takes while somebody else has very many in the queue."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.contenders import WAIT_SECONDS
from benchmarks.rounds import running_server, token_of
from benchmarks.workloads import remote_chain, remote_fan

EVERY_SECONDS = 0.5
STARTERS = 16
"""Requests that the flood has open at once."""


@dataclass(frozen=True, slots=True)
class Fairness:
    """What the small user saw."""

    alone: list[float]
    """Seconds of each execution with nobody else there."""
    beside: list[float]
    """The same while the flood was being worked off."""
    flood: int
    """Remote node executions that the other user had asked for."""
    left: int
    """How many of them belonged to executions that had not ended when the last small one had."""

    def __str__(self) -> str:
        """Return the result as a line for a person."""
        return (
            f"small user: p50 {_quantile(self.alone, 50):.2f} s, p95 {_quantile(self.alone, 95):.2f} s alone; "
            f"p50 {_quantile(self.beside, 50):.2f} s, p95 {_quantile(self.beside, 95):.2f} s beside a flood of "
            f"{self.flood:,} remote node executions, {self.left:,} of them left"
        )


async def measure_fairness(*, executions: int = 300, width: int = 100, samples: int = 40) -> Fairness:
    """Let one user start very many executions, another a small one every half second; time the small ones.

    Args:
        executions: How many the flood has.
        width: Remote nodes in each of them.
        samples: Small executions to time.
    """
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as home, running_server(Path(home)) as running:
        async with (
            _user(running, token_of(Path(home), "flood@example.com")) as flood,
            _user(running, token_of(Path(home), "small@example.com")) as small,
        ):
            wide = await _save(flood, remote_fan(width))
            chain = await _save(small, remote_chain(3))
            await _execute(small, chain)
            alone = await _time_each(small, chain, samples=samples // 2)
            await _start_all(flood, wide, executions)
            beside = await _time_each(small, chain, samples=samples)
            ended = await _count_ended(flood)
            return Fairness(alone, beside, executions * (width + 1), (executions - ended) * (width + 1))


async def _time_each(user: httpx.AsyncClient, graph_id: str, *, samples: int) -> list[float]:
    tasks = []
    for _ in range(samples):
        tasks.append(asyncio.create_task(_execute(user, graph_id)))
        await asyncio.sleep(EVERY_SECONDS)  # the pace at which the small user works
    return await asyncio.gather(*tasks)


async def _execute(user: httpx.AsyncClient, graph_id: str) -> float:
    began = time.perf_counter()
    response = await user.post(
        f"/api/graphs/{graph_id}/execute", params={"wait": WAIT_SECONDS}, json={"inputs": {}}
    )
    response.raise_for_status()
    execution = response.json()
    if execution["status"] != "COMPLETED":
        raise RuntimeError(f"{execution['status']} {execution['error']}")
    return time.perf_counter() - began


async def _start_all(user: httpx.AsyncClient, graph_id: str, executions: int) -> None:
    numbers = iter(range(executions))

    async def start() -> None:
        for _ in numbers:
            response = await user.post(f"/api/graphs/{graph_id}/execute", json={"inputs": {}})
            response.raise_for_status()

    await asyncio.gather(*(start() for _ in range(STARTERS)))


async def _count_ended(user: httpx.AsyncClient) -> int:
    ended, cursor = 0, None
    while True:
        params: dict[str, str | int] = {"status": "COMPLETED", "limit": 200}
        if cursor:
            params["cursor"] = cursor
        response = await user.get("/api/executions", params=params)
        response.raise_for_status()
        page = response.json()
        ended += len(page["items"])
        cursor = page.get("next_cursor")
        if not cursor:
            return ended


async def _save(user: httpx.AsyncClient, graph: dict[str, Any]) -> str:
    response = await user.post("/api/graphs", json=graph)
    response.raise_for_status()
    graph_id: str = response.json()["id"]
    return graph_id


@contextlib.asynccontextmanager
async def _user(running: dict[str, Any], token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=running["api_url"], headers={"Authorization": f"Bearer {token}"}, timeout=WAIT_SECONDS
    ) as client:
        yield client


def _quantile(seconds: list[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    print(asyncio.run(measure_fairness()))
