"""Credentials over REST: kept without ever being given back, chosen for executions, and used by nobody else."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from app.api.services.identity import fingerprint_of
from app.models.credentials import MOST_CREDENTIALS
from tests.credentials import (
    KEYS,
    PROBES,
    KeyProbe,
    TokenProbe,
    body_of,
    keep,
    make_registry,
    probing,
    trace_of,
)
from tests.e2e.rest import graph, node, save, wait
from tests.engine import Engine
from tests.rest_api import RestApi, run_api

KINDS = list(KEYS)
SECRET = "s3cret-of-the-tests-0123456789"


@pytest.fixture
async def engine(engine: Engine) -> Engine:
    """An engine that knows the probes."""
    engine.registry = make_registry()
    return engine


@pytest.fixture
async def api(engine: Engine, client: Client) -> AsyncIterator[RestApi]:
    """An API that knows them too."""

    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url, connect, registry=engine.registry, task_queue=engine.task_queue
    ) as running:
        yield running


async def execute(
    client: httpx.AsyncClient, body: dict[str, Any], chosen: dict[str, Any] | None = None, /, **more: Any
) -> httpx.Response:
    """Save a graph and execute it with these credentials."""
    graph_id = await save(client, body)
    given = {"inputs": {}, "credentials_inputs": chosen or {}, **more}
    return await client.post(f"/api/graphs/{graph_id}/execute", json=given)


async def ended(client: httpx.AsyncClient, response: httpx.Response) -> dict[str, Any]:
    """Return an execution that was started, once it has ended."""
    assert response.status_code == 200, response.text
    return await wait(client, response.json()["id"])


def errors_of(response: httpx.Response) -> Any:
    assert response.status_code == 400, response.text
    assert response.json()["error"]["error_code"] == "GRAPH_VALIDATION_ERROR"
    return response.json()["error"]["details"]["node_errors"]


# -- kept


@pytest.mark.parametrize("kind", KINDS)
async def test_a_secret_goes_in_and_never_comes_out(alice: httpx.AsyncClient, kind: str) -> None:
    created = await alice.post("/api/credentials", json=body_of(kind, SECRET))
    assert created.status_code == 201
    shown = created.json()
    assert shown["type"] == kind
    assert shown["title"] == f"my {kind}"
    path = f"/api/credentials/{shown['id']}"
    answers = [
        created,
        await alice.get("/api/credentials"),
        await alice.get(path),
        await alice.patch(path, json={"title": "other"}),
    ]
    assert all(SECRET not in answer.text for answer in answers)
    assert (await alice.get(path)).json()["title"] == "other"
    assert (await alice.delete(path)).status_code == 204
    assert (await alice.get(path)).status_code == 404
    assert (await alice.delete(path)).status_code == 404


async def test_what_is_wrong_with_credentials_is_said_without_repeating_them(
    alice: httpx.AsyncClient,
) -> None:
    bad = [
        {**body_of("api_key", SECRET), "type": SECRET},
        {**body_of("api_key", SECRET), "provider": f"{SECRET}!"},
        {**body_of("api_key", SECRET), "api_key": [SECRET]},
        {**body_of("api_key", SECRET), "api_key": SECRET * 1_000},
        {**body_of("api_key", SECRET), "password": SECRET},
        {**body_of("api_key", SECRET), "expires_at": SECRET},
        {**body_of("user_password", SECRET), "username": None},
        {**body_of("oauth2", SECRET), "scopes": SECRET},
        {**body_of("oauth2", SECRET), "expires_at": "2026-01-01T00:00:00"},
        {**body_of("host_scoped", SECRET), "host": f"https://{SECRET}/"},
        {**body_of("host_scoped", SECRET), "headers": {"X-A": f"{SECRET}\r\nX-B: 1"}},
        {**body_of("host_scoped", SECRET), "headers": {"X A": SECRET}},
        {**body_of("host_scoped", SECRET), "headers": {}},
        {**body_of("host_scoped", SECRET), "headers": {f"X-{n}": SECRET for n in range(21)}},
    ]
    for body in bad:
        response = await alice.post("/api/credentials", json=body)
        assert response.status_code == 422, body
        assert SECRET not in response.text
    assert (await alice.get("/api/credentials")).json()["items"] == []


async def test_a_list_comes_in_pages_and_by_provider(alice: httpx.AsyncClient) -> None:
    made = [await keep(alice, "api_key", SECRET, provider=name) for name in ("one", "two", "one")]
    first = (await alice.get("/api/credentials?limit=2")).json()
    second = (await alice.get("/api/credentials", params={"cursor": first["next_cursor"]})).json()
    assert [row["id"] for row in first["items"] + second["items"]] == made[::-1]
    of_one = (await alice.get("/api/credentials?provider=one")).json()["items"]
    assert [row["id"] for row in of_one] == [made[2], made[0]]


async def test_a_change_replaces_what_it_names(alice: httpx.AsyncClient, engine: Engine) -> None:
    kept = await keep(alice, "oauth2", SECRET, refresh_token="r", expires_at="2030-01-01T00:00:00Z")
    path = f"/api/credentials/{kept}"
    assert (await alice.patch(path, json={"api_key": "x"})).status_code == 422
    assert (await alice.patch(path, json={"provider": "other"})).status_code == 422
    assert (await alice.get(path)).json()["expires_at"].startswith("2030")
    changed = await alice.patch(path, json={"access_token": "another", "scopes": ["read"]})
    assert changed.status_code == 200
    assert (changed.json()["expires_at"], changed.json()["scopes"]) == (None, ["read"])


async def test_nobody_has_more_than_their_share(alice: httpx.AsyncClient, engine: Engine) -> None:
    await keep(alice, "api_key", SECRET)
    await engine.pool.execute(
        "INSERT INTO credentials (id, user_id, provider, type, title, secret, key_id) "
        "SELECT gen_random_uuid(), user_id, 'x', 'api_key', 'x', '', '' FROM credentials, generate_series(2, $1) "
        "WHERE user_id = (SELECT user_id FROM credentials ORDER BY created_at DESC LIMIT 1)",
        MOST_CREDENTIALS,
    )
    refused = await alice.post("/api/credentials", json=body_of("api_key", SECRET))
    assert refused.status_code == 409


async def test_a_key_of_a_request_keeps_nothing_secret(alice: httpx.AsyncClient, engine: Engine) -> None:
    headers = {"Idempotency-Key": f"{uuid.uuid4()}"}
    answers = [
        await alice.post("/api/credentials", json=body_of("api_key", SECRET), headers=headers)
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    rows = await engine.pool.fetch(
        "SELECT * FROM idempotency_keys WHERE key = $1", headers["Idempotency-Key"]
    )
    assert SECRET not in json.dumps([dict(row) for row in rows], default=str)
    # A plain hash of the request would let whoever reads the table guess a weak password.
    [path, body] = "/api/credentials", body_of("api_key", SECRET)
    plain = fingerprint_of({"call": ["POST", path, []], "body": body})
    assert [row["fingerprint"] for row in rows] != [plain]


# -- chosen


async def test_a_graph_says_which_credentials_it_needs(alice: httpx.AsyncClient) -> None:
    nodes = [node(f"n{number}", block.id) for number, block in enumerate(PROBES)]
    nodes.append(node("again", KeyProbe.id))
    body = graph(nodes, [])
    graph_id = await save(alice, body)
    schema = (await alice.get(f"/api/graphs/{graph_id}")).json()["credentials_input_schema"]
    assert list(schema["properties"]) == [KEYS[kind] for kind in KINDS]
    assert schema["required"] == [KEYS[kind] for kind in KINDS]
    entry = schema["properties"][KEYS["oauth2"]]
    assert entry["credentials_provider"] == ["acme"]
    assert entry["credentials_types"] == ["oauth2"]
    assert entry["credentials_scopes"] == ["read"]
    validated = (await alice.post("/api/graphs/validate", json=body)).json()
    assert validated["credentials_input_schema"] == schema


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(("kind", "block"), list(zip(KINDS, PROBES, strict=True)))
async def test_a_block_gets_what_was_chosen(
    alice: httpx.AsyncClient, kind: str, block: type[KeyProbe]
) -> None:
    kept = await keep(alice, kind, SECRET)
    execution = await ended(alice, await execute(alice, probing(block), {KEYS[kind]: {"id": kept}}))
    assert execution["outputs"] == {"trace": [trace_of(SECRET)]}
    assert (await alice.get(f"/api/credentials/{kept}")).json()["last_used_at"] is not None


@pytest.mark.usefixtures("worker")
async def test_a_node_may_name_its_credentials_itself_and_a_choice_wins(alice: httpx.AsyncClient) -> None:
    own = await keep(alice, "api_key", SECRET)
    other = await keep(alice, "api_key", f"{SECRET}-other")
    body = probing(credentials={"id": own, "provider": "acme", "type": "api_key", "title": "mine"})
    assert (await alice.post("/api/graphs/validate", json=body)).json()["credentials_input_schema"][
        "required"
    ] == []
    execution = await ended(alice, await execute(alice, body))
    assert execution["outputs"] == {"trace": [trace_of(SECRET)]}
    execution = await ended(alice, await execute(alice, body, {KEYS["api_key"]: other}))
    assert execution["outputs"] == {"trace": [trace_of(f"{SECRET}-other")]}


async def test_nothing_starts_without_what_it_needs(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    own, theirs = await keep(alice, "api_key", SECRET), await keep(bob, "api_key", SECRET)
    elsewhere = await keep(alice, "api_key", SECRET, provider="elsewhere")
    password = await keep(alice, "user_password", SECRET)
    key = KEYS["api_key"]
    assert "are needed" in errors_of(await execute(alice, probing()))["probe"]["credentials"]
    none = errors_of(await execute(alice, probing(), {key: str(uuid.uuid4())}))
    assert errors_of(await execute(alice, probing(), {key: theirs})) == none
    assert errors_of(await execute(alice, probing(), {key: SECRET})) == none
    assert errors_of(await execute(alice, probing(credentials={"id": theirs}))) == none
    assert "elsewhere" in errors_of(await execute(alice, probing(), {key: elsewhere}))["probe"]["credentials"]
    assert "type" in errors_of(await execute(alice, probing(), {key: password}))["probe"]["credentials"]
    assert "no such" in errors_of(await execute(alice, probing(), {key: own, "x": own}))["graph"]["x"]
    assert "by their id" in errors_of(await execute(alice, probing(), {key: 5}))["graph"][key]
    narrow = await keep(alice, "oauth2", SECRET, scopes=["write"])
    lacking = errors_of(await execute(alice, probing(TokenProbe), {KEYS["oauth2"]: narrow}))
    assert "'read'" in lacking["probe"]["credentials"]
    assert (await alice.get("/api/executions")).json()["items"] == []


@pytest.mark.usefixtures("worker")
async def test_a_node_whose_credentials_are_optional_is_skipped_without_them(
    alice: httpx.AsyncClient,
) -> None:
    body = probing(metadata={"credentials_optional": True})
    graph_id = await save(alice, body)
    schema = (await alice.get(f"/api/graphs/{graph_id}")).json()["credentials_input_schema"]
    assert (list(schema["properties"]), schema["required"]) == ([KEYS["api_key"]], [])
    execution = await ended(alice, await execute(alice, body))
    assert (execution["status"], execution["outputs"]) == ("COMPLETED", {})
    nodes = (await alice.get(f"/api/executions/{execution['id']}/nodes")).json()["items"]
    assert [(each["node_id"], each["status"], each["outputs"]) for each in nodes] == [
        ("probe", "SKIPPED", {})
    ]
    events = (await alice.get(f"/api/executions/{execution['id']}/events")).json()["items"]
    assert "node_skipped" in [event["type"] for event in events]
    kept = await keep(alice, "api_key", SECRET)
    execution = await ended(alice, await execute(alice, body, {KEYS["api_key"]: kept}))
    assert execution["outputs"] == {"trace": [trace_of(SECRET)]}


@pytest.mark.usefixtures("worker")
async def test_credentials_that_are_deleted_stop_to_work_at_once(alice: httpx.AsyncClient) -> None:
    kept = await keep(alice, "api_key", SECRET)
    graph_id = await save(alice, probing())
    chosen = {"inputs": {}, "credentials_inputs": {KEYS["api_key"]: kept}}
    first = await ended(alice, await alice.post(f"/api/graphs/{graph_id}/execute", json=chosen))
    assert first["status"] == "COMPLETED"
    assert (await alice.delete(f"/api/credentials/{kept}")).status_code == 204
    errors_of(await alice.post(f"/api/graphs/{graph_id}/execute", json=chosen))


@pytest.mark.usefixtures("worker")
async def test_a_nested_graph_uses_what_was_chosen_above(alice: httpx.AsyncClient) -> None:
    inner = await save(alice, probing())
    outer = graph(
        [
            node("agent", "agent_executor_block", graph_id=inner),
            node("out", "agent_output_block", name="trace"),
        ],
        ["agent.trace -> out.value"],
    )
    saved = await save(alice, outer)
    schema = (await alice.get(f"/api/graphs/{saved}")).json()["credentials_input_schema"]
    assert schema["required"] == [KEYS["api_key"]]
    assert KEYS["api_key"] in errors_of(await execute(alice, outer))["graph"]
    kept = await keep(alice, "api_key", SECRET)
    execution = await ended(alice, await execute(alice, outer, {KEYS["api_key"]: kept}))
    assert execution["outputs"] == {"trace": [trace_of(SECRET)]}


@pytest.mark.usefixtures("worker")
async def test_a_rerun_uses_the_same_credentials_or_others(alice: httpx.AsyncClient) -> None:
    kept = await keep(alice, "api_key", SECRET)
    first = await ended(alice, await execute(alice, probing(act="fail"), {KEYS["api_key"]: kept}))
    assert first["status"] == "FAILED"
    path = f"/api/executions/{first['id']}/rerun"
    preview = (await alice.post(path, json={"dry_run": True})).json()
    assert preview["missing_credentials"] == {}
    again = await ended(alice, await alice.post(path, json={}))
    assert again["error"]["code"] == "BLOCK_FAILED"
    await alice.delete(f"/api/credentials/{kept}")
    preview = (await alice.post(path, json={"dry_run": True})).json()
    assert list(preview["missing_credentials"]) == ["probe"]
    assert errors_of(await alice.post(path, json={})) == preview["missing_credentials"]
    bulk = (await alice.post("/api/executions/rerun", json={"ids": [first["id"]]})).json()
    assert [refused["code"] for refused in bulk["refused"]] == ["GRAPH_VALIDATION_ERROR"]
    other = await keep(alice, "api_key", SECRET)
    body = {"credentials_inputs": {KEYS["api_key"]: other}}
    assert (await ended(alice, await alice.post(path, json=body)))["error"]["code"] == "BLOCK_FAILED"


@pytest.mark.usefixtures("worker")
async def test_what_was_skipped_stays_so_in_a_rerun_unless_it_is_named(alice: httpx.AsyncClient) -> None:
    nodes = [
        node("skipped", KeyProbe.id, metadata={"credentials_optional": True}),
        node("out", "agent_output_block", name="trace"),
        node("failing", TokenProbe.id, act="fail"),
    ]
    body = graph(nodes, ["skipped.out -> out.value"])
    token, key = await keep(alice, "oauth2", SECRET), await keep(alice, "api_key", SECRET)
    first = await ended(alice, await execute(alice, body, {KEYS["oauth2"]: token}))
    path = f"/api/executions/{first['id']}/rerun"
    preview = (await alice.post(path, json={"dry_run": True})).json()
    assert preview["reused"] == [{"node_id": "skipped", "count": 1}]
    assert [each["node_id"] for each in preview["to_run"]] == ["failing"]
    again = await ended(alice, await alice.post(path, json={}))
    assert again["outputs"] == {}
    named = {"from_nodes": ["skipped"], "credentials_inputs": {KEYS["api_key"]: key}}
    assert (await ended(alice, await alice.post(path, json=named)))["outputs"] == {
        "trace": [trace_of(SECRET)]
    }


@pytest.mark.usefixtures("worker")
async def test_a_block_on_its_own_uses_credentials_of_the_caller_only(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    kept = await keep(alice, "api_key", SECRET)
    path = f"/api/blocks/{KeyProbe.id}/execute"
    inputs = {"credentials": {"id": kept, "provider": "acme", "type": "api_key"}}
    assert (await alice.post(path, json={"inputs": inputs})).json()["outputs"] == {"out": [trace_of(SECRET)]}
    for refused in (
        await bob.post(path, json={"inputs": inputs}),
        await alice.post(path, json={"inputs": {}}),
    ):
        assert refused.status_code == 400
        assert refused.json()["error"]["error_code"] == "CREDENTIALS_MISSING"
