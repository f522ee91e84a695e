"""Graphs that are called by a name: published, called like functions, and documented as such."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from app.tenants import working_for
from tests.api_keys import holding, make_key
from tests.e2e.rest import graph, node, save
from tests.engine import Engine
from tests.rest_api import RestApi
from tests.reviews import answer as reply
from tests.reviews import asked, asking


def adder() -> dict[str, Any]:
    """Return a graph that adds `a` and `b`, of which `b` has a default."""
    nodes = [
        node("a", "agent_number_input_block", name="a", title="First", description="The first summand."),
        node("b", "agent_number_input_block", name="b", value=1),
        node("add", "calculator_block", operation="Add"),
        node("out", "agent_output_block", name="sum"),
    ]
    return graph(nodes, ["a.result -> add.a", "b.result -> add.b", "add.result -> out.value"])


def decoding() -> dict[str, Any]:
    """Return a graph that fails for a text that ends in the middle of an escape."""
    nodes = [
        node("text", "agent_input_block", name="text"),
        node("decode", "text_decoder_block"),
        node("out", "agent_output_block", name="decoded"),
    ]
    return graph(nodes, ["text.result -> decode.text", "decode.decoded_text -> out.value"])


async def publish(client: httpx.AsyncClient, body: dict[str, Any], slug: str, **more: Any) -> str:
    """Save a graph and publish it; return its id."""
    graph_id = await save(client, body)
    response = await client.put(f"/api/graphs/{graph_id}/publication", json={"slug": slug, **more})
    assert response.status_code == 200, response.text
    return graph_id


def code_of(response: httpx.Response) -> str:
    code: str = response.json()["error"]["error_code"]
    return code


@pytest.mark.usefixtures("worker")
async def test_a_published_graph_is_called_like_a_function(alice: httpx.AsyncClient) -> None:
    graph_id = await publish(alice, adder(), "add-two")
    answer = await alice.post("/api/run/add-two", json={"a": 2, "b": 3})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["outputs"]) == ("COMPLETED", {"sum": [5]})
    execution = (await alice.get(answer.headers["Location"])).json()
    assert execution["id"] == answer.headers["X-Perdure-Execution-Id"] == answer.json()["execution_id"]
    assert (execution["graph_id"], execution["trigger"]) == (graph_id, "api")
    refused = await alice.post("/api/run/add-two", json={"a": "no number"})
    assert (refused.status_code, code_of(refused)) == (400, "GRAPH_VALIDATION_ERROR")
    assert (await alice.post("/api/run/add-two", json=[1])).status_code == 422


@pytest.mark.usefixtures("worker")
async def test_what_fails_is_told_by_the_status_of_the_answer(alice: httpx.AsyncClient) -> None:
    await publish(alice, decoding(), "decode")
    failed = await alice.post("/api/run/decode", json={"text": "\\x"})
    assert (failed.status_code, code_of(failed)) == (424, "EXECUTION_FAILED")
    details = failed.json()["error"]["details"]
    assert details["status"] == failed.headers["X-Perdure-Status"] == "FAILED"
    assert details["execution_id"] == failed.headers["X-Perdure-Execution-Id"]
    assert details["error"]["node_id"] == "decode"
    assert (await alice.get(f"/api/executions/{details['execution_id']}")).json()["status"] == "FAILED"


@pytest.mark.usefixtures("worker")
async def test_a_call_that_goes_on_is_answered_with_where_it_is(alice: httpx.AsyncClient) -> None:
    graph_id = await publish(alice, asking({"a": 1}), "ask")
    key = {"Idempotency-Key": "once"}
    first = await alice.post("/api/run/ask?mode=async", json={}, headers=key)
    assert first.status_code == 202, first.text
    assert first.headers["Location"] == f"/api/executions/{first.json()['execution_id']}"
    changed = {"slug": "ask", "budget": 70, "graph_version": 1}
    assert (await alice.put(f"/api/graphs/{graph_id}/publication", json=changed)).is_success
    again = await alice.post("/api/run/ask?timeout=0.1", json={}, headers=key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert again.json()["execution_id"] == first.json()["execution_id"]
    other = await alice.post("/api/run/ask", json={"x": 1}, headers=key)
    assert other.status_code in {400, 422}
    review = await asked(alice, first.json()["execution_id"])
    waiting = asyncio.create_task(alice.post("/api/run/ask", json={}, headers=key))
    await reply(alice, review, approved=True)
    done = await waiting
    assert (done.status_code, done.json()["outputs"]["approved_data"]) == (200, [{"a": 1}])
    stopped = await alice.post("/api/run/ask?mode=async", json={})
    await alice.post(f"/api/executions/{stopped.json()['execution_id']}/stop")


@pytest.mark.usefixtures("worker")
async def test_a_streamed_call_ends_with_its_result(alice: httpx.AsyncClient) -> None:
    await publish(alice, adder(), "add")
    for query, headers in (("?mode=stream", {}), ("", {"Accept": "text/event-stream"})):
        answer = await alice.post(f"/api/run/add{query}", json={"a": 1}, headers=headers)
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        events = [frame for frame in answer.text.split("\n\n") if "event:" in frame]
        names = [frame.split("event: ")[1].split("\n")[0] for frame in events]
        assert names[-2:] == ["execution_completed", "result"]
        result = json.loads(events[-1].split("data: ")[1])
        assert result["outputs"] == {"sum": [2]}
        assert result["execution_id"] == answer.headers["X-Perdure-Execution-Id"]


async def test_a_name_is_for_one_graph_and_of_a_kind_that_fits_into_addresses(
    alice: httpx.AsyncClient,
) -> None:
    graph_id = await publish(alice, adder(), "taken")
    other = await save(alice, adder())
    path = f"/api/graphs/{other}/publication"
    for slug in ("", "-a", "a-", "A", "a b", "a/b", "a.b", "\u0430", "x" * 61, "openapi", "mcp", 5, None):
        assert (await alice.put(path, json={"slug": slug})).status_code == 422, slug
    clash = await alice.put(path, json={"slug": "taken"})
    assert (clash.status_code, clash.json()["error"]["details"]) == (409, {"graph_id": graph_id})
    needing = await save(alice, graph([node("ask", "firecrawl_scrape_block", url="https://example.org")], []))
    uncalled = await alice.put(f"/api/graphs/{needing}/publication", json={"slug": "free"})
    assert (uncalled.status_code, code_of(uncalled)) == (400, "GRAPH_VALIDATION_ERROR")
    for wrong in ({"graph_version": 2}, {"preset_id": str(uuid.uuid4())}):
        assert (await alice.put(path, json={"slug": "free", **wrong})).status_code == 404
    assert (await alice.get(path)).status_code == 404
    again = await alice.put(f"/api/graphs/{graph_id}/publication", json={"slug": "renamed"})
    assert again.json()["url"] == "/api/run/renamed"
    assert (await alice.put(path, json={"slug": "taken"})).status_code == 200
    listed = (await alice.get("/api/publications?limit=1")).json()
    assert [item["slug"] for item in listed["items"]] == ["renamed"]
    rest = (await alice.get(f"/api/publications?cursor={listed['next_cursor']}")).json()
    assert [item["slug"] for item in rest["items"]] == ["taken"]
    assert (await alice.delete(path)).status_code == 204
    assert (await alice.delete(path)).status_code == 404
    assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 204
    assert (await alice.get("/api/publications")).json()["items"] == []
    for slug in ("renamed", "none", "%00", "A"):
        assert (await alice.post(f"/api/run/{slug}", json={})).status_code == 404
    done = [entry["action"] for entry in (await alice.get("/api/user/audit")).json()["items"]]
    assert {"publication.update", "publication.delete"} <= set(done)


@pytest.mark.usefixtures("worker")
async def test_a_call_runs_the_version_preset_and_budget_that_were_published(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    graph_id = await publish(alice, adder(), "add")
    assert (await alice.put(f"/api/graphs/{graph_id}", json=decoding())).status_code == 200
    assert (await alice.post("/api/run/add", json={"text": "x"})).json()["outputs"] == {"decoded": ["x"]}
    body = {"graph_id": graph_id, "graph_version": 1, "name": "forty", "inputs": {"a": 40}}
    preset = (await alice.post("/api/presets", json=body)).json()["id"]
    path = f"/api/graphs/{graph_id}/publication"
    shown = (await alice.put(path, json={"slug": "add", "preset_id": preset, "budget": 10})).json()
    assert (shown["runs_version"], shown["input_schema"]["required"]) == (1, [])
    for given, budget in (({}, 10), ({"X-Perdure-Budget": "5"}, 5), ({"X-Perdure-Budget": "50"}, 10)):
        answer = await alice.post("/api/run/add", json={"b": 2}, headers=given)
        assert answer.json()["outputs"] == {"sum": [42]}, answer.text
        assert (await alice.get(answer.headers["Location"])).json()["budget"] == budget
    assert (await alice.delete(f"/api/presets/{preset}")).status_code == 409
    assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 204
    assert await engine.pool.fetchval("SELECT count(*) FROM publications WHERE graph_id = $1", graph_id) == 0


async def test_the_version_and_the_budget_of_a_publication_come_before_all_others(
    api: RestApi, alice: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, adder())
    for _ in range(2):
        await alice.put(f"/api/graphs/{graph_id}", json={**adder(), "description": "Adds."})
    body = {"graph_id": graph_id, "graph_version": 1, "name": "p", "inputs": {"a": 1}}
    preset = (await alice.post("/api/presets", json=body)).json()["id"]
    path = f"/api/graphs/{graph_id}/publication"
    given = {"slug": "pinned", "preset_id": preset, "graph_version": 2, "budget": 0}
    shown = (await alice.put(path, json=given)).json()
    assert (shown["runs_version"], shown["input_schema"]["required"]) == (2, [])
    assert shown["description"] == "Adds.", "what the version says, where the publication says nothing"
    for headers in ({}, {"X-Perdure-Budget": "5"}):
        answer = await alice.post("/api/run/pinned?mode=async", json={}, headers=headers)
        execution = (await alice.get(answer.headers["Location"])).json()
        assert (execution["graph_version"], execution["budget"]) == (2, 0)
    keyed = [
        await alice.post(
            "/api/run/pinned?mode=async",
            json={},
            headers={"Idempotency-Key": "k", "X-Perdure-Budget": budget},
        )
        for budget in ("5", "6")
    ]
    assert [answer.status_code for answer in keyed] == [202, 422]
    entries = (await alice.get("/api/user/audit")).json()["items"]
    assert {e["details"].get("slug") for e in entries if e["action"] == "execution.start"} == {"pinned"}
    service = api.application.state.resources.published.publications
    owner = (await alice.get("/api/user")).json()["id"]
    with working_for(owner):
        before = await service.find_stamps(owner)
        assert (await alice.patch(f"/api/presets/{preset}", json={"inputs": {}})).status_code == 200
        after = await service.find_stamps(owner)
        assert (await alice.put(path, json={**given, "description": "Its own."})).status_code == 200
        renamed = await service.find_stamps(owner)
    assert len({repr(stamps) for stamps in (before, after, renamed)}) == 3, "its document is another one"


def require_right(described: dict[str, Any], answer: dict[str, Any]) -> None:
    """Check the document of a call of the graph that adds, and that the call's answer is as it says."""
    OPENAPI_31_VALIDATOR.validate(described)
    assert all(
        isinstance(found, Ok) for found in schemathesis.openapi.from_dict(described).get_all_operations()
    )
    operation = described["paths"]["/api/run/add"]["post"]
    assert operation["description"] == "Adds two numbers."
    (body,) = operation["requestBody"]["content"].values()
    components = {"components": described["components"]}
    assert body["schema"]["required"] == ["a"]
    assert body["schema"]["properties"]["a"]["description"] == "The first summand."
    jsonschema_rs.validator_for({**body["schema"], **components}).validate(body["example"])
    given = operation["responses"]["200"]["content"]["application/json"]["schema"]
    outputs = jsonschema_rs.validator_for({**given, **components})
    outputs.validate(answer)
    assert not outputs.is_valid({**answer, "outputs": {"sum": 3}})


