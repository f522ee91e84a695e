"""When schedules fire, by the clock of Temporal itself: time zones, calendars, intervals, spans that have passed."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from app.models.tables.schedules import Schedule
from app.schedules import mirror
from app.schedules.fires import list_fires
from tests.e2e.rest import save, sums
from tests.schedules import schedule, started
from tests.stack import eventually


async def fires_of(client: Client, start: str, end: str, **given: Any) -> list[str]:
    """Return when a schedule fires between two days, as Temporal says it."""
    now = datetime.now(UTC)
    row = Schedule(
        id=uuid.uuid4(),
        user_id="owner",
        graph_id=uuid.uuid4(),
        catchup_window=600,
        overlap="skip",
        is_paused=True,
        created_at=now,
        updated_at=now,
        **given,
    )
    # What belongs to no deployment is left alone by its reconciler.
    await mirror.create(client, row, task_queue=f"none-{row.id}")
    begin, stop = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end))
    found = await list_fires(client, row.id, begin, stop)
    await mirror.remove(client, row.id)
    return [f"{moment:%d %H:%M}" for moment in found]


@pytest.mark.parametrize(
    ("zone", "cron", "start", "end", "fires"),
    [
        # 9 o'clock stays 9 o'clock: of winter, of summer, of winter.
        (
            "Europe/Berlin",
            "0 9 * * *",
            "2027-03-27",
            "2027-03-30",
            ["27 08:00", "28 07:00", "29 07:00"],
        ),
        ("Europe/Berlin", "0 9 * * *", "2027-10-30", "2027-11-02", ["30 07:00", "31 08:00", "01 08:00"]),
        ("America/New_York", "0 9 * * *", "2027-03-13", "2027-03-15", ["13 14:00", "14 13:00"]),
        ("America/New_York", "0 9 * * *", "2027-11-06", "2027-11-08", ["06 13:00", "07 14:00"]),
        # What is in the hour that is left out in spring is left out.
        ("Europe/Berlin", "30 2 * * *", "2027-03-27", "2027-03-30", ["27 01:30", "29 00:30"]),
        ("America/New_York", "30 2 * * *", "2027-03-13", "2027-03-15", ["13 07:30"]),
        # What is in the hour that comes twice in autumn fires in one of them, or in both.
        ("Europe/Berlin", "30 2 * * *", "2027-10-31", "2027-11-01", ["31 01:30"]),
        ("America/New_York", "30 1 * * *", "2027-11-07", "2027-11-08", ["07 05:30", "07 06:30"]),
        # What fires in every hour leaves none out.
        (
            "Europe/Berlin",
            "*/15 * * * *",
            "2027-10-31T00:40",
            "2027-10-31T01:40",
            ["31 00:45", "31 01:00", "31 01:15", "31 01:30"],
        ),
        ("Asia/Kolkata", "10,50 * * * *", "2027-01-01T00:00", "2027-01-01T01:00", ["01 00:20", "01 00:40"]),
        (
            "Australia/Lord_Howe",
            "0 * * * *",
            "2027-01-01T00:00",
            "2027-01-01T02:00",
            ["01 00:00", "01 01:00", "01 02:00"],
        ),
        (
            "Europe/Berlin",
            "0 * * * *",
            "2027-10-30T23:59",
            "2027-10-31T02:30",
            ["31 00:00", "31 01:00", "31 02:00"],
        ),
        (
            "America/New_York",
            "30 * * * *",
            "2027-11-07T04:59",
            "2027-11-07T06:59",
            ["07 05:30", "07 06:30"],
        ),
        # Sunday is 0 and 7, and Monday 1.
        ("UTC", "0 0 * * 0", "2027-01-01", "2027-01-08", ["03 00:00"]),
        ("UTC", "0 0 * * 7", "2027-01-01", "2027-01-08", ["03 00:00"]),
        ("UTC", "0 0 * * MON", "2027-01-01", "2027-01-08", ["04 00:00"]),
        # Either day is enough, as in cron.
        ("UTC", "0 0 1 * 1", "2027-01-01", "2027-01-12", ["01 00:00", "04 00:00", "11 00:00"]),
    ],
)
async def test_a_schedule_fires_by_the_clock_of_its_time_zone(
    client: Client, zone: str, cron: str, start: str, end: str, fires: list[str]
) -> None:
    assert await fires_of(client, start, end, cron=[cron], timezone=zone) == fires


async def test_calendars_and_intervals_fire_too(client: Client) -> None:
    first_monday = {"day_of_month": "1-7", "day_of_week": "MON", "hour": "9"}
    span = ("2027-01-01", "2027-02-28")
    assert await fires_of(client, *span, calendars=[first_monday]) == ["04 09:00", "01 09:00"]
    span = ("2027-01-01T00:00", "2027-01-01T05:00")
    every = {"every": 7200, "offset": 600}
    found = await fires_of(client, *span, intervals=[every])
    assert found == ["01 00:10", "01 02:10", "01 04:10"]


async def test_a_backfill_counts_its_fires_first(alice: httpx.AsyncClient) -> None:
    made = await schedule(alice, await save(alice, sums(2)), cron="0 0 * * *")
    path = f"/api/schedules/{made['id']}/backfill"
    now = datetime.now(UTC)

    too_many = {"start_at": (now - timedelta(days=1002)).isoformat(), "end_at": now.isoformat()}
    assert (await alice.post(path, json=too_many)).status_code == 422
    future = {"start_at": now.isoformat(), "end_at": (now + timedelta(days=2)).isoformat()}
    assert (await alice.post(path, json=future)).status_code == 422
    none = {"start_at": "2020-01-01T00:00:01Z", "end_at": "2020-01-01T23:59:59Z"}
    assert (await alice.post(path, json=none)).json()["fires"] == 0


@pytest.mark.usefixtures("worker")
async def test_a_backfill_fires_as_often_as_it_was_said(alice: httpx.AsyncClient, client: Client) -> None:
    made = await schedule(alice, await save(alice, sums(2)), cron="0 0 * * *")
    span = {"start_at": "2020-01-01T00:00:00Z", "end_at": "2020-01-03T00:00:00Z", "overlap": "allow_all"}
    path = f"/api/schedules/{made['id']}/backfill"

    assert (await alice.post(path, json=span)).json()["fires"] == 3
    await started(alice, made["id"], 3, "COMPLETED")

    async def are_over() -> bool:
        found = client.list_workflows(f"TemporalScheduledById = '{made['id']}'")
        statuses = [each.status async for each in found]
        return statuses == [WorkflowExecutionStatus.COMPLETED] * 3

    # Their records end first, and a fire of the same moment as one that goes on is dropped.
    await eventually(are_over)
    assert (await alice.post(path, json=span)).json()["fires"] == 3
    await started(alice, made["id"], 6, "COMPLETED")
