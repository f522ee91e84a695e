"""The reconciler and nested executions: neither side waits in vain or goes on alone, whatever ended the other."""

from __future__ import annotations

import asyncio
import uuid
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.client import Client, ScheduleHandle
from temporalio.worker import Worker

from app.activities.contracts.messages import RELEASE_SIGNAL, Release
from app.api.services.upkeep import schedule_id
from tests.deployment import Deployment, timer
from tests.e2e.rest import graph, node, save, start
from tests.stack import eventually


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
