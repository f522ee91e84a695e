"""Reruns over REST with the API in the test's own process."""

from __future__ import annotations

import httpx

from tests.e2e.rest import graph, node, save, start, sums, wait


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
