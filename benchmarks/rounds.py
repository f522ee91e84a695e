"""Runs the rounds: starts a real server as a user would, and lets the contenders take turns on it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from temporalio.client import Client

from benchmarks.contenders import WAIT_SECONDS, Baseline, Engine, Sample
from benchmarks.workloads import WORKLOADS, Workload

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120


@dataclass(slots=True)
class Series:
    """All rounds of one contender at one workload."""

    samples: list[Sample] = field(default_factory=list)
    worker_cpu: list[float] = field(default_factory=list)
    """Seconds of CPU of the worker process, by round."""
    server_cpu: list[float] = field(default_factory=list)
    """Seconds of CPU of the Temporal server, by round."""
    other_cpu: list[float] = field(default_factory=list)
    """Seconds of CPU of the API and Postgres, by round."""
    events: int = 0
    """In the history of one execution."""
    history_bytes: int = 0


Results = dict[str, dict[str, Series]]
"""By workload, by contender."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Whose CPU is counted."""

    engine_workers: list[int]
    baseline_worker: int
    temporal: list[int]
    others: list[int]


async def measure(*, rounds: int, only: str) -> Results:
    """Run every workload for every contender that many times, in turns."""
    chosen = [workload for workload in WORKLOADS if only in workload.name]
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as home, running_server(Path(home)) as running:
        token = token_of(Path(home), "bench@example.com")
        with _baseline_worker(running["temporal_address"]) as baseline_pid:
            async with _contenders(running, token) as (contenders, client):
                processes = _find_processes(running, baseline_pid)
                return await _take_turns(contenders, client, processes, chosen, rounds=rounds)


async def _take_turns(
    contenders: list[Engine | Baseline],
    client: Client,
    processes: Processes,
    workloads: list[Workload],
    *,
    rounds: int,
) -> Results:
    results: Results = {
        workload.name: {contender.name: Series() for contender in contenders} for workload in workloads
    }
    for workload in workloads:
        for contender in contenders:
            await contender.prepare(workload)
            await contender.run(workload)
    for number in range(rounds):
        for workload in workloads:
            for contender in contenders if number % 2 else list(reversed(contenders)):
                print(f"round {number + 1}/{rounds}: {workload.name}, {contender.name}", file=sys.stderr)
                series = results[workload.name][contender.name]
                before = _cpu(processes, contender.name)
                sample = await contender.run(workload)
                after = _cpu(processes, contender.name)
                series.samples.append(sample)
                for times, now, then in zip(
                    (series.worker_cpu, series.server_cpu, series.other_cpu), after, before, strict=True
                ):
                    times.append(now - then)
    for workload in workloads:
        for contender in contenders:
            series = results[workload.name][contender.name]
            history = await client.get_workflow_handle(series.samples[-1].workflow_id).fetch_history()
            series.events = len(history.events)
            series.history_bytes = sum(event.ByteSize() for event in history.events)
    return results


def _cpu(processes: Processes, contender: str) -> tuple[float, float, float]:
    workers = processes.engine_workers if contender == Engine.name else [processes.baseline_worker]
    return _cpu_of(workers), _cpu_of(processes.temporal), _cpu_of(processes.others)


def _cpu_of(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def _find_processes(running: dict[str, Any], baseline_pid: int) -> Processes:
    family = psutil.Process(running["pid"]).children(recursive=True)
    temporal = [process.pid for process in family if "temporal" in Path(process.exe()).name]
    workers = list(running["worker_pids"])
    others = [process.pid for process in family if process.pid not in {*temporal, *workers}]
    others += [process.pid for process in psutil.process_iter() if process.name() == "postgres"]
    return Processes(workers, baseline_pid, temporal, sorted({*others, running["pid"]}))


@contextlib.contextmanager
def running_server(home: Path, settings: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """Run a server with everything embedded, and give what its run.json says.

    Args:
        home: Its folder.
        settings: What else is to be in its environment.
    """
    environment = {
        **os.environ,
        **(settings or {}),
        "PERDURE_HOME": str(home),
        "PERDURE_PORT": "0",
        "PERDURE_TEMPORAL_PORT": "0",
        "PERDURE_TEMPORAL_UI_PORT": "0",
        "PERDURE_LOG_FORMAT": "json",
    }
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "server.py")], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            yield _await_ready(process, home)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _await_ready(process: subprocess.Popen[bytes], home: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if (home / "run.json").exists():
            running: dict[str, Any] = json.loads((home / "run.json").read_text())
            return running
        time.sleep(0.1)  # between two looks for run.json
    raise RuntimeError((home / "server.log").read_text()[-2000:])


def token_of(home: Path, user: str) -> str:
    """Return a token of a user for the server that runs on a folder."""
    perdure = Path(sys.executable).parent / "perdure"
    return subprocess.run(
        [perdure, "token", "--user", user],
        env={**os.environ, "PERDURE_HOME": str(home)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


@contextlib.contextmanager
def _baseline_worker(address: str) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.handwritten", address], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextlib.asynccontextmanager
async def _contenders(
    running: dict[str, Any], token: str
) -> AsyncIterator[tuple[list[Engine | Baseline], Client]]:
    client = await Client.connect(running["temporal_address"])
    limits = httpx.Limits(max_connections=250, max_keepalive_connections=250)
    async with httpx.AsyncClient(
        base_url=running["api_url"],
        headers={"Authorization": f"Bearer {token}"},
        timeout=WAIT_SECONDS,
        limits=limits,
    ) as http:
        await asyncio.sleep(1)
        yield [Baseline(client), Engine(http)], client
