"""Presets over REST: kept, checked as far as they go, executed; what is large in them stays as long as they do."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest

from tests.credentials import keep
from tests.e2e.rest import get, graph, node, save
from tests.engine import Engine

LARGE = "x" * 10_000


def echoing() -> dict[str, Any]:
    """Return a graph that gives back a required text and a number."""
    nodes = [
        node("in", "agent_short_text_input_block", name="text"),
        node("number", "agent_number_input_block", name="number", value=1),
        node("out", "agent_output_block", name="text"),
        node("count", "agent_output_block", name="number"),
    ]
    return graph(nodes, ["in.result -> out.value", "number.result -> count.value"])


async def make(client: httpx.AsyncClient, graph_id: str, **given: Any) -> dict[str, Any]:
    response = await client.post("/api/presets", json={"graph_id": graph_id, "name": "mine", **given})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


@pytest.mark.usefixtures("worker")
async def test_a_preset_is_executed_and_what_the_call_gives_wins(alice: httpx.AsyncClient) -> None:
    preset = await make(alice, await save(alice, echoing()), inputs={"text": "kept", "number": 2})
    path = f"/api/presets/{preset['id']}/execute?wait=30"
    as_kept = (await alice.post(path, json={})).json()
    assert as_kept["outputs"] == {"text": ["kept"], "number": [2]}
    assert (as_kept["preset_id"], as_kept["trigger"]) == (preset["id"], "api")
    other = (await alice.post(path, json={"inputs": {"text": "given"}})).json()
    assert other["outputs"] == {"text": ["given"], "number": [2]}
    named = await alice.post(
        f"/api/graphs/{preset['graph_id']}/execute?wait=30", json={"preset_id": preset["id"]}
    )
    assert named.json()["outputs"] == as_kept["outputs"]


async def test_a_repeated_call_starts_one_execution(alice: httpx.AsyncClient) -> None:
    preset = await make(alice, await save(alice, echoing()), inputs={"text": "once"})
    path, headers = f"/api/presets/{preset['id']}/execute", {"Idempotency-Key": "k"}
    first, again = [await alice.post(path, json={}, headers=headers) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await alice.post(path, json={"inputs": {"text": "other"}}, headers=headers)
    assert other.status_code == 422


async def test_what_is_given_has_to_fit(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, echoing())
    preset = await make(alice, graph_id)
    for given, place in (
        ({"inputs": {"nothing": 1}}, "nothing"),
        ({"inputs": {"number": "many"}}, "number"),
        ({"credentials_inputs": {"nothing": "x"}}, "nothing"),
    ):
        refused = await alice.post("/api/presets", json={"graph_id": graph_id, "name": "mine", **given})
        assert refused.status_code == 400, refused.text
        assert place in str(refused.json()["error"]["details"]["node_errors"])
        changed = await alice.patch(f"/api/presets/{preset['id']}", json=given)
        assert changed.status_code == 400, changed.text


async def test_what_is_required_may_be_left_open_until_the_call(alice: httpx.AsyncClient) -> None:
    preset = await make(alice, await save(alice, echoing()), inputs={"number": 3})
    path = f"/api/presets/{preset['id']}/execute"
    assert (await alice.post(path, json={})).status_code == 400
    assert (await alice.post(path, json={"inputs": {"text": "now"}})).status_code == 200


async def test_credentials_that_are_somebody_elses_are_not_kept(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    asking = graph([node("ask", "firecrawl_scrape_block", url="https://example.org")], [])
    graph_id = await save(alice, asking)
    key = next(
        iter((await alice.get(f"/api/graphs/{graph_id}")).json()["credentials_input_schema"]["properties"])
    )
    theirs, own = [await keep(client, "api_key", "k", provider="firecrawl") for client in (bob, alice)]
    body = {"graph_id": graph_id, "name": "mine", "credentials_inputs": {key: theirs}}
    assert (await alice.post("/api/presets", json=body)).status_code == 400
    assert (await make(alice, graph_id, credentials_inputs={key: own}))["credentials_inputs"] == {key: own}


async def test_credentials_that_a_call_gives_win_and_those_of_the_preset_are_enough(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    graph_id = await save(
        alice, graph([node("ask", "firecrawl_scrape_block", url="https://example.org")], [])
    )
    schema = (await alice.get(f"/api/graphs/{graph_id}")).json()["credentials_input_schema"]
    (key,) = schema["properties"]
    kept, given = [await keep(alice, "api_key", "k", provider="firecrawl") for _ in range(2)]
    preset = await make(alice, graph_id, credentials_inputs={key: kept})
    for chosen, used in (({}, kept), ({key: given}, given)):
        body = {"credentials_inputs": chosen}
        answer = await alice.post(f"/api/presets/{preset['id']}/execute", json=body)
        assert answer.status_code == 200, answer.text
        query = "SELECT credentials ->> $2 FROM executions WHERE id = $1"
        assert await engine.pool.fetchval(query, answer.json()["id"], key) == used
    by_preset = {"graph_id": graph_id, "preset_id": preset["id"], "name": "w", "scheme": "token"}
    assert (await alice.post("/api/webhooks", json=by_preset)).status_code == 201
    published = {"slug": "asks", "preset_id": preset["id"]}
    assert (await alice.put(f"/api/graphs/{graph_id}/publication", json=published)).status_code == 200


async def test_a_preset_of_a_version_stays_with_it(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, echoing())
    pinned = await make(alice, graph_id, graph_version=1, inputs={"text": "x"})
    following = await make(alice, graph_id, inputs={"text": "x"})
    assert (await alice.put(f"/api/graphs/{graph_id}", json=echoing())).status_code == 200
    versions = [
        (await alice.post(f"/api/presets/{preset['id']}/execute", json={})).json()["graph_version"]
        for preset in (pinned, following)
    ]
    assert versions == [1, 2]
    nowhere = await alice.patch(f"/api/presets/{pinned['id']}", json={"graph_version": 9})
    assert nowhere.status_code == 404
    freed = await alice.patch(f"/api/presets/{pinned['id']}", json={"graph_version": None})
    assert freed.json()["graph_version"] is None


async def test_presets_are_listed_changed_and_deleted(alice: httpx.AsyncClient) -> None:
    graph_id, other = await save(alice, echoing()), await save(alice, echoing())
    first = await make(alice, graph_id, inputs={"text": "a"}, description="<b>For</b> tests")
    second = await make(alice, other)
    assert first["description"] == "For tests"
    listed = (await alice.get("/api/presets?limit=1")).json()
    assert [item["id"] for item in listed["items"]] == [second["id"]]
    rest = (await alice.get(f"/api/presets?cursor={listed['next_cursor']}")).json()
    assert [item["id"] for item in rest["items"]] == [first["id"]]
    of_graph = (await alice.get(f"/api/presets?graph_id={graph_id}")).json()["items"]
    assert of_graph == [first]
    changed = await alice.patch(f"/api/presets/{first['id']}", json={"name": "other"})
    assert changed.json()["name"] == "other"
    assert changed.json()["inputs"] == {"text": "a"}
    assert (await alice.get(f"/api/presets/{first['id']}")).json() == changed.json()
    assert (await alice.delete(f"/api/presets/{first['id']}")).status_code == 204
    assert (await alice.get(f"/api/presets/{first['id']}")).status_code == 404


async def test_changes_at_once_all_hold(alice: httpx.AsyncClient) -> None:
    preset = await make(alice, await save(alice, echoing()), inputs={"text": "x"})
    changes: list[dict[str, Any]] = [
        {"graph_version": 1},
        {"name": "other"},
        {"description": "why"},
        {"inputs": {"text": "y"}},
    ]
    answers = await asyncio.gather(
        *(alice.patch(f"/api/presets/{preset['id']}", json=body) for body in changes)
    )
    assert [answer.status_code for answer in answers] == [200] * 4
    changed = (await alice.get(f"/api/presets/{preset['id']}")).json()
    assert {name: changed[name] for body in changes for name in body} == {
        name: value for body in changes for name, value in body.items()
    }


async def test_large_inputs_stay_as_long_as_their_preset(alice: httpx.AsyncClient, engine: Engine) -> None:
    preset = await make(alice, await save(alice, echoing()), inputs={"text": LARGE})
    path = f"/api/presets/{preset['id']}"

    async def uses() -> int:
        query = "SELECT count(*) FROM value_uses WHERE execution_id = $1"
        return int(await engine.pool.fetchval(query, uuid.UUID(preset["id"])))

    assert await uses() == 1
    assert (await alice.get(path)).json()["inputs"] == {"text": LARGE}
    started = (await alice.post(f"{path}/execute", json={})).json()
    assert (await alice.patch(path, json={"inputs": {"text": "small"}})).status_code == 200
    assert await uses() == 0
    assert (await get(alice, started["id"]))["inputs"]["text"] == LARGE
    assert (await alice.patch(path, json={"inputs": {"text": LARGE}})).status_code == 200
    assert await uses() == 1
    assert (await alice.delete(path)).status_code == 204
    assert await uses() == 0


async def test_the_presets_of_a_graph_go_with_it(alice: httpx.AsyncClient, engine: Engine) -> None:
    graph_id = await save(alice, echoing())
    preset = await make(alice, graph_id, inputs={"text": LARGE})
    assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 204
    assert (await alice.get(f"/api/presets/{preset['id']}")).status_code == 404
    left = "SELECT count(*) FROM value_uses WHERE execution_id = $1"
    assert await engine.pool.fetchval(left, uuid.UUID(preset["id"])) == 0
    gone = await alice.post("/api/presets", json={"graph_id": graph_id, "name": "late"})
    assert gone.status_code == 404


async def test_a_preset_that_a_schedule_starts_executions_with_stays(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, echoing())
    preset = await make(alice, graph_id, inputs={"text": "x"})
    yearly = {"cron": "0 0 1 1 *", "preset_id": preset["id"]}
    made = await alice.post(f"/api/graphs/{graph_id}/schedules", json=yearly)
    assert made.status_code == 201, made.text
    path = f"/api/presets/{preset['id']}"
    assert (await alice.delete(path)).status_code == 409
    assert (await alice.delete(f"/api/schedules/{made.json()['id']}")).status_code == 204
    assert (await alice.delete(path)).status_code == 204


async def test_a_preset_serves_its_owner_and_its_graph_alone(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    graph_id, other = await save(alice, echoing()), await save(alice, echoing())
    preset = await make(alice, graph_id, inputs={"text": "x"})
    crossed = await alice.post(f"/api/graphs/{other}/execute", json={"preset_id": preset["id"]})
    assert crossed.status_code == 404
    theirs = await bob.post(f"/api/presets/{preset['id']}/execute", json={})
    nobodys = await bob.post(f"/api/presets/{uuid.uuid4()}/execute", json={})
    assert theirs.status_code == nobodys.status_code == 404
    assert (await bob.post("/api/presets", json={"graph_id": graph_id, "name": "x"})).status_code == 404
