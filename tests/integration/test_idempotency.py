"""Changing calls under an Idempotency-Key: carried out once, answered the same each time."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from app.models.sweeps import delete_old_keys
from app.tenants import working_for
from tests.e2e.rest import save, start, sums, wait
from tests.engine import Engine
from tests.integration.test_rest_executions import slow
from tests.rest_api import RestApi
from tests.reviews import asked, asking
from tests.stack import eventually


async def call(
    client: httpx.AsyncClient, method: str, path: str, key: str, body: Any = None
) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return await client.request(method, f"/api{path}", headers=headers, json=body)


async def twice(client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> httpx.Response:
    """Make a call twice under a key of its own; return the answer, which is the same both times."""
    key = str(uuid.uuid4())
    first = await call(client, method, path, key, body)
    again = await call(client, method, path, key, body)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers.get("content-type") == first.headers.get("content-type")
    assert first.is_success, first.text
    return first


async def test_a_repeated_change_of_a_graph_is_made_once(alice: httpx.AsyncClient) -> None:
    graph_id = (await twice(alice, "POST", "/graphs", sums(2))).json()["id"]
    assert len((await alice.get("/api/graphs")).json()["items"]) == 1
    assert (await twice(alice, "PUT", f"/graphs/{graph_id}", sums(3))).json()["version"] == 2
    assert len((await alice.get(f"/api/graphs/{graph_id}/versions")).json()["items"]) == 2
    body = {"active_graph_version": 1}
    assert (await twice(alice, "PUT", f"/graphs/{graph_id}/versions/active", body)).json()["version"] == 1
    assert (await twice(alice, "DELETE", f"/graphs/{graph_id}")).status_code == 204


@pytest.mark.usefixtures("worker")
async def test_a_repeated_steering_of_an_execution_is_answered_as_the_first_time(
    alice: httpx.AsyncClient,
) -> None:
    execution_id = (await start(alice, await save(alice, slow(60))))["id"]
    path = f"/executions/{execution_id}"

    async def is_running() -> bool:
        return bool((await alice.get(f"/api{path}")).json()["status"] == "RUNNING")

    await eventually(is_running)
    assert (await twice(alice, "POST", f"{path}/pause")).json()["status"] == "PAUSED"
    assert (await twice(alice, "POST", f"{path}/resume")).json()["status"] == "RUNNING"
    # Without the key the second call would find nothing open.
    assert (await twice(alice, "POST", "/executions/stop", {"ids": [execution_id]})).json()["matched"] == 1
    assert (await twice(alice, "POST", f"{path}/stop")).json()["status"] == "CANCELLED"
    assert (await twice(alice, "DELETE", path)).status_code == 204


@pytest.mark.usefixtures("worker")
async def test_a_repeated_answer_to_a_review_is_no_conflict(alice: httpx.AsyncClient) -> None:
    execution = await start(alice, await save(alice, asking({"a": 1})))
    review = await asked(alice, execution["id"])
    path = f"/executions/{execution['id']}/reviews/{review['node_execution_id']}"
    assert (await twice(alice, "POST", path, {"approved": True})).json()["status"] == "answered"
    assert (await alice.post(f"/api{path}", json={"approved": True})).status_code == 409
    assert (await wait(alice, execution["id"]))["outputs"]["approved_data"] == [{"a": 1}]


@pytest.mark.usefixtures("worker")
async def test_a_repeated_trial_of_a_block_that_failed_is_not_tried_again(alice: httpx.AsyncClient) -> None:
    tried = {"inputs": {"operation": "Nonsense", "a": 1, "b": 0}}
    key = str(uuid.uuid4())
    first = await call(alice, "POST", "/blocks/calculator_block/execute", key, tried)
    again = await call(alice, "POST", "/blocks/calculator_block/execute", key, tried)
    assert first.status_code == 400
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (first.status_code, first.content) == (again.status_code, again.content)


async def test_a_key_is_for_one_request_of_one_user(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    first = await call(alice, "POST", "/graphs", "key", sums(2))
    graph_id = first.json()["id"]
    for method, path, body in (
        ("POST", "/graphs", sums(3)),
        ("POST", "/graphs/validate", sums(2)),
        ("PUT", f"/graphs/{graph_id}", sums(2)),
        ("DELETE", f"/graphs/{graph_id}", None),
        ("POST", "/executions/stop", {"graph_id": graph_id}),
        ("POST", "/executions/rerun", {"graph_id": graph_id}),
    ):
        clash = await call(alice, method, path, "key", body)
        assert (clash.status_code, clash.json()["error"]["error_code"]) == (422, "INVALID_REQUEST"), path
    theirs = await call(bob, "POST", "/graphs", "key", sums(2))
    assert theirs.status_code == 201
    assert theirs.json()["user_id"] != first.json()["user_id"]
    assert (await alice.get(f"/api/graphs/{graph_id}")).json()["version"] == 1


async def test_the_same_body_written_in_another_way_is_a_repeat(alice: httpx.AsyncClient) -> None:
    first = await call(alice, "POST", "/graphs", "key", sums(2))
    other = dict(reversed(sums(2).items()))
    assert (await call(alice, "POST", "/graphs", "key", other)).json() == first.json()


async def test_a_refused_request_takes_no_key(alice: httpx.AsyncClient) -> None:
    for body in ({"name": "x"}, {"name": "x", "nodes": [{"id": "a", "block_id": "none"}]}):
        assert (await call(alice, "POST", "/graphs", "key", body)).status_code in (400, 422)
    assert (await call(alice, "POST", "/graphs", "key", sums(2))).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_has_some_characters_and_not_too_many(alice: httpx.AsyncClient, key: str) -> None:
    assert (await call(alice, "POST", "/graphs", key, sums(2))).status_code == 422


async def test_of_many_requests_at_once_one_is_carried_out(alice: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(call(alice, "POST", "/graphs", "key", sums(2)) for _ in range(12)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.json()["error"]["error_code"] for answer in answers if answer.status_code == 409} <= {
        "CONFLICT"
    }
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert len((await alice.get("/api/graphs")).json()["items"]) == 1


async def test_what_a_dead_process_had_not_done_is_done_by_a_repeat_and_nothing_twice(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    created = (await call(alice, "POST", "/graphs", "key", sums(2))).json()
    owner = created["user_id"]
    # As if the process had died after the graph was saved, before its answer was.
    lost = "UPDATE idempotency_keys SET status = NULL, body = NULL WHERE user_id = $1"
    await engine.pool.execute(lost, owner)
    assert (await call(alice, "POST", "/graphs", "key", sums(2))).status_code == 409
    # As if it had not come so far yet: it has its time.
    begun = "UPDATE idempotency_keys SET is_done = $2 WHERE user_id = $1"
    await engine.pool.execute(begun, owner, False)
    assert (await call(alice, "POST", "/graphs", "key", sums(2))).status_code == 409
    await engine.pool.execute(begun, owner, True)
    later = "UPDATE idempotency_keys SET claimed_at = claimed_at - interval '2 minutes' WHERE user_id = $1"
    await engine.pool.execute(later, owner)
    refused = await call(alice, "POST", "/graphs", "key", sums(2))
    assert refused.status_code == 409
    assert "answer was lost" in refused.json()["error"]["message"]
    assert len((await alice.get("/api/graphs")).json()["items"]) == 1

    # As if it had died before.
    await engine.pool.execute("UPDATE idempotency_keys SET is_done = false WHERE user_id = $1", owner)
    assert (await call(alice, "POST", "/graphs", "key", sums(3))).status_code == 422
    assert (await call(alice, "POST", "/graphs", "key", sums(2))).status_code == 201
    # What has an answer is not done again, whatever is noted of it.
    await engine.pool.execute(begun, owner, False)
    await engine.pool.execute(later, owner)
    answered = await call(alice, "POST", "/graphs", "key", sums(2))
    assert answered.headers["Idempotent-Replayed"] == "true"
    assert len((await alice.get("/api/graphs")).json()["items"]) == 2


async def test_who_comes_back_after_a_repeat_has_begun_changes_nothing(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine
) -> None:
    owner = (await alice.get("/api/user")).json()["id"]
    resources = api.application.state.resources
    graph_id = uuid.UUID(await save(alice, sums(2)))

    async def deletes_too_late() -> Response:
        await engine.pool.execute(
            "UPDATE idempotency_keys SET claim = gen_random_uuid() WHERE user_id = $1", owner
        )
        await resources.graphs.delete(owner, graph_id)
        return Response()

    with working_for(owner):
        refused = await resources.idempotent_calls.answer(
            deletes_too_late, owner=owner, key="key", fingerprint="f", request_id="r"
        )
    assert refused.status_code == 409
    assert (await alice.get(f"/api/graphs/{graph_id}")).status_code == 200


async def test_a_key_is_forgotten_after_a_day(alice: httpx.AsyncClient, engine: Engine) -> None:
    owner = (await call(alice, "POST", "/graphs", "key", sums(2))).json()["user_id"]
    older = "UPDATE idempotency_keys SET claimed_at = claimed_at - interval '25 hours' WHERE user_id = $1"
    await engine.pool.execute(older, owner)
    anew = await call(alice, "POST", "/graphs", "key", sums(3))
    assert (anew.status_code, "Idempotent-Replayed" in anew.headers) == (201, False)
    await engine.pool.execute(older, owner)
    await delete_old_keys(engine.pool, kept=timedelta(hours=24))
    assert not await engine.pool.fetchval("SELECT count(*) FROM idempotency_keys WHERE user_id = $1", owner)