@pytest.mark.usefixtures("worker")
async def test_published_graphs_are_documented_for_their_owner_alone(
    api: RestApi, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    graph_id = await publish(alice, adder(), "add", description="Adds two numbers.")
    async with api.caller(token="") as nobody, holding(api, await make_key(alice, "graphs:read")) as reader:
        plain = (await nobody.get("/openapi.json")).json()
        assert plain == api.application.openapi()
        assert (await reader.get("/openapi.json")).json() == (await bob.get("/openapi.json")).json() == plain
        assert (await nobody.get("/openapi.json", headers={"X-API-Key": "wrong"})).status_code == 401
    async with holding(api, await make_key(alice, "executions:run")) as caller:
        document = (await caller.get("/openapi.json")).json()
        alone = (await caller.get("/api/run/add/openapi.json")).json()
        answer = await caller.post("/api/run/add", json={"a": 1, "b": 2})
    # The rest of the whole document is tried elsewhere.
    assert document == {**plain, "paths": {**plain["paths"], **alone["paths"]}}
    assert set(alone["paths"]) == {"/api/run/add"}
    require_right(alone, answer.json())
    assert (await bob.get("/api/run/add/openapi.json")).status_code == 404
    assert (await alice.put(f"/api/graphs/{graph_id}", json=decoding())).status_code == 200
    changed = (await alice.get("/openapi.json")).json()["paths"]["/api/run/add"]["post"]
    assert list(changed["requestBody"]["content"]["application/json"]["schema"]["properties"]) == ["text"]


async def test_a_publication_is_called_no_more_often_than_it_says(alice: httpx.AsyncClient) -> None:
    graph_id = await publish(alice, adder(), "rare", calls_per_minute=2)
    path = f"/api/graphs/{graph_id}/publication"
    assert (await alice.get(path)).json()["calls_per_minute"] == 2
    calls = [await alice.post("/api/run/rare?mode=async", json={"a": 1}) for _ in range(3)]
    assert [call.status_code for call in calls] == [202, 202, 429]
    assert code_of(calls[2]) == "RATE_LIMITED"
    assert 0 < int(calls[2].headers["Retry-After"]) <= 60
    assert len((await alice.get("/api/executions")).json()["items"]) == 2
    for wrong in (0, -1, 60_001, "5", 1.5):
        assert (await alice.put(path, json={"slug": "rare", "calls_per_minute": wrong})).status_code == 422


async def test_a_graph_of_somebody_else_is_not_called(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, engine: Engine
) -> None:
    await publish(alice, adder(), "add")
    theirs = await bob.post("/api/run/add", json={"a": 1})
    nothing = await bob.post("/api/run/nothing", json={"a": 1})
    assert theirs.status_code == nothing.status_code == 404
    told = [answer.json()["error"] for answer in (theirs, nothing)]
    assert told[0]["message"] == told[1]["message"]
    await publish(bob, decoding(), "add")
    assert (await alice.get("/api/publications")).json()["items"][0]["input_schema"]["required"] == ["a"]


def example_of(page: str) -> dict[str, Any]:
    """Return the names that the Python example of a page about how something is done defines."""
    text = (Path(__file__).parents[2] / "docs/howto" / page).read_text()
    names: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], names)
    return names


@pytest.mark.usefixtures("worker")
async def test_the_example_of_the_page_about_calls_works(api: RestApi, alice: httpx.AsyncClient) -> None:
    await publish(alice, adder(), "add")
    async with holding(api, await make_key(alice, "executions:run")) as program:
        for _ in range(2):
            assert await example_of("graph-as-api.md")["add"](program) == 5
    assert len((await alice.get("/api/executions")).json()["items"]) == 1
