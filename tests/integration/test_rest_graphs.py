"""Graphs over REST: saved, changed, listed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from tests.e2e.rest import graph, node, save, start, sums

GRAPH_FIELDS = {
    "id",
    "name",
    "description",
    "user_id",
    "version",
    "is_active",
    "created_at",
    "updated_at",
    "nodes",
    "links",
    "sub_graphs",
    "input_schema",
    "output_schema",
    "credentials_input_schema",
}


async def test_a_graph_comes_back_as_it_was_saved(alice: httpx.AsyncClient) -> None:
    body = sums(2)
    body["nodes"][0]["metadata"] = {"position": {"x": 1.5, "y": -2}, "mine": ["a", None, "\U0001f600"]}

    response = await alice.post("/api/graphs", json=body)
    saved = response.json()

    assert response.status_code == 201
    assert set(saved) == GRAPH_FIELDS
    assert (saved["version"], saved["is_active"], saved["sub_graphs"]) == (1, True, [])
    assert saved["credentials_input_schema"] == {"type": "object", "properties": {}, "required": []}
    assert saved["nodes"] == body["nodes"]
    assert all(made["id"] and made["is_static"] is False for made in saved["links"])
    assert [
        {name: made[name] for name in given}
        for made, given in zip(saved["links"], body["links"], strict=True)
    ] == body["links"]
    assert (await alice.get(f"/api/graphs/{saved['id']}")).json() == saved


async def test_links_of_static_blocks_are_static_whatever_is_said(alice: httpx.AsyncClient) -> None:
    nodes = [node("in", "agent_input_block", name="text"), node("out", "agent_output_block", name="text")]
    body = graph(nodes, ["in.result -> out.value"])
    body["links"][0]["is_static"] = False

    saved = (await alice.post("/api/graphs", json=body)).json()

    assert saved["links"][0]["is_static"] is True
    assert "text" in saved["input_schema"]["properties"]
    assert "text" in saved["output_schema"]["properties"]


async def test_each_change_is_a_new_version_and_older_ones_can_be_run(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(1))
    path = f"/api/graphs/{graph_id}"

    second = (await alice.put(path, json={**sums(2), "name": "second"})).json()
    assert (second["version"], second["is_active"], second["id"]) == (2, True, graph_id)
    first = (await alice.get(path, params={"version": 1})).json()
    assert (first["version"], first["is_active"], first["name"]) == (1, False, "test")

    versions = (await alice.get(f"{path}/versions")).json()
    assert [(row["version"], row["is_active"]) for row in versions["items"]] == [(2, True), (1, False)]
    activated = await alice.put(f"{path}/versions/active", json={"active_graph_version": 1})
    assert (activated.status_code, activated.json()["version"], activated.json()["is_active"]) == (
        200,
        1,
        True,
    )
    assert (await alice.get(path)).json()["version"] == 1
    assert (await start(alice, graph_id))["graph_version"] == 1
    executed = await alice.post(f"{path}/execute/2", json={})
    assert executed.json()["graph_version"] == 2
    for version in (3, 0, "1", None, 10**20):
        response = await alice.put(f"{path}/versions/active", json={"active_graph_version": version})
        assert response.status_code == (404 if version == 3 else 422)


async def test_versions_saved_at_once_get_numbers_of_their_own(alice: httpx.AsyncClient) -> None:
    path = f"/api/graphs/{await save(alice, sums(1))}"

    saved = await asyncio.gather(*(alice.put(path, json={**sums(1), "name": f"g{k}"}) for k in range(8)))

    assert sorted(response.json()["version"] for response in saved) == list(range(2, 10))
    current = (await alice.get(path)).json()
    assert current["version"] == 9
    by_name = {response.json()["name"]: response.json()["version"] for response in saved}
    versions = (await alice.get(f"{path}/versions")).json()["items"]
    assert {row["name"]: row["version"] for row in versions if row["version"] > 1} == by_name


async def test_an_invalid_change_leaves_the_graph_as_it_was(alice: httpx.AsyncClient) -> None:
    path = f"/api/graphs/{await save(alice, sums(1))}"
    before = (await alice.get(path)).json()

    refused = await alice.put(path, json=graph([node("n", "no_such_block")], []))

    assert refused.status_code == 400
    assert (await alice.get(path)).json() == before


async def test_graphs_are_listed_newest_first_page_by_page(alice: httpx.AsyncClient) -> None:
    ids = [await save(alice, sums(1)) for _ in range(5)]

    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await alice.get("/api/graphs", params=params)).json()
        seen += [row["id"] for row in page["items"]]
        assert all(set(row) == GRAPH_FIELDS for row in page["items"])
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert seen == ids[::-1]


async def test_a_page_of_large_graphs_is_cut_short_and_loses_none(alice: httpx.AsyncClient) -> None:
    large = [node("n", "note_block", text="x"), node("a", "calculator_block", operation="Add", a=1, b=1)]
    large[0]["metadata"] = {"text": "x" * 3_000_000}
    ids = [await save(alice, graph(large, [])) for _ in range(4)]

    seen: list[list[str]] = []
    params: dict[str, Any] = {}
    while True:
        page = (await alice.get("/api/graphs", params=params)).json()
        seen.append([row["id"] for row in page["items"]])
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert [graph_id for page_ids in seen for graph_id in page_ids] == ids[::-1]
    assert len(seen) == 2


async def test_the_largest_graph_is_saved_while_others_are_served(alice: httpx.AsyncClient) -> None:
    body = sums(9_999)
    for position, entry in enumerate(body["nodes"]):
        entry["metadata"] = {"position": {"x": position, "y": position}}
    longest = 0.0

    async def look_on() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await alice.get("/health/live")
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.01)

    onlooker = asyncio.create_task(look_on())
    began = time.monotonic()
    response = await alice.post("/api/graphs", json=body)
    took = time.monotonic() - began
    onlooker.cancel()

    assert response.status_code == 201, response.text[:500]
    assert len(response.json()["nodes"]) == 10_000
    assert took < 60
    assert longest < max(5, took / 2)


async def test_blocks_are_listed_and_found(alice: httpx.AsyncClient) -> None:
    every = (await alice.get("/api/blocks")).json()["items"]
    calculator = next(block for block in every if block["name"] == "CalculatorBlock")

    assert calculator["input_schema"]["properties"]["operation"]
    for ref in (calculator["id"], calculator["id"].upper(), calculator["slug"]):
        assert (await alice.get(f"/api/blocks/{ref}")).json() == calculator
    found = (await alice.get("/api/blocks", params={"q": "CALCULATOR"})).json()["items"]
    assert calculator in found
    assert len(found) < len(every)
    logic = (await alice.get("/api/blocks", params={"category": "logic"})).json()["items"]
    assert 0 < len(logic) < len(every)
    assert (await alice.get("/api/blocks", params={"category": "nonsense"})).status_code == 422
