"""How far it goes: very large graphs and loops, large values, and how soon work goes on after a worker was killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from temporalio.client import Client

from benchmarks.contenders import WAIT_SECONDS
from benchmarks.rounds import running_server, token_of
from benchmarks.workloads import (
    Graph,
    mixed_layers,
    pure_layers,
    pure_loop,
    remote_chain,
    remote_items,
    value_chain,
    value_fan,
)

CURVE_POINTS = 8
SAMPLE_SECONDS = 0.25
MIB = 1024 * 1024
ITEMS = 100_000


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that has to go through."""

    name: str
    graph: Graph
    node_executions: int
    inputs: dict[str, Any] = field(default_factory=dict)


CASES: tuple[Callable[[], Case], ...] = (
    lambda: Case("10,000 nodes in layers, pure", pure_layers(10_000), 10_000),
    lambda: Case("10,000 nodes in layers, every tenth remote", mixed_layers(10_000), 10_000),
    lambda: Case("loop of 100,000 items, pure", pure_loop(), 2 * ITEMS + 2, {"items": list(range(ITEMS))}),
    lambda: Case("fan-out of 5,000 items, remote", remote_items(), 5_002, {"items": list(range(5_000))}),
    lambda: Case("1 MB through a chain of 5", value_chain(5), 6, {"value": "x" * MIB}),
    lambda: Case("1 MB to 100 remote nodes", value_fan(100), 101, {"value": "x" * MIB}),
)


@dataclass(frozen=True, slots=True)
class Scaled:
    """How one case went."""

    name: str
    node_executions: int
    seconds: float
    runs: int
    """Workflow runs of the execution itself, shards left out."""
    most_events: int
    """In the history of its longest run."""
    history_bytes: int
    """Of all its runs."""
    curve: list[int]
    """Memory of the worker in MiB, from the start to the end."""

    @property
    def row(self) -> str:
        """Return the result as a row of a table."""
        rate = self.node_executions / self.seconds
        return (
            f"| {self.name} | {self.node_executions:,} | {self.seconds:.1f} s | {rate:,.0f}/s | {self.runs} "
            f"| {self.most_events:,} | {self.history_bytes / 1_000:,.0f} KB | {max(self.curve)} MiB "
            f"| {' '.join(map(str, self.curve))} |"
        )


async def measure_scale(only: str) -> list[Scaled]:
    """Execute the cases one after the other, each on a server of its own."""
    made = [case for make in CASES if only in (case := make()).name]
    return [await _measure(case) for case in made]


async def measure_resumption() -> float:
    """Kill the only worker in the middle of a chain; return the seconds until the next node execution has ended."""
    async with _server() as (running, http, _):
        graph = (await _post(http, "/api/graphs", remote_chain(400)))["id"]
        execution = (await _post(http, f"/api/graphs/{graph}/execute", {"inputs": {}}))["id"]
        await _completed_above(http, execution, 20)
        os.kill(running["worker_pids"][0], signal.SIGKILL)
        killed = time.perf_counter()
        await asyncio.sleep(SAMPLE_SECONDS)  # what was under way has been recorded by then
        await _completed_above(http, execution, await _completed(http, execution))
        return time.perf_counter() - killed


def print_scale(results: list[Scaled]) -> None:
    """Print the table."""
    print("\nHow far it goes, on a server with one worker.\n")
    print("| case | node executions | time | rate | runs | most events | history | peak memory | memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    for result in results:
        print(result.row)


async def _measure(case: Case) -> Scaled:
    async with _server() as (running, http, client):
        graph = (await _post(http, "/api/graphs", case.graph))["id"]
        worker = psutil.Process(running["worker_pids"][0])
        began = time.perf_counter()
        body = {"inputs": case.inputs, "max_node_executions": max(100_000, 2 * case.node_executions)}
        execution = (await _post(http, f"/api/graphs/{graph}/execute", body))["id"]
        memory = [worker.memory_info().rss // MIB]
        while (ended := await _status(http, execution))["status"] not in ("COMPLETED", "FAILED", "CANCELLED"):
            memory.append(worker.memory_info().rss // MIB)
            await asyncio.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - began
        memory.append(worker.memory_info().rss // MIB)
        if ended["status"] != "COMPLETED":
            raise RuntimeError(f"{case.name}: {ended['status']} {ended['error']}")
        events, size = await _histories(client, execution)
    return Scaled(
        case.name,
        ended["stats"]["node_executions"],
        seconds,
        len(events),
        max(events),
        size,
        _curve(memory),
    )


def _curve(memory: list[int]) -> list[int]:
    """Return the highest of each part of the way, so that no peak is lost."""
    step = max(1, -(-len(memory) // CURVE_POINTS))
    return [max(memory[start : start + step]) for start in range(0, len(memory), step)]


async def _histories(client: Client, execution: str) -> tuple[list[int], int]:
    """Return the number of events of each run, and the bytes of all."""
    events, size = [], 0
    run_id: str | None = (await client.get_workflow_handle(execution).describe()).run_id
    while run_id:
        history = await client.get_workflow_handle(execution, run_id=run_id).fetch_history()
        events.append(len(history.events))
        size += sum(event.ByteSize() for event in history.events)
        started = history.events[0].workflow_execution_started_event_attributes
        run_id = started.continued_execution_run_id or None
    return events, size


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[tuple[dict[str, Any], httpx.AsyncClient, Client]]:
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as home, running_server(Path(home)) as running:
        headers = {"Authorization": f"Bearer {token_of(Path(home), 'bench@example.com')}"}
        client = await Client.connect(running["temporal_address"])
        async with httpx.AsyncClient(
            base_url=running["api_url"], headers=headers, timeout=WAIT_SECONDS
        ) as http:
            yield running, http, client


async def _post(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await http.post(path, json=body)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


async def _status(http: httpx.AsyncClient, execution: str) -> dict[str, Any]:
    """Return the execution without the values of its outputs, which may be very many."""
    response = await http.get(f"/api/executions/{execution}", params={"refs": "true"})
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


async def _completed(http: httpx.AsyncClient, execution: str) -> int:
    completed: int = (await _status(http, execution))["stats"]["completed"]
    return completed


async def _completed_above(http: httpx.AsyncClient, execution: str, count: int) -> None:
    while await _completed(http, execution) <= count:  # noqa: ASYNC110 - it happens in another process
        await asyncio.sleep(0.05)
