"""The audit log: every call that changes something leaves one entry, done or refused, and nothing takes it away.

The routes are those that the table of policies gives a name in the log: a new one is missed on its first day.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs
from temporalio.client import Client

from app.api.policies import POLICIES
from tests.admin import an_admin, entries_of, id_of, short
from tests.api_keys import holding, make_key
from tests.e2e.rest import save, start, sums
from tests.engine import Engine
from tests.ledger import drain
from tests.payments import buy, paid
from tests.rest_api import RestApi, run_api
from tests.reviews import asked, asking
from tests.stripe_stub import StripeStub, selling
from tests.world import ELSEWHERE, charge, end_delivery, filled, make_world

AUDITED = {call: policy for call, policy in POLICIES.items() if policy.action}


@pytest.fixture
async def stripe() -> AsyncIterator[StripeStub]:
    async with StripeStub() as stub:
        yield stub


@pytest.fixture
async def api(engine: Engine, client: Client, stripe: StripeStub) -> AsyncIterator[RestApi]:
    """An API that sells credits, so that every route has something to do."""

    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url,
        connect,
        task_queue=engine.task_queue,
        stop_deadline_seconds=4.0,
        **selling(stripe, every_seconds=3600.0),
    ) as running:
        yield running


@pytest.fixture
async def admin(api: RestApi) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an administrator."""
    async with an_admin(api) as client:
        yield client


async def left_by(engine: Engine, response: httpx.Response) -> list[asyncpg.Record]:
    """Return the entries that a call has left."""
    request_id = response.headers["X-Request-ID"]
    return list(await engine.pool.fetch("SELECT * FROM audit_entries WHERE request_id = $1", request_id))


@pytest.mark.usefixtures("worker")
async def test_every_call_that_does_something_leaves_one_entry(
    api: RestApi,
    alice: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    engine: Engine,
    stripe: StripeStub,
) -> None:
    world = await make_world(alice, stripe)
    refund = world.sent["POST", "/admin/users/{user_id}/refunds"]["json"]["node_execution_id"]
    await charge(engine, refund, world.ids["user_id"])
    await end_delivery(engine, world.ids["delivery_id"])
    alice_id, admin_id = world.ids["user_id"], await id_of(admin)
    # What takes something away comes last.
    for call in sorted(AUDITED, key=lambda call: (call[0] == "DELETE", call[1].endswith("/refund"))):
        if call in ELSEWHERE:
            continue
        method, path = call
        policy = AUDITED[call]
        client, actor_id = (admin, admin_id) if policy.is_for_admins else (alice, alice_id)
        ids = {**world.ids, **world.own_ids.get(call, {})}
        response = await client.request(method, filled(path, ids), **world.sent.get(call, {}))
        assert response.is_success, (call, response.text)
        entries = await left_by(engine, response)
        assert [(entry["action"], entry["outcome"]) for entry in entries] == [(policy.action, "")], call
        (entry,) = entries
        assert (entry["actor_id"], entry["address"], entry["api_key_id"]) == (actor_id, "127.0.0.1", None)
        names = re.findall(r"{(\w+_id)}", path)
        assert entry["user_id"] == (alice_id if names else actor_id), call
        made = response.json().get("id") if response.status_code == 201 or policy.is_start else None
        if made and not policy.is_for_admins:
            assert entry["object_id"] == made, call
        elif names:
            assert entry["object_id"] == ids[names[-1]], call
        assert "secret" not in str(dict(entry)), call


async def test_every_call_that_is_refused_leaves_one_entry(
    api: RestApi, alice: httpx.AsyncClient, admin: httpx.AsyncClient, engine: Engine
) -> None:
    made = await make_key(alice, "audit:read")
    alice_id = await id_of(alice)
    async with holding(api, made) as key:
        for (method, path), policy in AUDITED.items():
            refusals = [await key.request(method, filled(path))]
            if method != "GET" and path != "/admin/credentials/reencrypt":
                client = admin if policy.is_for_admins else alice
                parameters = {"graph_id": str(uuid.uuid4())} if path == "/memories" else {}
                refusals.append(await client.request(method, filled(path), content=b"{", params=parameters))
            for response in refusals:
                assert 400 <= response.status_code < 500, (method, path, response.text)
                entries = await left_by(engine, response)
                code = response.json()["error"]["error_code"]
                assert [(entry["action"], entry["outcome"]) for entry in entries] == [
                    (policy.action, code)
                ], path
            (first, *_) = await left_by(engine, refusals[0])
            assert (first["user_id"], first["actor_id"]) == (alice_id, alice_id), path
            assert (str(first["api_key_id"]), first["outcome"]) == (made["id"], "FORBIDDEN"), path


