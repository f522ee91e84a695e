"""Two builds of the worker side by side."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from app.api.engine import Engine as ApiEngine
from app.api.services.trials import Trials
from app.graph.definition import GraphDefinition
from tests.engine import Engine, make_graph
from tests.fault.test_workers_stopping import PATIENT, one_request
from tests.processes import WorkerProcess
from tests.stack import Stack, eventually
from tests.stubs import WebStub

StartProcess = Callable[..., WorkerProcess]


@pytest.fixture
async def builds(engine: Engine, task_queue: str, worker_process: StartProcess) -> StartProcess:
    """Start workers for the engine's executions; one of build `one` runs, and is the current one."""
    engine.task_queue = task_queue
    await worker_process("--build-id", "one").ready()
    await make_current(worker_process, "one")
    return worker_process


async def test_an_execution_ends_on_the_build_that_it_began_on(
    engine: Engine, builds: StartProcess, web: WebStub
) -> None:
    begun = await engine.start(held_then_echo(web), limits=PATIENT)
    await eventually(lambda: bool(web.requests))

    await builds("--build-id", "two").ready()
    printed = await make_current(builds, "two")
    assert "two\tcurrent" in printed
    assert "one\tdraining" in printed
    later = await engine.start(one_request(web, "/echo"), limits=PATIENT)
    assert (await engine.end(later)).status == "COMPLETED"
    assert await builds_of(later) == {"two"}

    web.let_go.set()
    assert (await engine.end(begun)).status == "COMPLETED"
    assert await builds_of(begun) == {"one"}


async def test_an_execution_whose_build_is_gone_stands_still_until_it_is_moved(
    engine: Engine, stack: Stack, task_queue: str, worker_process: StartProcess, web: WebStub
) -> None:
    engine.task_queue = task_queue
    old = await worker_process("--build-id", "one", DRAIN_SECONDS="0").ready()
    await make_current(worker_process, "one")
    begun = await engine.start(held_then_echo(web), limits=PATIENT)
    await eventually(lambda: bool(web.requests))
    assert await old.stop() == 0

    await worker_process("--build-id", "two").ready()
    await make_current(worker_process, "two")
    web.let_go.set()
    later = await engine.start(one_request(web, "/echo"), limits=PATIENT)
    assert (await engine.end(later)).status == "COMPLETED"
    assert await engine.find_status(begun.id) == "RUNNING"

    await move(stack.temporal_address, task_queue)
    record = await engine.end(begun)
    assert record.status == "COMPLETED", record.error
    assert await builds_of(begun) == {"one", "two"}
    assert {row["attempt"] for row in record.nodes} == {1}


async def test_an_execution_that_began_without_a_build_is_taken_over_by_the_current_one(
    engine: Engine, task_queue: str, worker_process: StartProcess, web: WebStub
) -> None:
    engine.task_queue = task_queue
    old = await worker_process(DRAIN_SECONDS="0").ready()
    begun = await engine.start(held_then_echo(web), limits=PATIENT)
    await eventually(lambda: bool(web.requests))
    assert await old.stop() == 0

    await worker_process("--build-id", "one").ready()
    await make_current(worker_process, "one")
    web.let_go.set()
    record = await engine.end(begun)
    assert record.status == "COMPLETED", record.error
    assert await builds_of(begun) == {"", "one"}


async def test_a_block_is_tried_by_the_current_build(
    engine: Engine, builds: StartProcess, task_queue: str
) -> None:
    async def connect() -> Client:
        return engine.client

    trials = Trials(ApiEngine(connect), task_queue=task_queue)
    block = engine.registry.require("get_current_time_block")
    assert "time" in (await trials.run("owner", block, {"trigger": "now"})).outputs


async def test_a_build_that_no_worker_is_of_is_not_made_current(engine: Engine, builds: StartProcess) -> None:
    command = builds("--make-current", "three")
    assert await command.ended() == 1
    assert "three cannot be made current" in command.log


def held_then_echo(web: WebStub) -> GraphDefinition:
    """Return a graph with a call that ends when the test says, and one after it."""
    return make_graph(
        {
            "held": ("send_web_request_block", {"url": f"{web.url}/held", "method": "GET"}),
            "echo": ("send_web_request_block", {"url": f"{web.url}/echo", "method": "GET"}),
        },
        ["held.response -> echo.body"],
    )


async def make_current(start: StartProcess, build_id: str) -> str:
    """Make a build current as an operator does; return what is printed."""
    command = start("--make-current", build_id)
    assert await command.ended() == 0, command.log
    return command.log


async def builds_of(handle: WorkflowHandle[Any, Any]) -> set[str]:
    """Return the builds that an execution's workflow tasks ran on."""
    return {
        event.workflow_task_completed_event_attributes.deployment_version.build_id
        async for event in handle.fetch_history_events()
        if event.HasField("workflow_task_completed_event_attributes")
    }


async def move(address: str, task_queue: str) -> None:
    """Do what the handbook says about executions whose build is gone."""
    asked = f'TemporalWorkerDeploymentVersion = "{task_queue}:one" AND ExecutionStatus = "Running"'
    command = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("temporal"),
        *("workflow", "update-options", "--versioning-override-behavior", "auto_upgrade", "--query", asked),
        *("--address", address, "--yes"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    printed, _ = await command.communicate()
    assert command.returncode == 0, printed.decode()
