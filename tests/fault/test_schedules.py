"""Schedules while what they need is killed: a fire is one execution, neither lost nor doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from tests.e2e.rest import graph, node, save, sums
from tests.engine import Engine
from tests.processes import ServerProcess, WorkerProcess
from tests.rest_api import run_api
from tests.stack import Stack, eventually

SECOND = timedelta(seconds=1)


async def executions_of(client: httpx.AsyncClient, schedule_id: str) -> list[dict[str, Any]]:
    found = await client.get("/api/executions", params={"trigger_id": schedule_id, "limit": 200})
    rows: list[dict[str, Any]] = found.json().get("items", [])
    return rows


async def schedule(client: httpx.AsyncClient, graph_id: str, **body: Any) -> str:
    given = {"cron": "0 0 1 1 *", "catchup_window": 600, **body}
    response = await client.post(f"/api/graphs/{graph_id}/schedules", json=given)
    assert response.status_code == 201, response.text
    schedule_id: str = response.json()["id"]
    return schedule_id


async def has_event(client: Client, workflow_id: str, kind: EventType.ValueType) -> bool:
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return any(event.event_type == kind for event in history.events)


async def test_a_fire_while_postgres_is_dead_is_one_execution_once_it_is_back(
    engine: Engine, client: Client, stack: Stack
) -> None:
    async def connect() -> Client:
        return client

    async with (
        engine.worker(),
        run_api(engine.database_url, connect, task_queue=engine.task_queue) as api,
        api.caller() as caller,
    ):
        schedule_id = await schedule(caller, await save(caller, sums(2)))
        handle = client.get_schedule_handle(schedule_id)
        await stack.postgres.kill()
        try:
            await handle.trigger()

            async def has_begun() -> bool:
                recent = (await handle.describe()).info.recent_actions
                if not recent:
                    return False
                started = recent[-1].action
                assert isinstance(started, ScheduleActionExecutionStartWorkflow)
                return await has_event(
                    client, started.workflow_id, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
                )

            await eventually(has_begun)
        finally:
            await stack.postgres.start()

        async def has_ended() -> list[dict[str, Any]]:
            rows = await executions_of(caller, schedule_id)
            return rows if [row["status"] for row in rows] == ["COMPLETED"] else []

        await eventually(has_ended)
        assert (await handle.describe()).info.num_actions == 1


async def test_a_fire_while_the_worker_is_dead_is_one_execution(
    engine: Engine, client: Client, worker_process: Callable[..., WorkerProcess], task_queue: str
) -> None:
    async def connect() -> Client:
        return client

    waits = graph([node("wait", "countdown_timer_block", seconds=1)], [])
    async with (
        run_api(engine.database_url, connect, task_queue=task_queue) as api,
        api.caller() as caller,
    ):
        worker = await worker_process().ready()
        schedule_id = await schedule(caller, await save(caller, waits), overlap="allow_all")
        await caller.post(f"/api/schedules/{schedule_id}/trigger")
        [first] = await eventually(lambda: executions_of(caller, schedule_id))
        # Not in the middle of a task of its workflow, which Temporal would give to nobody else for ten seconds.
        await eventually(lambda: has_event(client, first["id"], EventType.EVENT_TYPE_TIMER_STARTED))
        worker.kill()
        await caller.post(f"/api/schedules/{schedule_id}/trigger")
        await worker_process().ready()

        async def have_ended() -> list[dict[str, Any]]:
            rows = await executions_of(caller, schedule_id)
            return rows if len(rows) == 2 and {row["status"] for row in rows} == {"COMPLETED"} else []

        rows = await eventually(have_ended)
    assert len({row["id"] for row in rows}) == 2


async def test_a_schedule_that_fires_while_everything_is_down_fires_once_it_is_up(
    stack: Stack, api_process: Callable[[], ServerProcess], worker_process: Callable[..., WorkerProcess]
) -> None:
    worker, first = worker_process(), await api_process().ready()
    async with first.client() as client:
        schedule_id = await schedule(client, await save(client, sums(2)), overlap="allow_all")
    # Once, at a moment when nothing will run: users may ask for whole minutes alone.
    temporal = await stack.connect()
    moment = datetime.now(UTC).replace(microsecond=0) + 3 * SECOND

    def once(found: ScheduleUpdateInput) -> ScheduleUpdate:
        changed = found.description.schedule
        changed.spec.calendars = []
        changed.spec.intervals = [ScheduleIntervalSpec(SECOND)]
        changed.spec.start_at, changed.spec.end_at = moment, moment
        return ScheduleUpdate(changed)

    await temporal.get_schedule_handle(schedule_id).update(once)
    for victim in (first, worker):
        victim.kill()
    await asyncio.gather(stack.temporal.kill(), stack.postgres.kill())

    await eventually(lambda: datetime.now(UTC) > moment)
    await stack.start()
    worker_process()
    second = await api_process().ready()
    async with second.client() as client:

        async def have_ended() -> list[dict[str, Any]]:
            rows = await executions_of(client, schedule_id)
            return rows if rows and {row["status"] for row in rows} == {"COMPLETED"} else []

        rows = await eventually(have_ended)
        seen = (await client.get(f"/api/schedules/{schedule_id}")).json()
    assert len(rows) == 1
    assert datetime.fromisoformat(rows[0]["created_at"]) > moment
    assert seen["fires_missed"] == 0
