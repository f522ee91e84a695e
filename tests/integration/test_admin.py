"""What administrators see and do, and that whom it concerns is told."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from app.api import callers
from app.models.spending import Settlement, Spend, reserve, settle
from tests.admin import an_admin, entries_of, id_of, short
from tests.e2e.rest import save, start, sums, wait
from tests.engine import Engine
from tests.ledger import add_execution, add_user, grant, require_sound
from tests.rest_api import RestApi
from tests.reviews import asked, asking
from tests.stack import eventually

USERS = "/api/admin/users"
EXECUTIONS = "/api/admin/executions"


@pytest.fixture
async def admin(api: RestApi) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an administrator."""
    async with an_admin(api) as client:
        yield client


async def charge(engine: Engine, user_id: str, execution_id: str, amount: int) -> str:
    """Charge a user for a call of an execution; return the id of the node execution."""
    spend = Spend(uuid.uuid4())
    async with engine.pool.acquire() as connection:
        await reserve(connection, execution_id, spend, amount, owner=user_id)
        async with connection.transaction():
            await settle(connection, execution_id, [Settlement(spend, amount)], owner=user_id)
        await connection.execute(
            "INSERT INTO node_executions (id, execution_id, node, node_id, block_id, n, status, attempt, inputs, "
            "outputs, cost, seq, ended_at) VALUES ($1, $2, $3, 'node', 'block', 1, 'COMPLETED', 1, '{}', '[]', $4, "
            "1, now())",
            spend.node_execution_id,
            uuid.UUID(execution_id),
            spend.node_execution_id.int % 2**31,
            amount,
        )
    return str(spend.node_execution_id)


async def nest(engine: Engine, user_id: str, parent_id: str, root_id: str) -> str:
    """Write down an execution that is nested in another one; return its id."""
    nested_id = await add_execution(engine.pool, user_id, root_id=root_id)
    await engine.pool.execute(
        "UPDATE executions SET parent_id = $2, parent_node = 0, parent_n = 1 WHERE id = $1",
        uuid.UUID(nested_id),
        uuid.UUID(parent_id),
    )
    return nested_id


async def refund(client: httpx.AsyncClient, user_id: str, **body: Any) -> tuple[int, Any]:
    """Ask for a refund; return the status, and the credits that were given back or could be."""
    answer = await client.post(f"{USERS}/{user_id}/refunds", json={"reason": "it failed", **body})
    if answer.status_code == 409:
        return 409, answer.json()["error"]["details"]["refundable_credits"]
    return answer.status_code, answer.json().get("credits")


