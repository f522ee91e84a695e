"""What a node and a request cost: events of Temporal's, round trips to Postgres. Counts, so they hold anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from temporalio.client import Client

from benchmarks.contenders import WAIT_SECONDS
from benchmarks.priced import offer
from benchmarks.rounds import running_server, token_of
from benchmarks.statements import Count, StatementLog
from benchmarks.workloads import (
    Graph,
    model_chain,
    priced_chain,
    priced_fan,
    pure_chain,
    remote_chain,
    remote_fan,
)
from tests.stubs import LanguageModelStub

SMALL, LARGE = 10, 50
"""What a node costs is told by two graphs, so that what an execution costs does not count."""
ROUNDS = 3
CALLS = 40
STREAMS = 20
IDLE_SECONDS = 10.0
FREE = "remote, one after the other"
NODES: dict[str, Callable[[int], Graph]] = {
    "pure, one after the other": pure_chain,
    FREE: remote_chain,
    "priced, one after the other": priced_chain,
    "a model's, one after the other": model_chain,
    "remote, side by side": remote_fan,
    "priced, side by side": priced_fan,
}


@dataclass(frozen=True, slots=True)
class NodeCost:
    """What one node costs."""

    events: float
    history_bytes: float
    seconds: float
    asked: Count


@dataclass(slots=True)
class Costs:
    """What everything costs."""

    nodes: dict[str, NodeCost] = field(default_factory=dict)
    requests: dict[str, Count] = field(default_factory=dict)
    """Of one request."""
    idle: dict[str, Count] = field(default_factory=dict)
    """Of one second."""


class Meter:
    """Measures on one server."""

    def __init__(self, http: httpx.AsyncClient, client: Client, log: StatementLog) -> None:
        """Take the server, its Temporal, and the log of its Postgres."""
        self._http = http
        self._client = client
        self._log = log
        self._idle = Count()

    async def measure_idle(self) -> Count:
        """Return what is asked in a second while nothing happens; from now on it is left out elsewhere."""
        await self._log.start()
        await asyncio.sleep(IDLE_SECONDS)
        self._idle = await self._log.stop() / IDLE_SECONDS
        return self._idle

    async def measure_node(self, make_graph: Callable[[int], Graph]) -> NodeCost:
        """Return what one node costs: by how much a large graph costs more than a small one."""
        small, large = [await self._measure_graph(make_graph(size)) for size in (SMALL, LARGE)]
        nodes = LARGE - SMALL
        return NodeCost(
            (large.events - small.events) / nodes,
            (large.history_bytes - small.history_bytes) / nodes,
            (large.seconds - small.seconds) / nodes,
            (large.asked - small.asked) / nodes,
        )

    async def _measure_graph(self, graph: Graph) -> NodeCost:
        graph_id = (await self._post("/api/graphs", graph))["id"]
        await self._execute(graph_id)
        counts, seconds, execution_id = [], [], ""
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await self._log.start()
            execution_id, took = await self._execute(graph_id)
            counts.append(self._without_idle(await self._log.stop(), time.perf_counter() - began))
            seconds.append(took)
        history = await self._client.get_workflow_handle(execution_id).fetch_history()
        size = sum(event.ByteSize() for event in history.events)
        middle = sorted(counts, key=lambda count: count.statements)[ROUNDS // 2]
        return NodeCost(len(history.events), size, median(seconds), middle)

    async def measure_call(self, call: Callable[[], Awaitable[object]]) -> Count:
        """Return what one call of many costs."""
        for _ in range(CALLS):
            await call()
        began = time.perf_counter()
        await self._log.start()
        for _ in range(CALLS):
            await call()
        return self._without_idle(await self._log.stop(), time.perf_counter() - began) / CALLS

    async def measure_streams(self, execution_id: str) -> Count:
        """Return what one open stream of an execution in which nothing happens costs in a second."""
        async with contextlib.AsyncExitStack() as open_streams:
            for _ in range(STREAMS):
                stream = self._http.stream(
                    "GET", f"/api/executions/{execution_id}/events", headers={"Accept": "text/event-stream"}
                )
                response = await open_streams.enter_async_context(stream)
                response.raise_for_status()
            await self._log.start()
            began = time.perf_counter()
            await asyncio.sleep(IDLE_SECONDS)
            count = await self._log.stop()
        seconds = time.perf_counter() - began
        return self._without_idle(count, seconds) / (STREAMS * seconds)

    def _without_idle(self, count: Count, seconds: float) -> Count:
        return count - self._idle / (1 / seconds)

    async def _execute(self, graph_id: str) -> tuple[str, float]:
        began = time.perf_counter()
        execution = await self._post(f"/api/graphs/{graph_id}/execute?wait={WAIT_SECONDS}", {"inputs": {}})
        if execution["status"] != "COMPLETED":
            raise RuntimeError(f"{execution['status']} {execution['error']}")
        return execution["id"], time.perf_counter() - began

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = await self._http.post(path, json=body)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


async def measure_costs(only: str = "") -> Costs:
    """Measure on a server of its own.

    Args:
        only: Only nodes whose name contains this, and then no requests.
    """
    costs = Costs()
    async with LanguageModelStub() as models, _server(models.url) as (running, home, http, client):
        log = await StatementLog.open(running["database_url"], home / "logs" / "postgres.log")
        async with contextlib.aclosing(log):
            meter = Meter(http, client, log)
            costs.idle["a server and its worker"] = await meter.measure_idle()
            for name, make_graph in NODES.items():
                if only in name:
                    costs.nodes[name] = await meter.measure_node(make_graph)
            if not only:
                await _measure_requests(meter, http, home, costs)
                models.hold_after = 0
                models.let_go.clear()
                held = await _start_one(http, model_chain(1))
                costs.idle["an open stream"] = await meter.measure_streams(held)
                models.let_go.set()
    return costs


async def _measure_requests(meter: Meter, http: httpx.AsyncClient, home: Path, costs: Costs) -> None:
    """Measure one request of each kind, with a token and with a key, and two users in turns."""
    graph = (await http.post("/api/graphs", json=pure_chain(1))).json()["id"]
    execution = (await http.post(f"/api/graphs/{graph}/execute?wait=60", json={"inputs": {}})).json()["id"]
    other = {"Authorization": f"Bearer {token_of(home, 'other@example.com')}"}
    turns = iter(range(1_000_000))

    async def get(path: str, headers: dict[str, str] | None = None) -> None:
        (await http.get(path, headers=headers)).raise_for_status()

    async def start(headers: dict[str, str]) -> None:
        response = await http.post(
            f"/api/graphs/{graph}/execute?wait=60", json={"inputs": {}}, headers=headers
        )
        response.raise_for_status()

    for path in ("/api/graphs", "/api/executions", f"/api/executions/{execution}", f"/api/graphs/{graph}"):
        name = "GET " + path.removeprefix("/api").replace(execution, "{id}").replace(graph, "{id}")
        costs.requests[name] = await meter.measure_call(lambda path=path: get(path))  # type: ignore[misc]
    costs.requests["GET /graphs, two users in turns"] = await meter.measure_call(
        lambda: get("/api/graphs", other if next(turns) % 2 else None)
    )
    costs.requests["start and end of a chain of one"] = await meter.measure_call(lambda: start({}))
    costs.requests["the same with an Idempotency-Key"] = await meter.measure_call(
        lambda: start({"Idempotency-Key": f"k{next(turns)}"})
    )
    body = {"name": "benchmark", "scopes": ["graphs:read"]}
    made = await http.post("/api/user/api-keys", json=body)
    if made.status_code == httpx.codes.CREATED:
        # It takes the place of the token.
        async with httpx.AsyncClient(
            base_url=http.base_url, headers={"X-API-Key": made.json()["key"]}
        ) as keyed:
            costs.requests["GET /graphs, with an API key"] = await meter.measure_call(
                lambda: keyed.get("/api/graphs")
            )


async def _start_one(http: httpx.AsyncClient, graph: Graph) -> str:
    graph_id = (await http.post("/api/graphs", json=graph)).json()["id"]
    started = await http.post(f"/api/graphs/{graph_id}/execute", json={"inputs": {}})
    execution_id: str = started.json()["id"]
    return execution_id


@contextlib.asynccontextmanager
async def _server(models_url: str) -> AsyncIterator[tuple[dict[str, Any], Path, httpx.AsyncClient, Client]]:
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        settings = {
            **offer(Path(folder) / "packages"),
            "PERDURE_LLM_BASE_URL": models_url,
            "PERDURE_INITIAL_CREDITS": "1000000",
            "PERDURE_STREAMS_PER_USER": str(STREAMS + 1),
        }
        with running_server(home, settings) as running:
            client = await Client.connect(running["temporal_address"])
            headers = {"Authorization": f"Bearer {token_of(home, 'bench@example.com')}"}
            async with httpx.AsyncClient(
                base_url=running["api_url"],
                headers=headers,
                timeout=WAIT_SECONDS,
                limits=httpx.Limits(max_connections=100),
            ) as http:
                yield running, home, http, client


def print_costs(costs: Costs) -> None:
    """Print the tables."""
    print("\nWhat a node costs.\n")
    print("| nodes | history events | history bytes | round trips | transactions | writing | time |")
    print("|---|---|---|---|---|---|---|")
    free = costs.nodes.get(FREE)
    for name, cost in costs.nodes.items():
        times = f"{cost.seconds / free.seconds:.2f}" if free else "-"
        print(f"| {name} | {cost.events:.2f} | {cost.history_bytes:.0f} | {_counts(cost.asked)} | {times} |")
    print("\nWhat one of these asks of Postgres.\n")
    print("| | round trips | transactions | writing |")
    print("|---|---|---|---|")
    for name, count in costs.requests.items():
        print(f"| {name} | {_counts(count)} |")
    for name, count in costs.idle.items():
        print(f"| {name}, a second | {_counts(count)} |")


def _counts(count: Count) -> str:
    return f"{count.statements:.2f} | {count.transactions:.2f} | {count.writing:.2f}"
