"""Schedules over REST, with a real Temporal: fires are triggered by hand, so that nobody has to wait for a minute."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from app.schedules import mirror
from tests.credentials import keep
from tests.deployment import timer
from tests.e2e.rest import node, save, sums
from tests.engine import Engine
from tests.rest_api import run_api
from tests.schedules import YEARLY, echo, schedule, shown, started, trigger
from tests.stack import eventually


@pytest.mark.usefixtures("worker")
async def test_a_fire_is_an_execution_of_the_active_version_with_the_inputs_of_the_schedule(
    client: Client, alice: httpx.AsyncClient, engine: Engine
) -> None:
    graph_id = await save(alice, echo())
    made = await schedule(
        alice, graph_id, inputs={"x": 5}, name="five", budget=7, overlap="allow_all", priority=2
    )
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
    described = await client.get_workflow_handle(first["id"]).describe()
    assert f"Started by schedule `{made['id']}`" in str(await described.static_details())
    assert described.raw_description.workflow_execution_info.priority.priority_key == 2
    await engine.pool.execute("UPDATE executions SET deleted_at = now() WHERE id = $1", third["id"])
    last = (await shown(alice, made["id"]))["last_executions"]
    assert [row["id"] for row in last] == [second["id"], first["id"]]


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
    assert row["preset_id"] == (await shown(alice, made["id"]))["preset_id"]
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
    made = await schedule(alice, await save(alice, timer()), overlap=overlap, pause_on_failure=True)
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
    assert (await shown(alice, made["id"]))["paused"] is False, "what was stopped has not failed"
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
