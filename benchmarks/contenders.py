"""The two contenders behind one interface: run a workload once, and say what it cost."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Any

import httpx
from temporalio.client import Client

from benchmarks.handwritten import QUEUE
from benchmarks.workloads import Workload

WAIT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of a workload."""

    seconds: float
    """From the first start to the last end."""
    latencies: list[float]
    """Of each execution, in seconds."""
    workflow_id: str
    """One of the executions, to look at its history."""


class Engine:
    """This engine, over REST, with everything recorded."""

    name = "perdure"

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._graphs: dict[str, str] = {}

    async def prepare(self, workload: Workload) -> None:
        """Save the workload's graph."""
        response = await self._http.post("/api/graphs", json=workload.make_graph(workload.size))
        response.raise_for_status()
        self._graphs[workload.name] = response.json()["id"]

    async def run(self, workload: Workload) -> Sample:
        """Execute the graph as often as the workload says, all at once."""
        began = time.perf_counter()
        ended = await asyncio.gather(*(self._execute(workload) for _ in range(workload.at_once)))
        return Sample(time.perf_counter() - began, [seconds for seconds, _ in ended], ended[0][1])

    async def _execute(self, workload: Workload) -> tuple[float, str]:
        began = time.perf_counter()
        response = await self._http.post(
            f"/api/graphs/{self._graphs[workload.name]}/execute",
            params={"wait": WAIT_SECONDS},
            json={"inputs": {}},
        )
        response.raise_for_status()
        execution: dict[str, Any] = response.json()
        if execution["status"] != "COMPLETED":
            raise RuntimeError(f"{workload.name}: {execution['status']} {execution['error']}")
        return time.perf_counter() - began, execution["id"]


class Baseline:
    """Hand-written workflows, straight to Temporal, recording nothing besides its history."""

    name = "hand-written"

    def __init__(self, client: Client) -> None:
        self._client = client

    async def prepare(self, workload: Workload) -> None:
        """Do nothing: the workflows are registered."""

    async def run(self, workload: Workload) -> Sample:
        """Execute the workflow as often as the workload says, all at once."""
        began = time.perf_counter()
        ended = await asyncio.gather(*(self._execute(workload) for _ in range(workload.at_once)))
        return Sample(time.perf_counter() - began, [seconds for seconds, _ in ended], ended[0][1])

    async def _execute(self, workload: Workload) -> tuple[float, str]:
        began = time.perf_counter()
        workflow_id = f"handwritten-{uuid.uuid4()}"
        await self._client.execute_workflow(
            workload.baseline, workload.size, id=workflow_id, task_queue=QUEUE
        )
        return time.perf_counter() - began, workflow_id