async def test_an_admin_finds_users_and_sees_what_they_have(
    admin: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    me = (await alice.get("/api/user")).json()
    for words in (me["email"], me["id"], me["email"][:20].upper()):
        found = (await admin.get(USERS, params={"q": words})).json()["items"]
        assert [user["id"] for user in found] == [me["id"]]
    assert (await admin.get(USERS, params={"q": "%"})).json()["items"] == []
    first = (await admin.get(USERS, params={"limit": 1})).json()
    second = (await admin.get(USERS, params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert first["items"][0]["created_at"] >= second["items"][0]["created_at"]
    assert first["items"][0]["id"] != second["items"][0]["id"]

    await start(alice, await save(alice, sums(2)))
    shown = (await admin.get(f"{USERS}/{me['id']}")).json()
    assert (shown["credits"], shown["reserved"], shown["executions"]) == (1000, 0, {"QUEUED": 1})
    assert (await admin.get(f"{USERS}/nobody")).status_code == 404
    assert ("admin.user_read", me["id"], "") in short(await entries_of(alice))


async def test_an_admin_suspends_a_user_and_sets_what_they_may_spend(
    api: RestApi, admin: httpx.AsyncClient, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "WELCOME_SECONDS", 0.0)
    user = f"{USERS}/{await id_of(alice)}"
    answer = await admin.patch(user, json={"suspended": True, "daily_limit": 5, "total_limit": 50})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["daily_limit"], answer.json()["total_limit"]) == (5, 50)
    assert (await alice.get("/api/user")).status_code == 403
    suspended = (await admin.get(USERS, params={"suspended": True, "limit": 200})).json()["items"]
    assert answer.json()["id"] in {user["id"] for user in suspended}
    welcome = (await admin.get(USERS, params={"suspended": False, "limit": 200})).json()["items"]
    assert answer.json()["id"] not in {user["id"] for user in welcome}
    assert await id_of(admin) in {user["id"] for user in welcome}
    answer = await admin.patch(user, json={"suspended": False, "daily_limit": None})
    assert (answer.json()["suspended_at"], answer.json()["daily_limit"]) == (None, None)
    assert answer.json()["total_limit"] == 50
    assert (await alice.get("/api/user")).status_code == 200
    for wrong in ({"role": "admin"}, {"credits": 5}, {"daily_limit": -1}, {"suspended": "yes"}):
        assert (await admin.patch(user, json=wrong)).status_code == 422
    own = await admin.patch(f"{USERS}/{await id_of(admin)}", json={"suspended": True})
    assert own.status_code == 409


async def test_what_an_admin_lets_a_user_spend_the_user_cannot_lift(
    admin: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    user = f"{USERS}/{await id_of(alice)}"
    assert (await admin.patch(user, json={"daily_limit": 5, "total_limit": 50})).status_code == 200
    answer = await alice.put("/api/user/credits/budgets", json={"daily": None, "total": 60})
    assert (answer.json()["daily_budget"], answer.json()["total_budget"]) == (None, 60)
    assert (answer.json()["daily_limit"], answer.json()["total_limit"]) == (5, 50)
    seen = (await admin.get(user)).json()
    assert [seen[name] for name in ("daily_limit", "total_limit", "total_budget")] == [5, 50, 60]


async def test_a_grant_is_given_once_for_each_key_and_takes_no_more_than_there_is(
    admin: httpx.AsyncClient, engine: Engine
) -> None:
    user_id = await add_user(engine.pool, 100)
    path, key = f"{USERS}/{user_id}/credits", {"Idempotency-Key": str(uuid.uuid4())}
    body = {"credits": 50, "reason": "<b>sorry</b>"}
    answers = [await admin.post(path, json=body, headers=key) for _ in range(2)]
    assert [answer.json() for answer in answers] == [{"credits": 50, "balance": 150}] * 2
    # The answer is forgotten after a day; the ledger forgets nothing.
    await engine.pool.execute("DELETE FROM idempotency_keys WHERE key = $1", key["Idempotency-Key"])
    assert (await admin.post(path, json=body, headers=key)).json() == {"credits": 50, "balance": 150}
    await engine.pool.execute("DELETE FROM idempotency_keys WHERE key = $1", key["Idempotency-Key"])
    assert (await admin.post(path, json={**body, "credits": 51}, headers=key)).status_code == 422
    listed = (await admin.get(f"{path}/entries")).json()["items"]
    assert [(entry["kind"], entry["amount"], entry["balance"]) for entry in listed] == [
        ("GRANT", 50, 150),
        ("GRANT", 100, 100),
    ]
    assert listed[0]["details"] == {"reason": "sorry"}
    # The key is of what is done to one user: another one is given credits under it too.
    await engine.pool.execute("DELETE FROM idempotency_keys WHERE key = $1", key["Idempotency-Key"])
    other = await add_user(engine.pool, 7)
    assert (await admin.post(f"{USERS}/{other}/credits", json=body, headers=key)).json()["balance"] == 57
    assert (await admin.get(f"{USERS}/nobody/credits/entries")).status_code == 404
    taken = await admin.post(path, json={"credits": -150, "reason": "fraud"})
    assert taken.json() == {"credits": -150, "balance": 0}
    assert (await admin.post(path, json={"credits": -1, "reason": "fraud"})).status_code == 409
    for wrong in ({"credits": 0, "reason": "x"}, {"credits": 1, "reason": "<p></p>"}, {"credits": 1}):
        assert (await admin.post(path, json=wrong)).status_code == 422
    assert (await admin.post(f"{USERS}/nobody/credits", json=body)).status_code == 404
    assert await require_sound(engine.pool, user_id) == 0


async def test_grants_at_once_are_one_after_the_other(admin: httpx.AsyncClient, engine: Engine) -> None:
    user_id = await add_user(engine.pool, 20)
    path, key = f"{USERS}/{user_id}/credits", {"Idempotency-Key": str(uuid.uuid4())}
    answers = await asyncio.gather(
        *(admin.post(path, json={"credits": 3, "reason": "x"}) for _ in range(6)),
        *(admin.post(path, json={"credits": -20, "reason": "x"}) for _ in range(3)),
        *(admin.post(path, json={"credits": 7, "reason": "x"}, headers=key) for _ in range(6)),
    )
    taken = sum(answer.status_code == 200 for answer in answers[6:9])
    assert await require_sound(engine.pool, user_id) == 20 + 6 * 3 + 7 - 20 * taken


async def test_refunds_never_give_back_more_than_was_charged(
    admin: httpx.AsyncClient, engine: Engine
) -> None:
    user_id = await add_user(engine.pool, 1_000)
    root = await add_execution(engine.pool, user_id)
    middle = await nest(engine, user_id, root, root)
    inner = await nest(engine, user_id, middle, root)
    other = await add_execution(engine.pool, user_id)
    first, _ = [await charge(engine, user_id, root, amount) for amount in (10, 20)]
    deepest = await charge(engine, user_id, inner, 40)
    await charge(engine, user_id, middle, 5)
    # A rerun has a parent too, and is paid for by itself.
    rerun = await add_execution(engine.pool, user_id)
    await engine.pool.execute("UPDATE executions SET parent_id = $2 WHERE id = $1", rerun, root)
    await charge(engine, user_id, rerun, 50)

    assert await refund(admin, user_id, node_execution_id=first, credits=11) == (409, 10)
    assert await refund(admin, user_id, node_execution_id=first, credits=4) == (200, 4)
    assert await refund(admin, user_id, node_execution_id=first) == (200, 6)
    assert await refund(admin, user_id, node_execution_id=first) == (409, 0)
    # What is given back of the middle one may be for what is nested in it.
    assert await refund(admin, user_id, execution_id=middle, credits=30) == (200, 30)
    assert await refund(admin, user_id, node_execution_id=deepest, credits=16) == (409, 15)
    assert await refund(admin, user_id, execution_id=inner, credits=15) == (200, 15)
    assert await refund(admin, user_id, execution_id=root, credits=21) == (409, 20)
    assert await refund(admin, user_id, execution_id=root) == (200, 20)
    for named in (root, middle, inner, other):
        assert await refund(admin, user_id, execution_id=named) == (409, 0)
    assert await refund(admin, user_id, execution_id=rerun) == (200, 50)
    assert await require_sound(engine.pool, user_id) == 1_000


async def test_refunds_at_once_are_one_after_the_other(admin: httpx.AsyncClient, engine: Engine) -> None:
    user_id = await add_user(engine.pool, 100)
    execution_id = await add_execution(engine.pool, user_id)
    node = await charge(engine, user_id, execution_id, 10)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    path, body = f"{USERS}/{user_id}/refunds", {"node_execution_id": node, "credits": 3, "reason": "x"}
    await asyncio.gather(
        *(refund(admin, user_id, execution_id=execution_id, credits=4) for _ in range(6)),
        *(admin.post(path, json=body, headers=key) for _ in range(6)),
    )
    given = await engine.pool.fetch(
        "SELECT amount FROM credit_entries WHERE user_id = $1 AND kind = 'REFUND'", user_id
    )
    assert 8 <= sum(row["amount"] for row in given) <= 10
    assert sorted(row["amount"] for row in given) in ([4, 4], [3, 4])
    assert await require_sound(engine.pool, user_id) == 90 + sum(row["amount"] for row in given)


async def test_a_key_is_for_one_refund_of_one_admin(
    api: RestApi, admin: httpx.AsyncClient, engine: Engine
) -> None:
    user_id, key = await add_user(engine.pool, 100), {"Idempotency-Key": str(uuid.uuid4())}
    execution_id = await add_execution(engine.pool, user_id)
    first, second = [await charge(engine, user_id, execution_id, 5) for _ in range(2)]

    async def ask(client: httpx.AsyncClient, node: str) -> int:
        # The answer is forgotten after a day; the ledger forgets nothing.
        await engine.pool.execute("DELETE FROM idempotency_keys WHERE key = $1", key["Idempotency-Key"])
        body = {"node_execution_id": node, "credits": 2, "reason": "x"}
        return (await client.post(f"{USERS}/{user_id}/refunds", json=body, headers=key)).status_code

    async with an_admin(api) as another:
        asked = [(admin, first), (admin, first), (admin, second), (another, second)]
        assert [await ask(client, node) for client, node in asked] == [200, 200, 422, 200]
    assert await require_sound(engine.pool, user_id) == 90 + 2 * 2


async def test_a_refund_is_of_what_the_user_has(admin: httpx.AsyncClient, engine: Engine) -> None:
    payer, other = [await add_user(engine.pool, 100) for _ in range(2)]
    execution_id = await add_execution(engine.pool, payer)
    node = await charge(engine, payer, execution_id, 10)
    for named in ({"execution_id": execution_id}, {"node_execution_id": node}):
        assert (await refund(admin, other, **named))[0] == 404
    assert (await refund(admin, payer))[0] == 422
    assert (await refund(admin, payer, execution_id=execution_id, node_execution_id=node))[0] == 422
    assert (await refund(admin, payer, execution_id=str(uuid.uuid4())))[0] == 404


@pytest.mark.usefixtures("worker")
async def test_an_admin_sees_and_stops_executions_of_anyone_and_the_owner_is_told(
    admin: httpx.AsyncClient, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, sums(2))
    execution = await start(alice, graph_id)
    await wait(alice, execution["id"])
    path = f"{EXECUTIONS}/{execution['id']}"
    user_id = await id_of(alice)
    for query in ({"user_id": user_id}, {"graph_id": graph_id}, {"user_id": user_id, "status": "COMPLETED"}):
        listed = (await admin.get(EXECUTIONS, params=query)).json()["items"]
        assert [row["id"] for row in listed] == [execution["id"]]
        assert "inputs" not in listed[0]
    assert (await admin.get(path)).json() == (await alice.get(f"/api/executions/{execution['id']}")).json()
    for part in ("nodes", "events"):
        assert (await admin.get(f"{path}/{part}")).json()["items"]
    stopped = await admin.post(f"{path}/stop")
    assert stopped.json()["status"] == "COMPLETED"
    told = [entry for entry in await entries_of(alice) if entry["action"].startswith("admin.")]
    assert {entry["actor_id"] for entry in told} == {await id_of(admin)}
    assert {entry["address"] for entry in told} == {""}
    assert [entry["action"].removeprefix("admin.") for entry in told] == [
        *["executions_read"] * 2,
        *["execution_read"] * 3,
        "execution_stop",
    ]
    assert await entries_of(bob) == []
    for call in ("", "/nodes", "/events"):
        assert (await admin.get(f"{EXECUTIONS}/{uuid.uuid4()}{call}")).status_code == 404


async def test_what_its_owner_has_deleted_an_admin_does_not_see_either(
    admin: httpx.AsyncClient, engine: Engine
) -> None:
    user_id = await add_user(engine.pool, 1)
    execution_id = await add_execution(engine.pool, user_id)
    await engine.pool.execute("UPDATE executions SET deleted_at = now() WHERE id = $1", execution_id)
    assert (await admin.get(EXECUTIONS, params={"user_id": user_id})).json()["items"] == []
    assert (await admin.get(f"{EXECUTIONS}/{execution_id}")).status_code == 404
    assert (await admin.post(f"{EXECUTIONS}/{execution_id}/stop")).status_code == 404
    assert (await admin.get(f"{USERS}/{user_id}")).json()["executions"] == {}


@pytest.mark.usefixtures("worker")
async def test_an_admin_stops_what_runs(admin: httpx.AsyncClient, alice: httpx.AsyncClient) -> None:
    execution = await start(alice, await save(alice, asking({"a": 1})))
    await asked(alice, execution["id"])
    stopped = await admin.post(f"{EXECUTIONS}/{execution['id']}/stop")
    assert (stopped.status_code, stopped.json()["status"]) == (200, "CANCELLED")
    assert short(await entries_of(alice))[-1] == ("admin.execution_stop", execution["id"], "")


@pytest.mark.usefixtures("worker")
async def test_an_admin_has_one_execution_brought_in_line_at_once(
    admin: httpx.AsyncClient, engine: Engine, alice: httpx.AsyncClient
) -> None:
    """The record says that it runs, and Temporal has never heard of it."""
    execution_id = await add_execution(engine.pool, await id_of(alice))
    path = f"{EXECUTIONS}/{execution_id}"
    assert (await admin.post(f"{path}/settle")).status_code == 200

    async def settled() -> dict[str, Any]:
        shown = (await admin.get(EXECUTIONS, params={"user_id": await id_of(alice)})).json()["items"][0]
        return dict(shown) if shown["ended_at"] else {}

    shown = await eventually(settled)
    assert (shown["status"], shown["error"]["code"]) == ("FAILED", "LOST")


async def test_the_overview_says_what_is_stuck_and_whether_the_ledger_adds_up(
    admin: httpx.AsyncClient, engine: Engine
) -> None:
    before = (await admin.get("/api/admin/overview")).json()
    user_id = await add_user(engine.pool, 100)
    queued, running, failed, reserving, roomless, old, busy = [
        await add_execution(engine.pool, user_id) for _ in range(7)
    ]
    for execution_id, change in (
        (queued, "status = 'QUEUED', created_at = now() - interval '6 minutes'"),
        (running, "started_at = now() - interval '25 hours', created_at = now() - interval '25 hours'"),
        (failed, """status = 'FAILED', ended_at = now(), error = '{"code": "OUT_OF_LUCK"}'"""),
        (
            old,
            """status = 'FAILED', ended_at = now() - interval '25 hours', error = '{"code": "OUT_OF_LUCK"}'""",
        ),
        (reserving, "reserved = 5"),
        (busy, "reserved = 5, status = 'PAUSED'"),
        (roomless, "status = 'QUEUED', awaits_room = true, created_at = now() - interval '1 hour'"),
    ):
        await engine.pool.execute(f"UPDATE executions SET {change} WHERE id = $1", uuid.UUID(execution_id))
    await engine.pool.execute("UPDATE users SET credits = credits + 1 WHERE id = $1", user_id)
    await engine.pool.execute(
        "INSERT INTO node_executions (id, execution_id, node, node_id, block_id, n, status, attempt, inputs, outputs, "
        "cost, seq) VALUES (gen_random_uuid(), $1, 0, 'a', 'b', 1, 'RUNNING', 1, '{}', '[]', 0, 1)",
        uuid.UUID(busy),
    )
    miscounted = await add_user(engine.pool, 100)
    await engine.pool.execute("UPDATE users SET credits = 106 WHERE id = $1", miscounted)
    await engine.pool.execute(
        "INSERT INTO credit_entries (user_id, key, kind, amount, balance) VALUES ($1, 'k', 'GRANT', 5, 106)",
        miscounted,
    )
    await grant(engine.pool, await add_user(engine.pool, 1), 5)
    await engine.pool.execute(
        "INSERT INTO users (id, email, credits, name, role, timezone) VALUES ($1, '', 5, '', 'user', 'UTC')",
        f"without-entries-{uuid.uuid4()}",
    )
    after = (await admin.get("/api/admin/overview")).json()
    assert after["ledger_differences"] == before["ledger_differences"] + 3
    for reason, execution_id in (
        ("queued", queued),
        ("running", running),
        ("silent", running),
        ("reserving", reserving),
    ):
        assert after["stuck"][reason]["count"] == before["stuck"][reason]["count"] + 1, reason
        assert execution_id in {row["id"] for row in after["stuck"][reason]["oldest"]}, reason
    assert after["failures"]["OUT_OF_LUCK"] == 1
    assert after["executions"]["RUNNING"] == before["executions"].get("RUNNING", 0) + 2
    assert after["backlog"][engine.task_queue] == 0
    # As it was, for the tests that come after.
    await engine.pool.execute("UPDATE users SET credits = credits - 1 WHERE id = $1", user_id)
    await engine.pool.execute("DELETE FROM executions WHERE user_id = $1", user_id)


async def test_no_odd_parameter_crashes_a_call_of_an_admin(api: RestApi, admin: httpx.AsyncClient) -> None:
    odd = ["\0", "a\0b", "%", "\ud7ff\ufffe", "'; --", "../..", "9" * 400, "-1", "x" * 5_000, " "]
    for path, methods in api.document["paths"].items():
        if not path.startswith("/api/admin/"):
            continue
        for method, operation in methods.items():
            for parameter in operation.get("parameters", []):
                name = parameter["name"]
                for value in odd:
                    if parameter["in"] == "header":
                        continue
                    given = {name: quote(value, safe="")} if parameter["in"] == "path" else {}
                    ids = {named: str(uuid.uuid4()) for named in re.findall(r"{(\w+)}", path)} | given
                    target = path.format(**ids)
                    params = {} if given else {name: value}
                    response = await admin.request(method, target, params=params)
                    assert response.status_code < 500, (method, path, name, value, response.text)
