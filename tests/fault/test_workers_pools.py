"""Which worker runs what: pools, a tuned worker, and a user beside a flood."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from temporalio.client import Client, WorkflowHandle

from app.api.engine import Engine as ApiEngine
from app.api.services.trials import Trials
from app.graph.definition import GraphDefinition
from tests.engine import Engine, make_graph
from tests.fault.test_workers_stopping import PATIENT
from tests.processes import WorkerProcess
from tests.stack import eventually
from tests.stubs import LanguageModelStub, WebStub

StartProcess = Callable[..., WorkerProcess]


@pytest.fixture
def worker(engine: Engine, task_queue: str, worker_process: StartProcess) -> StartProcess:
    """Start workers for the engine's executions."""
    engine.task_queue = task_queue
    return worker_process


async def test_a_pool_is_served_by_its_own_worker_and_waits_for_it(
    engine: Engine, worker: StartProcess, language_model: LanguageModelStub
) -> None:
    common = await worker("--pool", "default").ready()
    graph = make_graph(
        {
            "clock": ("get_current_time_block", {"trigger": "now"}),
            "model": ("llm_call_block", {}),
        },
        ["clock.time -> model.prompt"],
    )
    handle = await engine.start(graph, limits=PATIENT)

    async def clock_is_done() -> bool:
        if await engine.find_status(handle.id) is None:
            return False
        return [row["status"] for row in (await engine.record(handle.id)).of("clock")] == ["COMPLETED"]

    await eventually(clock_is_done)
    assert not language_model.requests

    settings = {"LLM_BASE_URL": language_model.url}
    models = await worker("--pool", "llm", "--concurrency", "llm=2", **settings).ready()
    record = await engine.end(handle)
    assert record.status == "COMPLETED", record.error
    assert await pids_by_type(handle) == {
        "GetCurrentTimeBlock": {common.pid},
        "LlmCallBlock": {models.pid},
    }


async def test_a_block_of_a_pool_is_tried_by_the_worker_that_has_its_keys(
    engine: Engine, worker: StartProcess, task_queue: str, language_model: LanguageModelStub
) -> None:
    await worker("--pool", "default").ready()
    await worker("--pool", "llm", LLM_BASE_URL=language_model.url).ready()

    async def connect() -> Client:
        return engine.client

    trials = Trials(ApiEngine(connect), task_queue=task_queue)
    tried = await trials.run("owner", engine.registry.require("llm_call_block"), {"prompt": "Say something"})
    assert tried.outputs["response"] == ["A short answer."]


async def test_a_worker_that_is_told_nothing_serves_all_pools(
    engine: Engine, worker: StartProcess, language_model: LanguageModelStub
) -> None:
    await worker("--tune-memory", "1", "--tune-cpu", "1", LLM_BASE_URL=language_model.url).ready()
    calls = {f"model{number}": ("llm_call_block", {"prompt": "Say something"}) for number in range(30)}
    record = await engine.run(make_graph(calls, []), limits=PATIENT)
    assert record.status == "COMPLETED", record.error
    assert len(language_model.requests) == 30


async def test_an_unknown_pool_stops_the_start_with_those_that_there_are(worker: StartProcess) -> None:
    process = worker("--pool", "gpu")
    assert await process.ended() == 1
    assert "no pool 'gpu'; the pools are default, llm" in process.log


async def test_a_user_is_served_while_somebody_elses_flood_is_still_waiting(
    engine: Engine, worker: StartProcess, web: WebStub
) -> None:
    await worker("--concurrency", "4").ready()
    floods = [await engine.start(fan(web, 40), owner="flood", limits=PATIENT) for _ in range(10)]
    await eventually(lambda: len(web.requests) > 4)

    record = await engine.run(fan(web, 1), owner="small", limits=PATIENT)
    assert record.status == "COMPLETED", record.error
    done = len(web.requests)
    assert done < 200, f"{done} of 401 requests were made before"
    for handle in floods:
        await handle.terminate()


def fan(web: WebStub, width: int) -> GraphDefinition:
    """Return a graph of calls side by side that take a moment each."""
    call = ("send_web_request_block", {"url": f"{web.url}/delay/0.1", "method": "GET"})
    return make_graph({f"call{number}": call for number in range(width)}, [])


async def pids_by_type(handle: WorkflowHandle[object, object]) -> dict[str, set[int]]:
    """Return the process ids of the workers that an execution's blocks ran on, by type of block."""
    types: dict[int, str] = {}
    pids: dict[str, set[int]] = {}
    async for event in handle.fetch_history_events():
        if event.HasField("activity_task_scheduled_event_attributes"):
            scheduled = event.activity_task_scheduled_event_attributes
            types[event.event_id] = scheduled.activity_type.name
        if event.HasField("activity_task_started_event_attributes"):
            started = event.activity_task_started_event_attributes
            pid = int(started.identity.split("@")[0])
            pids.setdefault(types[started.scheduled_event_id], set()).add(pid)
    return pids
