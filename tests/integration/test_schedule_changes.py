"""What changes a schedule: its owner, Temporal by itself, and several of them at once. Both sides agree afterwards."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest
from temporalio.client import (
    Client,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from app.activities.contracts.scheduling import ScheduledFire
from app.schedules import mirror
from tests.e2e.rest import save, sums
from tests.engine import Engine
from tests.schedules import echo, schedule, shown, started, trigger
from tests.stack import eventually

NOON = "0 12 * * *"


async def patch(client: httpx.AsyncClient, schedule_id: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.patch(f"/api/schedules/{schedule_id}", json=body)
    assert response.status_code == 200, response.text
    changed: dict[str, Any] = response.json()
    return changed


async def test_a_change_replaces_what_it_names_and_nothing_else(alice: httpx.AsyncClient) -> None:
    made = await schedule(alice, await save(alice, sums(2)), name="mine", graph_version=1)
    schedule_id = made["id"]

    hourly = await patch(alice, schedule_id, {"cron": None, "intervals": [{"every": 3600}]})
    assert (hourly["cron"], hourly["intervals"]) == (None, [{"every": 3600, "offset": 0}])
    assert (hourly["name"], hourly["graph_version"]) == ("mine", 1)
    mondays = {"calendars": [{"hour": "9", "day_of_week": "MON"}], "intervals": [], "graph_version": None}
    changed = await patch(alice, schedule_id, mondays)
    assert changed["calendars"][0]["minute"] == "0"
    assert {moment[11:16] for moment in changed["next_fire_times"]} == {"09:00"}
    assert changed["graph_version"] is None
    await patch(alice, schedule_id, {"start_at": "2030-01-01T00:00:00Z", "jitter": 7200})

    refused: list[dict[str, Any]] = [
        {"calendars": []},
        {"end_at": "2029-01-01T00:00:00Z"},
        {"overlap": None},
        {"remaining_actions": 0},
        {"graph_id": made["graph_id"]},
    ]
    for body in refused:
        response = await alice.patch(f"/api/schedules/{schedule_id}", json=body)
        assert response.status_code == 422, (body, response.text)
    after = await shown(alice, schedule_id)
    assert (after["start_at"], after["end_at"], after["overlap"]) == ("2030-01-01T00:00:00Z", None, "skip")
    freed = await patch(alice, schedule_id, {"start_at": None, "calendars": [], "cron": "* * * * *"})
    assert freed["next_fire_times"] == sorted(set(freed["next_fire_times"])), (
        "jitter moves no fire past the next"
    )


async def test_the_time_zone_is_that_of_the_user_when_it_is_made_and_stays(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(2))
    made = await schedule(alice, graph_id, cron=NOON)
    await alice.put("/api/user", json={"timezone": "Asia/Tokyo"})
    assert (await schedule(alice, graph_id))["timezone"] == "Asia/Tokyo"
    assert (await patch(alice, made["id"], {"name": "moved"}))["timezone"] == "UTC"
    moved = await patch(alice, made["id"], {"timezone": None})
    assert moved["next_fire_times"][0][11:16] == "03:00"
    given = await patch(alice, made["id"], {"timezone": "Asia/Kolkata"})
    assert given["next_fire_times"][0][11:16] == "06:30"
    for zone in ("asia/tokyo", "localtime"):
        assert (await alice.patch(f"/api/schedules/{made['id']}", json={"timezone": zone})).status_code == 422


async def test_what_temporal_has_counted_and_not_yet_told_is_taken_over_by_a_change(
    client: Client, alice: httpx.AsyncClient
) -> None:
    made = await schedule(alice, await save(alice, sums(2)), remaining_actions=3)

    def fired_twice(found: ScheduleUpdateInput) -> ScheduleUpdate:
        found.description.schedule.state.remaining_actions = 1
        return ScheduleUpdate(found.description.schedule)

    await client.get_schedule_handle(made["id"]).update(fired_twice)
    assert (await patch(alice, made["id"], {"name": "other"}))["remaining_actions"] == 1
    assert (await patch(alice, made["id"], {"remaining_actions": 5}))["remaining_actions"] == 5
    assert (await patch(alice, made["id"], {"note": "why"}))["note"] == "why"


async def test_what_was_pushed_by_a_change_that_was_taken_back_is_not_taken_over(
    client: Client, alice: httpx.AsyncClient
) -> None:
    made = await schedule(alice, await save(alice, sums(2)))

    def as_of_another_revision(found: ScheduleUpdateInput) -> ScheduleUpdate:
        told = found.description.schedule
        action = told.action
        assert isinstance(action, ScheduleActionStartWorkflow)
        action.args = [ScheduledFire(made["id"], made["user_id"], 2)]
        told.state.paused, told.state.note = True, "never written down"
        return ScheduleUpdate(told)

    await client.get_schedule_handle(made["id"]).update(as_of_another_revision)
    changed = await patch(alice, made["id"], {"name": "other"})
    assert (changed["paused"], changed["note"]) == (False, "")


async def test_a_list_asks_temporal_once_and_knows_what_has_just_been_changed(
    client: Client, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph_id = await save(alice, sums(2))
    ids = [(await schedule(alice, graph_id, name=str(number)))["id"] for number in range(3)]

    async def is_listed() -> bool:
        listed = await mirror.find_listed(client, [uuid.UUID(schedule_id) for schedule_id in ids])
        return len(listed) == 3

    await eventually(is_listed)
    asked: list[str] = []
    describe = client.workflow_service.describe_schedule

    async def counted(request: Any, **options: Any) -> Any:
        asked.append(request.schedule_id)
        return await describe(request, **options)

    monkeypatch.setattr(client.workflow_service, "describe_schedule", counted)
    rows = (await alice.get("/api/schedules")).json()["items"]
    assert asked == []
    assert [len(row["next_fire_times"]) for row in rows] == [5, 5, 5]
    assert {row["fires_missed"] for row in rows} == {None}
    paused = await alice.post(f"/api/schedules/{ids[0]}/pause", json={"note": "rests"})
    assert paused.status_code == 200
    page = (await alice.get(f"/api/graphs/{graph_id}/schedules?limit=2")).json()
    last = await alice.get(f"/api/graphs/{graph_id}/schedules", params={"cursor": page["next_cursor"]})
    assert [(row["id"], row["paused"], row["note"]) for row in last.json()["items"]] == [
        (ids[0], True, "rests")
    ]


@pytest.mark.usefixtures("worker")
async def test_the_last_of_so_many_fires_is_the_last_even_if_temporal_forgets_it(
    client: Client, engine: Engine, alice: httpx.AsyncClient
) -> None:
    """Temporal deletes schedules that have rested for a week."""
    made = await schedule(alice, await save(alice, echo()), inputs={"x": 1}, remaining_actions=1)
    assert len(made["next_fire_times"]) == 1
    handle = client.get_schedule_handle(made["id"])

    def every_second(found: ScheduleUpdateInput) -> ScheduleUpdate:
        # Users may ask for whole minutes alone.
        found.description.schedule.spec.intervals = [ScheduleIntervalSpec(timedelta(seconds=1))]
        return ScheduleUpdate(found.description.schedule)

    await handle.update(every_second)
    await started(alice, made["id"], 1, "COMPLETED")
    spent = await shown(alice, made["id"])
    assert (spent["remaining_actions"], spent["next_fire_times"]) == (0, [])
    query = "SELECT remaining_actions FROM schedules WHERE id = $1"
    assert await engine.pool.fetchval(query, made["id"]) == 0

    await handle.delete()
    await trigger(alice, made["id"])
    await started(alice, made["id"], 2, "COMPLETED")
    assert (await shown(alice, made["id"]))["remaining_actions"] == 0
    again = await patch(alice, made["id"], {"remaining_actions": 2})
    assert (again["remaining_actions"], len(again["next_fire_times"])) == (2, 2)
    assert (await patch(alice, made["id"], {"name": "other"}))["remaining_actions"] == 2
    assert (await patch(alice, made["id"], {"remaining_actions": None}))["remaining_actions"] is None


@pytest.mark.usefixtures("worker")
async def test_fires_by_hand_at_once_are_as_many_executions_also_of_a_paused_schedule(
    alice: httpx.AsyncClient,
) -> None:
    made = await schedule(alice, await save(alice, echo()), inputs={"x": 1}, paused=True, overlap="allow_all")
    await asyncio.gather(*(trigger(alice, made["id"]) for _ in range(4)))
    await started(alice, made["id"], 4, "COMPLETED")
    assert (await shown(alice, made["id"]))["paused"] is True


async def test_changes_at_once_leave_record_and_temporal_the_same(
    client: Client, alice: httpx.AsyncClient, engine: Engine
) -> None:
    made = await schedule(alice, await save(alice, echo()), inputs={"x": 0})
    path, schedule_id = f"/api/schedules/{made['id']}", uuid.UUID(made["id"])
    bodies = [{"cron": f"0 {hour} * * *", "inputs": {"x": hour}} for hour in range(1, 4)]

    answers = await asyncio.gather(
        *(alice.patch(path, json=body) for body in bodies),
        alice.post(f"{path}/pause"),
        alice.post(f"{path}/trigger"),
    )

    assert [answer.status_code for answer in answers] == [200] * 5
    row = await engine.pool.fetchrow("SELECT revision, is_paused FROM schedules WHERE id = $1", schedule_id)
    described = await mirror.describe(client, schedule_id)
    assert described is not None
    assert (described.revision, described.is_paused) == (row["revision"], row["is_paused"]) == (5, True)
    after = await shown(alice, made["id"])
    assert after["cron"] == f"0 {described.next_times[0].hour} * * *"
    assert after["inputs"] == {"x": described.next_times[0].hour}

    last = await asyncio.gather(
        alice.patch(path, json=bodies[0]),
        alice.delete(path),
        alice.post(f"{path}/trigger"),
        alice.delete(path),
        alice.patch(path, json=bodies[1]),
    )

    assert {answer.status_code for answer in last} <= {200, 204, 404}
    assert [answer.status_code for answer in last].count(204) == 1
    assert (await alice.get(path)).status_code == 404
    assert await mirror.describe(client, schedule_id) is None
