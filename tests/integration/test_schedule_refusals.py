"""Schedules that are refused: what is no schedule, what could not be executed, and one too many."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
from temporalio.client import Client

from app.blocks.choice import BlockChoice
from app.blocks.registry import make_registry
from tests.e2e.rest import save, sums
from tests.engine import Engine
from tests.rest_api import RestApi, run_api
from tests.schedules import YEARLY, echo, schedule, shown

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


def _to(client: Client) -> Any:
    async def connect() -> Client:
        return client

    return connect