async def test_what_a_user_does_stands_in_their_log_and_in_nobody_elses(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, sums(2))
    execution = await start(alice, graph_id)
    assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 204
    assert (await bob.delete(f"/api/graphs/{graph_id}")).status_code == 404
    assert (await alice.get("/api/graphs")).status_code == 200
    done = [
        ("graph.create", graph_id, ""),
        ("execution.start", execution["id"], ""),
        ("graph.delete", graph_id, ""),
    ]
    assert short(await entries_of(alice)) == done
    assert short(await entries_of(bob)) == [("graph.delete", graph_id, "NOT_FOUND")]
    first = (await alice.get("/api/user/audit", params={"limit": 2})).json()
    then = (await alice.get("/api/user/audit", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert short([*first["items"], *then["items"]]) == done[::-1]
    assert then["next_cursor"] is None


async def test_a_repeat_under_a_key_leaves_no_second_entry(alice: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    graphs = [await alice.post("/api/graphs", json=sums(2), headers=headers) for _ in range(3)]
    graph_id = graphs[0].json()["id"]
    path = f"/api/graphs/{graph_id}/execute"
    started = [(await alice.post(path, json={}, headers=headers)).status_code for _ in range(2)]
    assert started == [200, 200]
    entries = short(await entries_of(alice))
    assert [action for action, _, _ in entries] == ["graph.create", "execution.start"]


async def test_a_block_that_was_tried_stands_there_as_it_ended(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    await drain(engine.pool, await id_of(alice))
    async with engine.worker():
        path = "/api/blocks/{}/execute"
        failed = await alice.post(path.format("calculator_block"), json={"inputs": {"operation": "None"}})
        unpaid = await alice.post(path.format("ai_text_generator_block"), json={"inputs": {"prompt": "p"}})
    assert (failed.status_code, unpaid.status_code) == (400, 402)
    tried = [entry for entry in short(await entries_of(alice)) if entry[0] == "block.execute"]
    assert [outcome for _, _, outcome in tried] == [
        failed.json()["error"]["error_code"],
        "INSUFFICIENT_CREDITS",
    ]


async def test_what_a_holder_of_a_link_answers_is_told_to_the_owner(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine
) -> None:
    async with engine.worker():
        execution = await start(alice, await save(alice, asking({"a": 1})))
        review = await asked(alice, execution["id"])
        async with api.caller(token="") as nobody:
            assert (await nobody.get(review["link"])).status_code == 200
            answered = await nobody.post(review["link"], json={"approved": True})
            assert answered.status_code == 200
            assert (await nobody.post(review["link"], json={"approved": True})).status_code == 409
            unknown = await nobody.post("/api/reviews/link/nothing", json={"approved": True})
        (entry,) = await left_by(engine, answered)
        assert (entry["user_id"], entry["actor_id"]) == (await id_of(alice), "")
        assert (entry["action"], entry["object_id"]) == ("review.answer", review["node_execution_id"])
        assert entry["details"] == {"by": "link"}
        assert review["link"].rsplit("/", 1)[1] not in str(dict(entry))
        assert await left_by(engine, unknown) == []
    assert [outcome for _, _, outcome in short(await entries_of(alice))][-2:] == ["", "CONFLICT"]


async def test_what_the_payment_service_tells_stands_in_the_log(
    alice: httpx.AsyncClient, stripe: StripeStub
) -> None:
    top_up, _ = await paid(alice, stripe)
    await buy(alice)
    actions = short(await entries_of(alice))
    assert actions[:2] == [("top_up.begin", top_up["id"], ""), ("top_up.pay", top_up["id"], "")]
    assert len(actions) == 3


async def test_an_entry_goes_with_what_it_tells_of(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine
) -> None:
    """What could not be entered was not done either."""
    user_id = await id_of(alice)
    block = (
        "CREATE FUNCTION no_entry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"
    )
    await engine.pool.execute(block)
    await engine.pool.execute(
        "CREATE TRIGGER no_entry BEFORE INSERT ON audit_entries FOR EACH ROW "
        f"WHEN (NEW.user_id = '{user_id}') EXECUTE FUNCTION no_entry()"
    )
    try:
        with capture_logs() as lines:
            response = await alice.post("/api/graphs", json=sums(2))
    finally:
        await engine.pool.execute("DROP FUNCTION no_entry CASCADE")
    assert response.status_code == 500
    assert (await alice.get("/api/graphs")).json()["items"] == []
    (line,) = [line for line in lines if line["event"] == "audit_entry_not_written"]
    assert (line["action"], line["actor_id"], line["outcome"]) == ("graph.create", user_id, "SYSTEM_ERROR")


async def test_nobody_known_is_counted_in_the_log_of_the_server_alone(api: RestApi, engine: Engine) -> None:
    async with api.caller(token="forged") as nobody:
        with capture_logs() as lines:
            responses = [await nobody.post("/api/graphs", json=sums(2)) for _ in range(2)]
    assert [await left_by(engine, response) for response in responses] == [[], []]
    counts = [line["count"] for line in lines if line["event"] == "call_unauthenticated"]
    assert counts == [1, 2]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE {} SET user_id = ''", "DELETE FROM {}", "TRUNCATE {}", "DELETE FROM {} WHERE false"],
)
async def test_nothing_changes_an_entry(engine: Engine, statement: str) -> None:
    for table in ("audit_entries", "credit_entries"):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await engine.pool.execute(statement.format(table))


async def test_an_admin_finds_entries(
    api: RestApi, alice: httpx.AsyncClient, bob: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, sums(2))
    await bob.delete(f"/api/graphs/{graph_id}")
    alice_id, bob_id = await id_of(alice), await id_of(bob)
    (created,) = await entries_of(alice)
    both = {"graph.create", "graph.delete"}
    for query, found in (
        ({"user_id": alice_id}, {"graph.create"}),
        ({"object_id": graph_id}, both),
        ({"actor_id": bob_id, "outcome": "NOT_FOUND"}, {"graph.delete"}),
        ({"object_id": graph_id, "outcome": ""}, {"graph.create"}),
        ({"object_id": graph_id, "action": "graph.delete"}, {"graph.delete"}),
        ({"object_id": graph_id, "from": created["at"]}, both),
        ({"object_id": graph_id, "to": created["at"]}, set()),
        ({"user_id": "nobody"}, set()),
    ):
        response = await admin.get("/api/admin/audit", params=query)
        assert {entry["action"] for entry in response.json()["items"]} == found, query
    for wrong in ({"from": "yesterday"}, {"from": "2026-01-01T00:00:00"}, {"cursor": "x"}):
        assert (await admin.get("/api/admin/audit", params=wrong)).status_code == 422
    assert {action for action, _, _ in short(await entries_of(admin))} == {"admin.audit_read"}
