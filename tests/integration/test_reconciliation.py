"""The reconciler, run by a schedule of Temporal: lists tell the truth although nobody reads an execution by id."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, ScheduleOverlapPolicy, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from app.api.services.upkeep import ensure_schedule, make_schedule, schedule_id
from tests.deployment import Deployment, timer
from tests.e2e.rest import save, start, sums
from tests.processes import WorkerProcess, worker_environment
from tests.stack import Stack, eventually

MANY, IN_USE = 20, 5
"""Fewer in use than the reconciler has in hand at once, so that it comes past them to all others."""


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

    async def are_settled(number: int) -> bool:
        count: int = await pool.fetchval("SELECT count(*) FROM executions WHERE status = 'FAILED'")
        return count == number

    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM executions WHERE id = ANY($1) FOR UPDATE", in_use(started))
        first = WorkerProcess(short_folder, environment)
        await eventually(lambda: are_settled(MANY - IN_USE))
        first.kill()
    second = WorkerProcess(short_folder, environment)
    try:
        await eventually(lambda: are_settled(MANY))
    finally:
        second.kill()
    ends = await pool.fetchval("SELECT count(*) FROM execution_events WHERE type = 'execution_failed'")
    assert ends == MANY


def in_use(started: list[dict[str, Any]]) -> list[str]:
    """Return the ids of some executions; while they are locked, the reconciler cannot get beyond its middle."""
    return [execution["id"] for execution in started[:IN_USE]]


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
