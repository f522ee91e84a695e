"""Schedules over REST, with a real Temporal: fires are triggered by hand, so that nobody has to wait for a minute."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from app.blocks.choice import BlockChoice
from app.blocks.registry import make_registry
from app.models.tables.schedules import Schedule
from app.schedules import mirror
from app.schedules.fires import list_fires
from tests.credentials import keep
from tests.deployment import timer
from tests.e2e.rest import node, save, sums
from tests.engine import Engine
from tests.rest_api import RestApi, run_api
from tests.schedules import YEARLY, echo, schedule, shown, started, trigger
from tests.stack import eventually


@pytest.mark.usefixtures("worker")
async def test_a_fire_is_an_execution_of_the_active_version_with_the_inputs_of_the_schedule(
    client: Client, alice: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, echo())
    made = await schedule(alice, graph_id, inputs={"x": 5}, name="five", budget=7, overlap="allow_all")
    assert len(made["next_fire_times"]) == 10
    assert (made["timezone"], made["cron"], made["catchup_window"]) == ("UTC", "0 0 1 1 *", 600)

    await trigger(alice, made["id"])
    [first] = await started(alice, made["id"], 1, "COMPLETED")
    await alice.put(f"/api/graphs/{graph_id}", json=echo())
    await trigger(alice, made["id"])
    await trigger(alice, made["id"])
    third, second, _ = await started(alice, made["id"], 3, "COMPLETED")

    assert (first["trigger"], first["trigger_id"], first["budget"]) == ("schedule", made["id"], 7)
    assert [row["graph_version"] for row in (first, second, third)] == [1, 2, 2]
    assert third["outputs"] == {"y": [5]}
    last = (await shown(alice, made["id"]))["last_executions"]
    assert [row["id"] for row in last] == [third["id"], second["id"], first["id"]]
    details = await (await client.get_workflow_handle(first["id"]).describe()).static_details()
    assert f"Started by schedule `{made['id']}`" in str(details)


@pytest.mark.usefixtures("worker")
async def test_a_pinned_schedule_stays_on_its_version_and_a_change_keeps_its_id_and_history(
    alice: httpx.AsyncClient,
) -> None:
    graph_id = await save(alice, echo())
    made = await schedule(alice, graph_id, inputs={"x": 1}, graph_version=1)
    await alice.put(f"/api/graphs/{graph_id}", json=echo())
    await trigger(alice, made["id"])
    await started(alice, made["id"], 1, "COMPLETED")

    response = await alice.patch(
        f"/api/schedules/{made['id']}", json={"cron": ["0 9 * * 1-5", "0 12 * * SUN"], "inputs": {"x": 2}}
    )

    assert response.status_code == 200, response.text
    assert response.json()["cron"] == ["0 9 * * 1-5", "0 12 * * SUN"]
    assert response.json()["next_fire_times"] != made["next_fire_times"]
    await trigger(alice, made["id"])
    rows = await started(alice, made["id"], 2, "COMPLETED")
    assert [row["graph_version"] for row in rows] == [1, 1]
    assert [row["outputs"] for row in rows] == [{"y": [2]}, {"y": [1]}]
    assert len((await shown(alice, made["id"]))["last_executions"]) == 2


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("inputs", "GRAPH_VALIDATION_ERROR"),
        ("credentials", "GRAPH_VALIDATION_ERROR"),
        ("UPDATE users SET credits = 0 WHERE id = $1", "INSUFFICIENT_CREDITS"),
        ("UPDATE users SET suspended_at = now() WHERE id = $1", "FORBIDDEN"),
        ("UPDATE schedules SET preset_id = gen_random_uuid() WHERE user_id = $1", "NOT_FOUND"),
        ("UPDATE schedules SET graph_version = 9 WHERE user_id = $1", "NOT_FOUND"),
    ],
    ids=["inputs", "credentials", "credits", "suspended", "preset", "version"],
)
async def test_a_fire_that_cannot_start_leaves_a_failed_execution(
    client: Client, engine: Engine, alice: httpx.AsyncClient, reason: str, code: str
) -> None:
    body = echo()
    if reason == "credentials":
        body["nodes"].append(node("ask", "firecrawl_scrape_block", url="https://example.org"))
    graph_id = await save(alice, body)
    keys = (await alice.get(f"/api/graphs/{graph_id}")).json()["credentials_input_schema"]["properties"]
    chosen = {key: await keep(alice, "api_key", "k", provider="firecrawl") for key in keys}
    made = await schedule(alice, graph_id, inputs={"x": 1}, credentials_inputs=chosen, pause_on_failure=True)
    for credentials_id in chosen.values():
        assert (await alice.delete(f"/api/credentials/{credentials_id}")).status_code == 204
    if reason == "inputs":
        changed = echo()
        changed["nodes"][0]["input_default"] = {"name": "z"}
        await alice.put(f"/api/graphs/{graph_id}", json=changed)
    elif reason != "credentials":
        await engine.pool.execute(reason, made["user_id"])

    await client.get_schedule_handle(made["id"]).trigger()

    query = "SELECT id FROM executions WHERE trigger_id = $1"
    await eventually(lambda: engine.pool.fetchval(query, made["id"]))
    await engine.pool.execute("UPDATE users SET suspended_at = NULL WHERE id = $1", made["user_id"])
    [row] = await started(alice, made["id"], 1, "FAILED")
    assert (row["error"]["code"], row["trigger"]) == (code, "schedule")
    events = (await alice.get(f"/api/executions/{row['id']}/events")).json()["items"]
    assert [event["type"] for event in events] == ["execution_failed"]

    async def is_paused() -> bool:
        return bool((await shown(alice, made["id"]))["paused"])

    await eventually(is_paused)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("overlap", "statuses"),
    [
        ("skip", ["PAUSED"]),
        ("allow_all", ["RUNNING", "RUNNING"]),
        ("cancel_other", ["RUNNING", "CANCELLED"]),
        ("terminate_other", ["RUNNING", "CANCELLED"]),
        ("buffer_one", ["RUNNING", "CANCELLED"]),
    ],
)
async def test_what_becomes_of_a_fire_while_an_earlier_execution_goes_on(
    alice: httpx.AsyncClient, overlap: str, statuses: list[str]
) -> None:
    made = await schedule(alice, await save(alice, timer()), overlap=overlap)
    await trigger(alice, made["id"])
    [first] = await started(alice, made["id"], 1, "RUNNING", "WAITING")

    if overlap == "skip":
        # One that is paused goes on.
        assert (await alice.post(f"/api/executions/{first['id']}/pause")).status_code == 200
    await trigger(alice, made["id"])
    if overlap == "skip":
        await eventually(lambda: _has_overlapped(alice, made["id"]))
    if overlap == "buffer_one":
        assert (await alice.post(f"/api/executions/{first['id']}/stop")).status_code == 200
    count = len(statuses)

    async def is_so() -> list[Any]:
        rows = await started(alice, made["id"], count)
        found = [row["status"].replace("WAITING", "RUNNING") for row in rows]
        return rows if found == statuses else []

    rows = await eventually(is_so)
    assert (await alice.delete(f"/api/schedules/{made['id']}")).status_code == 204
    for row in rows:
        await alice.post(f"/api/executions/{row['id']}/stop")


async def _has_overlapped(client: httpx.AsyncClient, schedule_id: str) -> bool:
    return bool((await shown(client, schedule_id))["fires_overlapped"])


@pytest.mark.usefixtures("worker")
async def test_a_schedule_is_paused_when_an_execution_fails_and_says_why_whatever_is_changed(
    engine: Engine, alice: httpx.AsyncClient
) -> None:
    made = await schedule(alice, await save(alice, timer()), pause_on_failure=True, timeout_seconds=1)
    await trigger(alice, made["id"])
    [failed] = await started(alice, made["id"], 1, "FAILED")

    async def is_paused() -> dict[str, Any]:
        found = await shown(alice, made["id"])
        return found if found["paused"] else {}

    paused = await eventually(is_paused)
    assert paused["note"] == f"Execution {failed['id']} has failed: {failed['error']['message']}"
    changed = (await alice.patch(f"/api/schedules/{made['id']}", json={"cron": "0 1 * * *"})).json()
    assert (changed["paused"], changed["note"]) == (True, paused["note"])
    async with _without_temporal(engine, alice) as lonely:
        unasked = (await lonely.get(f"/api/schedules/{made['id']}")).json()
    assert (unasked["paused"], unasked["note"]) == (True, paused["note"])
    resumed = (await alice.post(f"/api/schedules/{made['id']}/resume")).json()
    assert (resumed["paused"], resumed["note"]) == (False, "")


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
async def test_a_backfill_fires_as_often_as_it_was_said(alice: httpx.AsyncClient) -> None:
    made = await schedule(alice, await save(alice, sums(2)), cron="0 0 * * *")
    span = {"start_at": "2020-01-01T00:00:00Z", "end_at": "2020-01-03T00:00:00Z", "overlap": "allow_all"}
    path = f"/api/schedules/{made['id']}/backfill"

    assert (await alice.post(path, json=span)).json()["fires"] == 3
    await started(alice, made["id"], 3, "COMPLETED")
    assert (await alice.post(path, json=span)).json()["fires"] == 3
    await started(alice, made["id"], 6, "COMPLETED")


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


NO_SCHEDULES: list[tuple[dict[str, Any], str]] = [
    ({"cron": "0 0 * *"}, "cron"),
    ({"cron": "0 0 0 * * *"}, "cron"),
    ({"cron": "@every 5m"}, "cron"),
    ({"cron": "0 0 31 2 *"}, "cron"),
    ({"cron": ["0 0 * * *", "60 0 * * *"]}, "cron.1"),
    ({"timezone": "Middle/Earth"}, "timezone"),
    ({"intervals": [{"every": 30}]}, "intervals.0.every"),
    ({"intervals": [{"every": 90}]}, "intervals.0.every"),
    ({"calendars": [{"hour": "25"}]}, "calendars.0"),
    ({"calendars": [{"second": "1"}]}, "calendars.0.second"),
    ({"overlap": "none"}, "overlap"),
    ({"catchup_window": 5}, "catchup_window"),
    ({"start_at": "2027-01-01T00:00:00"}, "start_at"),
    ({"unknown": 1}, "unknown"),
]


async def test_what_is_no_schedule_is_refused_by_the_name_of_the_field(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(2))
    for body, field in NO_SCHEDULES:
        response = await alice.post(f"/api/graphs/{graph_id}/schedules", json={**YEARLY, **body})
        assert response.status_code == 422, (body, response.text)
        assert response.json()["error"]["details"]["errors"][0]["field"] == f"body.{field}"
    assert (await alice.get("/api/schedules")).json()["items"] == []


async def test_what_could_not_be_executed_is_not_scheduled(alice: httpx.AsyncClient, api: RestApi) -> None:
    graph_id = await save(alice, echo())
    path = f"/api/graphs/{graph_id}/schedules"
    for body, status in (
        ({"inputs": {"y": 1}}, 400),
        ({"inputs": {"x": 1}, "preset_id": str(uuid.uuid4())}, 404),
        ({"inputs": {"x": 1}, "graph_version": 2}, 404),
        ({"inputs": {"x": 1}, "max_node_executions": 2_000_000}, 422),
        ({"inputs": {"x": "x" * 2_000_000}}, 413),
        ({"inputs": {"x": 1}, "cron": None}, 422),
        ({"inputs": {"x": 1}, "start_at": "2027-01-02T00:00Z", "end_at": "2027-01-01T00:00Z"}, 422),
    ):
        response = await alice.post(path, json={**YEARLY, **body})
        assert response.status_code == status, (body, response.text[:300])
    made = await schedule(alice, graph_id, inputs={"x": 1})
    refused = await alice.patch(f"/api/schedules/{made['id']}", json={"inputs": {"y": 1}})
    assert refused.status_code == 400
    assert await shown(alice, made["id"]) == made


async def test_a_schedule_of_a_block_that_is_turned_off_is_refused(
    engine: Engine, client: Client, alice: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, sums(2))
    block = make_registry(BlockChoice(disabled=frozenset({"calculator_block"})))
    async with (
        run_api(engine.database_url, _to(client), registry=block) as strict,
        strict.caller(token=alice.headers["Authorization"].removeprefix("Bearer ")) as same,
    ):
        response = await same.post(f"/api/graphs/{graph_id}/schedules", json=YEARLY)
    assert response.status_code == 400
    assert "turned off" in response.text


async def test_a_user_has_so_many_schedules_and_no_more(engine: Engine, client: Client) -> None:
    async with (
        run_api(engine.database_url, _to(client), schedules_per_user=2) as api,
        api.caller() as caller,
    ):
        graph_id = await save(caller, sums(2))
        path = f"/api/graphs/{graph_id}/schedules"
        answers = await asyncio.gather(*(caller.post(path, json=YEARLY) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409]
        for row in (await caller.get("/api/schedules")).json()["items"]:
            assert (await caller.delete(f"/api/schedules/{row['id']}")).status_code == 204


async def test_nothing_is_done_while_temporal_is_away_but_a_graph_goes_with_its_schedules(
    engine: Engine, client: Client, alice: httpx.AsyncClient
) -> None:
    made = await schedule(alice, await save(alice, sums(2)))
    path, graph_path = f"/api/schedules/{made['id']}", f"/api/graphs/{made['graph_id']}"

    async with _without_temporal(engine, alice) as same:
        answers = [
            await same.post(f"{graph_path}/schedules", json=YEARLY),
            await same.patch(path, json={"name": "other"}),
            await same.post(f"{path}/pause"),
            await same.post(f"{path}/trigger"),
            await same.post(
                f"{path}/backfill", json={"start_at": "2020-01-01T00:00Z", "end_at": "2021-01-01T00:00Z"}
            ),
            await same.delete(path),
        ]
        seen = (await same.get(path)).json()
        [listed] = (await same.get("/api/schedules")).json()["items"]
        assert {answer.status_code for answer in answers} == {503}
        assert (seen["name"], seen["paused"], seen["next_fire_times"]) == ("", False, None)
        assert listed == seen
        assert [row["id"] for row in (await alice.get("/api/schedules")).json()["items"]] == [made["id"]]
        # What is left in Temporal starts nothing, and is deleted there when it fires or by the reconciler.
        assert (await same.delete(graph_path)).status_code == 204
        assert (await same.get(path)).status_code == 404
    await mirror.remove(client, uuid.UUID(made["id"]))


@pytest.mark.usefixtures("worker")
async def test_with_a_graph_go_its_schedules_and_a_fire_at_that_moment_starts_nothing(
    client: Client, engine: Engine, alice: httpx.AsyncClient
) -> None:
    graph_id, other_id = [await save(alice, sums(2)) for _ in range(2)]
    made, late = [await schedule(alice, each) for each in (graph_id, other_id)]
    assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 204
    assert (await alice.get(f"/api/schedules/{made['id']}")).status_code == 404
    assert await mirror.describe(client, uuid.UUID(made["id"])) is None

    # The fire has read its schedule, and then finds no graph.
    await engine.pool.execute("UPDATE graphs SET deleted_at = now() WHERE id = $1", uuid.UUID(other_id))
    await client.get_schedule_handle(late["id"]).trigger()

    async def is_gone() -> bool:
        return await mirror.describe(client, uuid.UUID(late["id"])) is None

    await eventually(is_gone)
    assert (await alice.get("/api/executions")).json()["items"] == []


async def test_pause_resume_and_delete_reach_temporal(client: Client, alice: httpx.AsyncClient) -> None:
    made = await schedule(alice, await save(alice, sums(2)), remaining_actions=3)
    path, schedule_id = f"/api/schedules/{made['id']}", uuid.UUID(made["id"])

    paused = (await alice.post(f"{path}/pause", json={"note": "for the holidays"})).json()
    described = await mirror.describe(client, schedule_id)
    assert described is not None
    assert (paused["paused"], paused["note"], paused["remaining_actions"]) == (True, "for the holidays", 3)
    assert (described.is_paused, described.note) == (True, "for the holidays")
    assert len((await alice.get("/api/user/audit")).json()["items"]) >= 2
    assert (await alice.post(f"{path}/resume")).json()["paused"] is False
    assert (await alice.delete(path)).status_code == 204
    assert await mirror.describe(client, schedule_id) is None
    assert (await alice.delete(path)).status_code == 404


@asynccontextmanager
async def _without_temporal(engine: Engine, user: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """Give the same user at an API that does not reach Temporal."""

    async def refuse() -> Client:
        raise RuntimeError("away")

    token = user.headers["Authorization"].removeprefix("Bearer ")
    async with run_api(engine.database_url, refuse) as lonely, lonely.caller(token=token) as same:
        yield same


def _to(client: Client) -> Any:
    async def connect() -> Client:
        return client

    return connect
