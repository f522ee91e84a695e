"""The reconciler and schedules: Temporal is as the records say, wherever something has died between the two."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from app.activities.contracts.reconciliation import Patience, SchedulesRequest
from app.activities.schedule_reconciling import ScheduleReconciling
from app.database import Sessions, make_engine
from app.models import schedules
from app.models.tables.schedules import Schedule
from app.schedules import mirror
from app.schedules.mirror import Described
from app.telemetry.series import FINDINGS
from tests.deployment import Deployment
from tests.e2e.rest import save, sums
from tests.stack import eventually


async def make(deployment: Deployment) -> uuid.UUID:
    graph_id = await save(deployment.caller, sums(2))
    body = {"cron": "0 0 1 1 *", "name": "yearly"}
    response = await deployment.caller.post(f"/api/graphs/{graph_id}/schedules", json=body)
    assert response.status_code == 201, response.text
    return uuid.UUID(response.json()["id"])


async def shown(deployment: Deployment, schedule_id: uuid.UUID) -> dict[str, Any]:
    found: dict[str, Any] = (await deployment.caller.get(f"/api/schedules/{schedule_id}")).json()
    return found


async def read(deployment: Deployment, schedule_id: uuid.UUID) -> Schedule:
    engine = make_engine(deployment.engine.database_url)
    async with Sessions(engine)() as session:
        owner = (await deployment.caller.get("/api/user")).json()["id"]
        row = await schedules.require_schedule(session, owner, schedule_id)
    await engine.dispose()
    return row


async def test_temporal_is_as_the_records_say_again_wherever_something_died(
    deployment: Deployment, working: None, client: Client
) -> None:
    missing, differing, paused = [await make(deployment) for _ in range(3)]
    await client.get_schedule_handle(str(missing)).delete()
    newer = await read(deployment, differing)
    # As if the API had died after it had told Temporal, and before it had written down what.
    newer.revision, newer.cron, newer.is_paused = 2, ["0 12 * * *"], True
    await mirror.push(client, newer, task_queue=deployment.engine.task_queue)
    await client.get_schedule_handle(str(paused)).pause(note="by an operator")

    async def is_as_before() -> Described | None:
        found = await mirror.describe(client, differing)
        return found if found is not None and found.revision == 1 else None

    async def is_noted() -> bool:
        row = await read(deployment, paused)
        return (row.is_paused, row.note) == (True, "by an operator")

    made = await eventually(lambda: mirror.describe(client, missing))
    found = await eventually(is_as_before)
    await eventually(is_noted)

    assert made is not None
    assert made.revision == 1
    assert made.next_times
    assert found is not None
    assert not found.is_paused
    assert {moment.month for moment in found.next_times} == {1}
    seen = await shown(deployment, paused)
    assert (seen["paused"], seen["note"]) == (True, "by an operator")
    await eventually(lambda: deployment.engine.tallies.totals().get((FINDINGS.name, ("schedules",), "")))


async def test_what_has_no_record_is_deleted_and_its_fires_end_quietly(
    deployment: Deployment, working: None, client: Client
) -> None:
    """Its fires also while the reconciler rests."""
    resting, firing = [await make(deployment) for _ in range(2)]
    foreign = await read(deployment, resting)
    foreign.id = uuid.uuid4()
    await mirror.create(client, foreign, task_queue=f"other-{uuid.uuid4()}")
    await deployment.engine.pool.execute("DELETE FROM schedules")
    await client.get_schedule_handle(str(firing)).trigger()

    async def are_gone() -> bool:
        return [await mirror.describe(client, each) for each in (resting, firing)] == [None, None]

    await eventually(are_gone)

    assert await mirror.describe(client, foreign.id), "it is of another deployment"
    await mirror.remove(client, foreign.id)
    assert (await deployment.caller.get("/api/executions")).json()["items"] == []


async def test_a_new_schedule_has_time_to_be_written_down_and_one_of_a_former_queue_is_pushed(
    deployment: Deployment, client: Client
) -> None:
    moved, task_queue = await make(deployment), deployment.engine.task_queue
    row = await read(deployment, moved)
    await mirror.remove(client, moved)
    await mirror.create(client, row, task_queue=f"former-{moved}")
    row.id = uuid.uuid4()
    await mirror.create(client, row, task_queue=task_queue)
    engine = make_engine(deployment.engine.database_url)
    reconciling = ScheduleReconciling(
        client, Sessions(engine), task_queue=task_queue, tallies=deployment.engine.tallies
    )

    async def is_listed() -> bool:
        return row.id in {entry.id async for entry in mirror.list_all(client, task_queue=task_queue)}

    async def reconcile(quiet_seconds: float) -> tuple[Described | None, Described | None]:
        request = SchedulesRequest(Patience(quiet_seconds=quiet_seconds, lost_seconds=60))
        await ActivityEnvironment().run(reconciling.reconcile_schedules, request)
        return await mirror.describe(client, moved), await mirror.describe(client, row.id)

    await eventually(is_listed)
    _, unwritten = await reconcile(3600)
    assert unwritten is not None
    pushed, unwritten = await reconcile(0)
    await engine.dispose()
    assert pushed is not None
    assert pushed.task_queue == task_queue
    assert unwritten is None


async def test_a_schedule_that_is_changed_while_it_is_reconciled_is_as_it_was_changed(
    deployment: Deployment, client: Client
) -> None:
    schedule_id = await make(deployment)
    await client.get_schedule_handle(str(schedule_id)).delete()
    engine = make_engine(deployment.engine.database_url)
    reconciling = ScheduleReconciling(
        client,
        Sessions(engine),
        task_queue=deployment.engine.task_queue,
        tallies=deployment.engine.tallies,
    )
    at_once = SchedulesRequest(Patience(quiet_seconds=0, lost_seconds=60))

    async def change(hour: int) -> None:
        body = {"cron": f"0 {hour} * * *"}
        response = await deployment.caller.patch(f"/api/schedules/{schedule_id}", json=body)
        assert response.status_code == 200, response.text

    await asyncio.gather(
        *(change(hour) for hour in range(1, 4)),
        *(ActivityEnvironment().run(reconciling.reconcile_schedules, at_once) for _ in range(3)),
    )
    await engine.dispose()

    row, found = await read(deployment, schedule_id), await mirror.describe(client, schedule_id)
    assert found is not None
    assert (found.revision, row.cron) == (row.revision, [f"0 {found.next_times[0].hour} * * *"])
    assert row.revision == 4
