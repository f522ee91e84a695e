"""The reconciler, run by a schedule of Temporal: lists tell the truth although nobody reads an execution by id."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, ScheduleHandle, ScheduleOverlapPolicy, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from app.activities.contracts import RELEASE_SIGNAL, ExecutionLimits, Release
from app.api.services.upkeep import ensure_schedule, make_schedule, schedule_id
from tests.e2e.rest import graph, node, save, start, sums
from tests.engine import Engine, make_engine
from tests.processes import WorkerProcess, worker_environment
from tests.rest_api import run_api
from tests.stack import Stack, eventually

MANY = 120


@dataclass(frozen=True)
class Deployment:
    """An API over a database of its own, whose reconciler runs every second."""

    engine: Engine
    caller: httpx.AsyncClient

    async def listed(self, execution_id: str) -> dict[str, Any]:
        """Return what the list says of an execution: reading it by its id would have it judged."""
        for params in ({}, {"trigger": "subgraph"}):
            rows = (await self.caller.get("/api/executions", params={**params, "limit": 200})).json()["items"]
            for row in rows:
                if row["id"] == execution_id:
                    return dict(row)
        return {}

    async def has_status(self, execution_id: str, status: str) -> bool:
        return (await self.listed(execution_id)).get("status") == status

    async def start_waiting(self) -> str:
        """Start an execution that waits on a timer; return its id when it does."""
        execution = await start(self.caller, await save(self.caller, timer()))

        async def is_waiting() -> bool:
            return bool(
                await self.engine.pool.fetchval(
                    "SELECT count(*) FROM node_executions WHERE execution_id = $1", execution["id"]
                )
            )

        await eventually(is_waiting)
        execution_id: str = execution["id"]
        return execution_id


def timer(seconds: float = 600) -> dict[str, Any]:
    nodes = [
        node("timer", "countdown_timer_block", input_message="done", seconds=seconds),
        node("out", "agent_output_block", name="result"),
    ]
    return graph(nodes, ["timer.output_message -> out.value"])


@pytest.fixture
async def deployment(client: Client, own_database_url: str) -> AsyncIterator[Deployment]:
    async def connect() -> Client:
        return client

    async with (
        make_engine(client, own_database_url) as engine,
        run_api(
            own_database_url,
            connect,
            task_queue=engine.task_queue,
            reconcile_seconds=1.0,
            timeout_margin_seconds=0.0,
            limits=ExecutionLimits(timeout_seconds=3600),
        ) as api,
        api.caller() as caller,
    ):
        yield Deployment(engine, caller)
        await client.get_schedule_handle(schedule_id(engine.task_queue)).delete()


@pytest.fixture
async def working(deployment: Deployment) -> AsyncIterator[None]:
    async with deployment.engine.worker():
        yield


async def delete_from_temporal(client: Client, execution_id: str) -> None:
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=execution_id)
        )
    )

    async def is_gone() -> bool:
        try:
            await client.get_workflow_handle(execution_id).describe()
        except RPCError as error:
            return error.status is RPCStatusCode.NOT_FOUND
        return False

    # Temporal first finishes what the end of a workflow sets off, and tries that again at growing intervals.
    await eventually(is_gone, timeout_seconds=60)


async def test_a_list_shows_what_was_terminated_behind_its_back(
    deployment: Deployment, working: None, client: Client
) -> None:
    execution_id = await deployment.start_waiting()
    await client.get_workflow_handle(execution_id).terminate(reason="by hand")

    await eventually(lambda: deployment.has_status(execution_id, "FAILED"))

    row = await deployment.listed(execution_id)
    assert row["error"]["code"] == "TERMINATED"
    assert "by hand" in row["error"]["message"]
    assert row["ended_at"]
    record = await deployment.engine.record(execution_id)
    assert {node["status"] for node in record.nodes} == {"CANCELLED"}
    assert record.events[-1][1] == "execution_failed"


async def test_an_open_execution_that_temporal_has_deleted_is_lost(
    deployment: Deployment, working: None, client: Client
) -> None:
    execution_id = await deployment.start_waiting()
    await delete_from_temporal(client, execution_id)

    await eventually(lambda: deployment.has_status(execution_id, "FAILED"), timeout_seconds=30)

    assert (await deployment.listed(execution_id))["error"]["code"] == "LOST"


async def test_a_stop_ends_what_temporal_does_not_know(
    deployment: Deployment, working: None, client: Client
) -> None:
    execution_id = await deployment.start_waiting()
    await client.get_schedule_handle(schedule_id(deployment.engine.task_queue)).pause()
    await delete_from_temporal(client, execution_id)

    await deployment.caller.post(f"/api/executions/{execution_id}/stop", timeout=30)

    await eventually(lambda: deployment.has_status(execution_id, "FAILED"))
    assert (await deployment.listed(execution_id))["error"]["code"] == "LOST"


async def test_an_ended_execution_that_temporal_has_deleted_stays_readable(
    deployment: Deployment, working: None, client: Client
) -> None:
    ended = await start(deployment.caller, await save(deployment.caller, sums(3)), wait=20)
    assert ended["status"] == "COMPLETED"
    await delete_from_temporal(client, ended["id"])

    again = (await deployment.caller.get(f"/api/executions/{ended['id']}")).json()

    assert again == ended
    results = (await deployment.caller.get(f"/api/executions/{ended['id']}/results")).json()
    assert results["outputs"] == {"sum": [3]}


async def test_an_execution_without_a_record_is_adopted(deployment: Deployment, client: Client) -> None:
    # No worker takes it: its queue is served only by the reconciler's own worker below, once the row is gone.
    execution = await start(deployment.caller, await save(deployment.caller, timer()))
    async with deployment.engine.worker():
        await eventually(lambda: deployment.has_status(execution["id"], "RUNNING"))
        await deployment.engine.pool.execute("DELETE FROM executions WHERE id = $1", execution["id"])

        await eventually(lambda: deployment.listed(execution["id"]))
    row = await deployment.listed(execution["id"])
    assert row["graph_id"] == execution["graph_id"]
    assert row["created_at"] == execution["created_at"]


async def test_time_runs_out_also_when_no_worker_can_notice(deployment: Deployment, client: Client) -> None:
    graph_id = await save(deployment.caller, timer())
    response = await deployment.caller.post(f"/api/graphs/{graph_id}/execute", json={"timeout_seconds": 1})
    execution_id = response.json()["id"]
    handle = client.get_workflow_handle(execution_id)

    async def is_ended_by_temporal() -> bool:
        return (await handle.describe()).status is WorkflowExecutionStatus.TIMED_OUT

    await eventually(is_ended_by_temporal)
    assert (await deployment.listed(execution_id))["status"] == "QUEUED"
    async with deployment.engine.worker():
        await eventually(lambda: deployment.has_status(execution_id, "FAILED"))
    assert (await deployment.listed(execution_id))["error"]["code"] == "TIMED_OUT"


@pytest.mark.parametrize(
    "wish", [{"timeout_seconds": 3601}, {"timeout_seconds": 0}, {"max_node_executions": 1_000_001}]
)
async def test_more_than_the_server_allows_is_not_started(
    deployment: Deployment, wish: dict[str, int]
) -> None:
    graph_id = await save(deployment.caller, timer())

    response = await deployment.caller.post(f"/api/graphs/{graph_id}/execute", json=wish)

    assert response.status_code == 422
    assert (await deployment.caller.get("/api/executions")).json()["items"] == []


def nesting(graph_id: str) -> dict[str, Any]:
    """Return a graph that executes another one."""
    nodes = [
        node("agent", "agent_executor_block", graph_id=graph_id),
        node("out", "agent_output_block", name="result"),
    ]
    return graph(nodes, ["agent.result -> out.value"])


async def start_nested(deployment: Deployment) -> tuple[str, str]:
    """Start an execution with another one in it that waits on a timer; return the ids of both."""
    caller = deployment.caller
    parent = await start(caller, await save(caller, nesting(await save(caller, timer()))))

    async def nested_id() -> str:
        rows = (await caller.get("/api/executions", params={"trigger": "subgraph"})).json()["items"]
        return next(
            (row["id"] for row in rows if row["parent_id"] == parent["id"] and row["status"] == "RUNNING"), ""
        )

    return parent["id"], await eventually(nested_id)


async def test_what_is_nested_in_a_terminated_execution_is_stopped(
    deployment: Deployment, working: None, client: Client
) -> None:
    parent_id, nested_id = await start_nested(deployment)
    await client.get_schedule_handle(schedule_id(deployment.engine.task_queue)).pause()

    await client.get_workflow_handle(parent_id).terminate(reason="by hand")
    # Whoever reads it by its id has it settled, with all that follows, and without the reconciler.
    assert (await deployment.caller.get(f"/api/executions/{parent_id}")).json()["status"] == "FAILED"

    await eventually(lambda: deployment.has_status(nested_id, "CANCELLED"))


async def test_what_is_nested_in_an_ended_execution_is_stopped_later_if_it_was_forgotten(
    deployment: Deployment, working: None, client: Client
) -> None:
    parent_id, nested_id = await start_nested(deployment)

    # As after a crash between the end of the parent and what follows from it.
    await deployment.engine.pool.execute(
        "UPDATE executions SET status = 'FAILED', ended_at = now() WHERE id = $1", parent_id
    )

    await eventually(lambda: deployment.has_status(nested_id, "CANCELLED"))
    await client.get_workflow_handle(parent_id).terminate()


async def test_a_parent_goes_on_when_what_is_nested_in_it_was_terminated(
    deployment: Deployment, working: None, client: Client
) -> None:
    parent_id, nested_id = await start_nested(deployment)

    await client.get_workflow_handle(nested_id).terminate(reason="by hand")

    await eventually(lambda: deployment.has_status(parent_id, "FAILED"))
    assert (await deployment.listed(nested_id))["status"] == "FAILED"
    error = (await deployment.listed(parent_id))["error"]
    assert error["node_id"] == "agent"
    assert "by hand" in error["message"]


@workflow.defn(name="Listener", sandboxed=False)
class Listener:
    """Stands in for a parent whose nested execution has ended unheard."""

    def __init__(self) -> None:
        self.heard: list[list[int]] = []

    @workflow.run
    async def run(self) -> list[list[int]]:
        await workflow.wait_condition(lambda: bool(self.heard))
        return self.heard

    @workflow.signal(name=RELEASE_SIGNAL)
    def release(self, release: Release) -> None:
        self.heard.append([release.node, release.n])


async def test_a_parent_that_was_not_told_is_told_again(
    deployment: Deployment, working: None, client: Client
) -> None:
    parent_id, nested_id = await start_nested(deployment)
    schedule = client.get_schedule_handle(schedule_id(deployment.engine.task_queue))
    await schedule.pause()
    await client.get_workflow_handle(parent_id).terminate()
    await client.get_workflow_handle(nested_id).terminate()
    queue = f"{deployment.engine.task_queue}-listener"
    async with Worker(client, task_queue=queue, workflows=[Listener]):
        listener = await client.start_workflow(Listener.run, id=parent_id, task_queue=queue)
        # As after a crash between the end of the nested execution and what follows from it.
        await deployment.engine.pool.execute(
            "UPDATE executions SET status = 'FAILED', ended_at = now() WHERE id = $1", nested_id
        )

        await schedule.unpause()

        assert await asyncio.wait_for(listener.result(), 30) == [[0, 1]]


async def test_a_killed_worker_leaves_nothing_unreconciled(
    deployment: Deployment, stack: Stack, client: Client, short_folder: Path
) -> None:
    pool = deployment.engine.pool
    graph_id = await save(deployment.caller, timer())
    started = await asyncio.gather(*(start(deployment.caller, graph_id) for _ in range(MANY)))
    handles = [client.get_workflow_handle(execution["id"]) for execution in started]
    await asyncio.gather(*(handle.terminate(reason="by hand") for handle in handles))
    environment = worker_environment(
        stack, task_queue=deployment.engine.task_queue, database_url=deployment.engine.database_url
    )

    async def settled() -> int:
        count: int = await pool.fetchval("SELECT count(*) FROM executions WHERE status = 'FAILED'")
        return count

    async def is_in_the_middle() -> bool:
        return await settled() > 0

    first = WorkerProcess(short_folder, environment)
    await eventually(is_in_the_middle, timeout_seconds=60, interval_seconds=0.005)
    first.kill()
    assert await settled() < MANY
    second = WorkerProcess(short_folder, environment)
    try:

        async def is_all_settled() -> bool:
            return await settled() == MANY

        await eventually(is_all_settled, timeout_seconds=60)
    finally:
        second.kill()
    ends = await pool.fetchval("SELECT count(*) FROM execution_events WHERE type = 'execution_failed'")
    assert ends == MANY


async def test_a_nested_execution_whose_start_is_still_to_come_is_not_lost(
    deployment: Deployment, working: None, client: Client
) -> None:
    parent_id, _ = await start_nested(deployment)
    unstarted, unknown = str(uuid.uuid4()), str(uuid.uuid4())
    copy = (
        "INSERT INTO executions (id, user_id, graph_id, graph_version, plan_hash, status, trigger, inputs, created_at,"
        " parent_id, parent_node, parent_n) SELECT $2, user_id, graph_id, graph_version, plan_hash, 'QUEUED',"
        " trigger, inputs, now() - interval '1 hour', $3, $4, $5 FROM executions WHERE id = $1"
    )
    await deployment.engine.pool.execute(copy, parent_id, unstarted, parent_id, 7, 1)
    await deployment.engine.pool.execute(copy, parent_id, unknown, None, None, None)

    await eventually(lambda: deployment.has_status(unknown, "FAILED"))

    # One of the next comparisons has seen both.
    handle = client.get_schedule_handle(schedule_id(deployment.engine.task_queue))
    before = (await handle.describe()).info.num_actions
    await eventually(partial(_has_acted, handle, before + 2))
    assert await deployment.engine.find_status(unstarted) == "QUEUED"
    await client.get_workflow_handle(parent_id).terminate(reason="enough")

    async def is_lost() -> bool:
        return await deployment.engine.find_status(unstarted) == "FAILED"

    await eventually(is_lost)


async def _has_acted(schedule: ScheduleHandle, times: int) -> bool:
    return (await schedule.describe()).info.num_actions >= times


async def test_a_schedule_is_brought_up_to_date_and_stays_paused(client: Client, task_queue: str) -> None:
    name = schedule_id(task_queue)
    await ensure_schedule(client, name, make_schedule(task_queue, 60))
    handle = client.get_schedule_handle(name)
    await handle.pause(note="by hand")

    await ensure_schedule(client, name, make_schedule(task_queue, 30))

    schedule = (await handle.describe()).schedule
    assert schedule.state.paused
    assert [interval.every for interval in schedule.spec.intervals] == [timedelta(seconds=30)]
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    await handle.delete()
