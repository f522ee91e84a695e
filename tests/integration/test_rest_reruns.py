"""Reruns over REST with the API in the test's own process."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from app.api.schemas.reruns import BulkRerunBody
from app.api.services.bulk_rerun import BulkRerunning
from app.database import Sessions
from app.tenants import working_for
from tests.e2e.rest import graph, node, save, start, sums, wait
from tests.rest_api import RestApi


async def test_a_dry_run_says_what_the_models_to_be_asked_cost(
    alice: httpx.AsyncClient, worker: None
) -> None:
    nodes = [
        node("text", "store_value_block", input="hello"),
        # No key is there, so nobody is asked.
        node("model", "llm_call_block", model="gpt-4", metadata={"retry": {"max_attempts": 1}}),
        node("second", "llm_call_block", model="gpt-4"),
    ]
    links = ["text.output -> model.prompt", "model.response -> second.prompt"]
    execution = await start(alice, await save(alice, graph(nodes, links)))
    assert (await wait(alice, execution["id"]))["status"] == "FAILED"
    path = f"/api/executions/{execution['id']}/rerun"

    preview = (await alice.post(path, json={"dry_run": True})).json()

    price = (await alice.post(path, json={"dry_run": True, "from_nodes": ["second"]})).json()
    assert preview["reused"] == [{"node_id": "text", "count": 1}]
    assert preview["to_run"] == [{"node_id": "model", "count": 1}, {"node_id": "second", "count": 1}]
    assert preview["unkeyed"] == []
    assert preview["estimated_credits"] > 0
    assert price["estimated_credits"] == preview["estimated_credits"]


@pytest.mark.parametrize("stop_deadline_seconds", [0.5])
async def test_a_rerun_with_nobody_at_work_is_accepted_and_waits(alice: httpx.AsyncClient) -> None:
    execution = await start(alice, await save(alice, sums(2)))
    path = f"/api/executions/{execution['id']}"
    stopped = (await alice.post(f"{path}/stop")).json()
    assert stopped["status"] == "CANCELLED"

    again = await alice.post(f"{path}/rerun", json={"budget": 7, "priority": 1})

    assert again.status_code == 200, again.text
    assert again.json()["status"] == "QUEUED"
    assert again.json()["budget"] == 7
    assert again.json()["parent_id"] == execution["id"]


async def test_pages_of_what_was_taken_over_follow_one_another(
    alice: httpx.AsyncClient, worker: None
) -> None:
    execution = await start(alice, await save(alice, sums(5)))
    original = await wait(alice, execution["id"])
    again = await alice.post(f"/api/executions/{original['id']}/rerun", json={"from_nodes": ["n3"]})
    ended = await wait(alice, again.json()["id"])
    assert ended["outputs"] == original["outputs"]
    listed, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await alice.get(f"/api/executions/{ended['id']}/nodes", params=params)).json()
        listed += [(row["node_id"], row["reused"]) for row in page["items"]]
        if not (cursor := page["next_cursor"]):
            break
    assert listed == [("n0", True), ("n1", True), ("n2", True), ("n3", False), ("n4", False), ("out", False)]


@pytest.mark.usefixtures("worker")
async def test_what_cannot_be_run_again_so_is_refused_by_name(alice: httpx.AsyncClient) -> None:
    ended = await start(alice, await save(alice, sums(2)), wait=15)
    other = await save(alice, sums(2))
    assert (await alice.put(f"/api/graphs/{other}", json=sums(3))).json()["version"] == 2
    path = f"/api/executions/{ended['id']}/rerun"
    for dry_run in (True, False):
        for body, status in (
            ({"from_nodes": ["nowhere"]}, 422),
            ({"from_nodes": ["n0", "\u0001"]}, 422),
            ({"from_nodes": []}, 422),
            # The version of another graph is none of this one.
            ({"from_nodes": ["n0"], "graph_version": 2}, 404),
            ({"from_nodes": ["n0"], "inputs": {"unknown": 1}}, 400),
            ({}, 409),
        ):
            refused = await alice.post(path, json={**body, "dry_run": dry_run})
            assert refused.status_code == status, (body, refused.text)
    assert len((await alice.get("/api/executions")).json()["items"]) == 1


@pytest.mark.usefixtures("worker")
async def test_reruns_at_once_under_one_key_are_one(alice: httpx.AsyncClient) -> None:
    ended = await start(alice, await save(alice, sums(2)), wait=15)
    path, headers = f"/api/executions/{ended['id']}/rerun", {"Idempotency-Key": "again"}
    body = {"from_nodes": ["n0"]}
    answers = await asyncio.gather(*(alice.post(path, json=body, headers=headers) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len((await alice.get("/api/executions")).json()["items"]) == 2
    clash = await alice.post(path, json={"from_nodes": ["n1"]}, headers=headers)
    assert clash.status_code == 422


@pytest.mark.usefixtures("worker")
async def test_a_bulk_rerun_without_time_begins_nothing_more(api: RestApi, alice: httpx.AsyncClient) -> None:
    ended = await start(alice, await save(alice, sums(2)), wait=15)
    resources = api.application.state.resources
    hurried = BulkRerunning(
        Sessions(resources.tenants),
        resources.rerunning,
        resources.idempotent_calls,
        answer_within_seconds=0,
    )
    with working_for(ended["user_id"]):
        done = await hurried.rerun(ended["user_id"], BulkRerunBody(ids=[ended["id"]]), None)
    assert (done.started, [refusal.code for refusal in done.refused]) == (0, ["NOT_REACHED"])
