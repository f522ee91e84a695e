"""The reconciler and schedules: Temporal is as the records say, wherever something has died between the two."""

from __future__ import annotations

import uuid
from typing import Any

from temporalio.client import Client

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


async def test_what_is_missing_is_made_again(deployment: Deployment, working: None, client: Client) -> None:
    schedule_id = await make(deployment)
    await client.get_schedule_handle(str(schedule_id)).delete()

    found = await eventually(lambda: mirror.describe(client, schedule_id))

    assert found is not None
    assert found.revision == 1
    assert found.next_times
    await eventually(lambda: deployment.engine.tallies.totals().get((FINDINGS.name, ("schedules",), "")))


async def test_what_differs_is_as_the_record_says(
    deployment: Deployment, working: None, client: Client
) -> None:
    schedule_id = await make(deployment)
    newer = await read(deployment, schedule_id)
    # As if the API had died after it had told Temporal, and before it had written down what.
    newer.revision, newer.cron, newer.is_paused = 2, ["0 12 * * *"], True
    await mirror.push(client, newer, task_queue=deployment.engine.task_queue)

    async def is_as_before() -> Described | None:
        found = await mirror.describe(client, schedule_id)
        return found if found is not None and found.revision == 1 else None

    found = await eventually(is_as_before)

    assert found is not None
    assert not found.is_paused
    assert {moment.month for moment in found.next_times} == {1}


async def test_what_has_no_record_is_deleted(deployment: Deployment, working: None, client: Client) -> None:
    schedule_id = await make(deployment)
    foreign = await read(deployment, schedule_id)
    foreign.id = uuid.uuid4()
    await mirror.create(client, foreign, task_queue=f"other-{uuid.uuid4()}")
    await deployment.engine.pool.execute("DELETE FROM schedules WHERE id = $1", schedule_id)

    async def is_gone() -> bool:
        return await mirror.describe(client, schedule_id) is None

    await eventually(is_gone)

    assert await mirror.describe(client, foreign.id), "it is of another deployment"
    await mirror.remove(client, foreign.id)


async def test_a_pause_from_the_web_ui_is_noted(
    deployment: Deployment, working: None, client: Client
) -> None:
    schedule_id = await make(deployment)
    await client.get_schedule_handle(str(schedule_id)).pause(note="by an operator")

    async def is_noted() -> bool:
        row = await read(deployment, schedule_id)
        return (row.is_paused, row.note) == (True, "by an operator")

    await eventually(is_noted)

    seen = await shown(deployment, schedule_id)
    assert (seen["paused"], seen["note"]) == (True, "by an operator")


async def test_a_fire_of_a_schedule_without_a_record_ends_quietly(
    deployment: Deployment, working: None, client: Client
) -> None:
    """Also while the reconciler rests."""
    schedule_id = await make(deployment)
    handle = client.get_schedule_handle(str(schedule_id))
    await deployment.engine.pool.execute("DELETE FROM schedules WHERE id = $1", schedule_id)
    await handle.trigger()

    async def is_gone() -> bool:
        return await mirror.describe(client, schedule_id) is None

    await eventually(is_gone)

    assert (await deployment.caller.get("/api/executions")).json()["items"] == []
