"""Two builds of the worker side by side."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from app.api.engine import Engine as ApiEngine
from app.api.services.trials import Trials
from app.graph.definition import GraphDefinition
from app.workers.builds import list_builds, make_current
from tests.engine import Engine, make_graph
from tests.fault.test_workers_stopping import PATIENT, one_request
from tests.processes import WorkerProcess, worker_environment
from tests.stack import Stack, eventually
from tests.stubs import WebStub

StartProcess = Callable[..., WorkerProcess]


QUEUE = "builds"


@pytest.fixture(scope="module")
def start_build(stack: Stack, session_folder: Path) -> Iterator[StartProcess]:
    """Start workers on one queue, which live as long as the module."""
    started: list[WorkerProcess] = []

    def start(*arguments: str) -> WorkerProcess:
        environment = worker_environment(stack, task_queue=QUEUE)
        started.append(WorkerProcess(session_folder / "builds", environment, *arguments))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture(scope="module")
async def first_build(start_build: StartProcess) -> WorkerProcess:
    """A worker of build `one`."""
    return await start_build("--build-id", "one").ready()


@pytest.fixture
async def builds(engine: Engine, first_build: WorkerProcess, start_build: StartProcess) -> StartProcess:
    """Start workers for the engine's executions; one of build `one` runs, and is the current one."""
    engine.task_queue = QUEUE
    await begin_on(engine.client, QUEUE, "one")
    return start_build


async def test_an_execution_ends_on_the_build_that_it_began_on(
    engine: Engine, builds: StartProcess, web: WebStub
) -> None:
    begun = await engine.start(held_then_echo(web), limits=PATIENT)
    await eventually(lambda: bool(web.requests))

    await builds("--build-id", "two").ready()
    await eventually(lambda: is_known(engine.client, QUEUE, "two"))
    command = builds("--make-current", "two")
    assert await command.ended() == 0, command.log
    printed = command.log
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
    await begin_on(engine.client, task_queue, "one")
    begun = await engine.start(held_then_echo(web), limits=PATIENT)
    await eventually(lambda: bool(web.requests))
    assert await old.stop() == 0

    await worker_process("--build-id", "two").ready()
    await begin_on(engine.client, task_queue, "two")
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
    await begin_on(engine.client, task_queue, "one")
    web.let_go.set()
    record = await engine.end(begun)
    assert record.status == "COMPLETED", record.error
    assert await builds_of(begun) == {"", "one"}


async def test_a_block_is_tried_by_the_current_build(engine: Engine, builds: StartProcess) -> None:
    async def connect() -> Client:
        return engine.client

    trials = Trials(ApiEngine(connect), task_queue=QUEUE)
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


async def is_known(client: Client, task_queue: str, build_id: str) -> bool:
    """Answer whether Temporal has heard of a worker of a build, which it does a moment after its start."""
    return build_id in {build.build_id for build in await list_builds(client, task_queue)}


async def begin_on(client: Client, task_queue: str, build_id: str) -> None:
    """Have new executions begin on a build once Temporal has heard of it."""
    await eventually(lambda: is_known(client, task_queue, build_id))
    await make_current(client, task_queue, build_id)


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
