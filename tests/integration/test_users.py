"""Users: what they say of themselves, and what becomes of those who are suspended."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from jose import jwt

from app.api import callers
from app.api.auth import Caller, issue_token
from app.api.schemas.users import MAX_PREFERENCES_BYTES
from app.api.services import waiting
from tests.api_keys import KEYS, holding, make_key
from tests.e2e.rest import save, start, sums, wait
from tests.engine import Engine
from tests.rest_api import SECRET, RestApi
from tests.reviews import asked, asking
from tests.stack import eventually


async def id_of(client: httpx.AsyncClient) -> str:
    return str((await client.get("/api/user")).json()["id"])


async def test_a_user_says_how_they_are_called_and_where_they_live(alice: httpx.AsyncClient) -> None:
    before = (await alice.get("/api/user")).json()
    assert {"id", "email", "name", "role", "timezone", "credits", "created_at", "last_login"} <= before.keys()

    changes = {
        "name": " Ann <script>alert(1)</script><b>Lee</b> & Co ",
        "timezone": "Europe/Berlin",
        "preferences": {"low_balance": 250, "theme": {"dark": True}},
    }
    answer = await alice.put("/api/user", json=changes)
    assert answer.status_code == 200, answer.text
    after = {**before, **changes, "name": "Ann Lee & Co"}
    assert answer.json() == (await alice.get("/api/user")).json() == after

    assert (await alice.put("/api/user", json={"timezone": "UTC"})).json() == {**after, "timezone": "UTC"}
    assert (await alice.put("/api/user", json={})).json()["name"] == "Ann Lee & Co"
    emptied = (await alice.put("/api/user", json={"preferences": {}})).json()
    assert emptied["preferences"] == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "<b></b>"},
        {"name": "x" * 101},
        {"name": 5},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"timezone": "/usr/share/zoneinfo/UTC"},
        {"timezone": "europe/berlin\u0000"},
        {"timezone": ""},
        {"preferences": []},
        {"preferences": {"low_balance": -1}},
        {"preferences": {"low_balance": "100"}},
        {"preferences": {"low_balance": 1.5}},
        {"preferences": {"low_balance": 2**31}},
        {"preferences": {"note": "x" * MAX_PREFERENCES_BYTES}},
        {"preferences": {"note": "\u00e4" * (MAX_PREFERENCES_BYTES // 4)}},
        {"role": "admin"},
        {"credits": 1_000_000},
        {"email": "other@example.org"},
        {"suspended_at": None},
        {"daily_budget": None},
        {"daily_limit": None},
    ],
)
async def test_what_a_user_may_not_be_is_refused(alice: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    before = (await alice.get("/api/user")).json()
    assert (await alice.put("/api/user", json=wrong)).status_code == 422
    assert (await alice.get("/api/user")).json() == before


async def test_a_profile_that_is_saved_leaves_the_balance_as_others_make_it(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    user_id = await id_of(alice)
    async with engine.pool.acquire() as connection, connection.transaction():
        # Whoever writes the whole row back would undo this.
        await connection.execute("UPDATE users SET spent = 7 WHERE id = $1", user_id)
    await alice.put("/api/user", json={"name": "Ann"})
    row = await engine.pool.fetchrow("SELECT name, spent FROM users WHERE id = $1", user_id)
    assert (row["name"], row["spent"]) == ("Ann", 7)


@pytest.mark.usefixtures("worker")
async def test_a_suspended_user_may_do_nothing_at_once_and_what_runs_goes_on(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "WELCOME_SECONDS", 0.0)
    execution = await start(alice, await save(alice, asking({"a": 1})))
    review = await asked(alice, execution["id"])
    made, user_id = await make_key(alice, "user:read"), await id_of(alice)
    answer = {"approved": True}
    async with holding(api, made) as key, api.caller(token="") as nobody:
        await engine.pool.execute("UPDATE users SET suspended_at = now() WHERE id = $1", user_id)
        refused = [
            await alice.get("/api/user"),
            await alice.post("/api/graphs", json={"name": "x", "nodes": [], "links": []}),
            await alice.delete(f"/api/user/api-keys/{made['id']}"),
            await key.get("/api/user"),
            await nobody.get(review["link"]),
            await nobody.post(review["link"], json=answer),
        ]
        assert [response.status_code for response in refused] == [403] * 6
        assert {response.json()["error"]["error_code"] for response in refused} == {"FORBIDDEN"}
        status = "SELECT status FROM executions WHERE id = $1"
        assert await engine.pool.fetchval(status, uuid.UUID(execution["id"])) == "WAITING"

        await engine.pool.execute("UPDATE users SET suspended_at = NULL WHERE id = $1", user_id)
        assert (await key.get("/api/user")).status_code == 200
        assert (await nobody.post(review["link"], json=answer)).status_code == 200
    assert (await wait(alice, execution["id"]))["status"] == "COMPLETED"


async def test_whoever_came_with_a_token_counts_as_welcome_for_some_seconds(
    alice: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound on how late a suspension takes hold is one constant; that it is looked at is what counts here."""
    user_id = await id_of(alice)
    await engine.pool.execute("UPDATE users SET suspended_at = now() WHERE id = $1", user_id)
    monkeypatch.setattr(callers, "WELCOME_SECONDS", 3_600.0)
    assert (await alice.get("/api/user")).status_code == 200
    monkeypatch.setattr(callers, "WELCOME_SECONDS", 0.0)
    assert (await alice.get("/api/user")).status_code == 403
    assert callers.WELCOME_SECONDS <= 10


async def test_what_a_newer_token_says_of_a_user_is_written_down_at_once(
    api: RestApi, engine: Engine
) -> None:
    email = f"{uuid.uuid4()}@example.org"
    for role in ("user", "admin"):
        async with api.caller(token=issue_token(SECRET, email=email, role=role)) as client:
            assert (await client.get("/api/user")).json()["role"] == role


@pytest.mark.parametrize("is_on_time", [True, False])
async def test_an_older_token_makes_nobody_an_administrator_again(
    api: RestApi, monkeypatch: pytest.MonkeyPatch, is_on_time: bool
) -> None:
    monkeypatch.setattr(callers, "WELCOME_SECONDS", 0.0)
    user_id, now = str(uuid.uuid4()), int(time.time())

    def token(role: str, issued_at: int) -> str:
        given = {"sub": user_id, "email": "a@example.org", "role": role, "exp": now + 600, "iat": issued_at}
        return jwt.encode(given, SECRET, algorithm="HS256")

    old, new = token("admin", now - 60), token("user", now if is_on_time else now + 30)
    async with api.caller(token=old) as admin, api.caller(token=new) as user:
        made = await make_key(admin, "admin", "credits:read")
        async with holding(api, made) as key:
            assert (await key.get("/api/admin/users")).status_code == 200
            for client in (user, admin):
                assert (await client.get("/api/user")).json()["role"] == "user"
                assert (await key.get("/api/admin/users")).status_code == 403
    # One of a clock that is fast keeps none that come later from being heard.
    async with api.caller(token=token("admin", int(time.time()) + 1)) as client:
        assert (await client.get("/api/user")).json()["role"] == "admin"


async def test_a_stream_ends_when_its_caller_would_not_be_let_in_again(
    api: RestApi,
    alice: httpx.AsyncClient,
    bob: httpx.AsyncClient,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callers, "WELCOME_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "HEARTBEAT_SECONDS", 0.0)
    own, others = [(await start(client, await save(client, sums(2))))["id"] for client in (alice, bob)]
    revoked, narrowed, kept = [await make_key(alice, "executions:read") for _ in range(3)]
    of_bob = await make_key(bob, "executions:read")
    async with AsyncExitStack() as stack:

        async def follow(made: dict[str, Any], execution_id: str) -> asyncio.Task[httpx.Response]:
            key = await stack.enter_async_context(holding(api, made))
            path = f"/api/executions/{execution_id}/events"
            return asyncio.create_task(key.get(path, headers={"Accept": "text/event-stream"}))

        async def have_begun() -> bool:
            used = "SELECT count(last_used_at) FROM api_keys WHERE id = ANY($1)"
            return bool(await engine.pool.fetchval(used, [key["id"] for key in keys]) == len(keys))

        keys = [revoked, narrowed, of_bob, kept]
        *ending, going = [await follow(made, others if made is of_bob else own) for made in keys]
        await eventually(have_begun)
        assert (await alice.delete(f"{KEYS}/{revoked['id']}")).status_code == 204
        changed = await alice.patch(f"{KEYS}/{narrowed['id']}", json={"scopes": ["graphs:read"]})
        assert changed.status_code == 200
        await engine.pool.execute("UPDATE users SET suspended_at = now() WHERE id = $1", await id_of(bob))

        assert [(await stream).status_code for stream in ending] == [200] * 3
        assert not going.done()
        going.cancel()
        await asyncio.wait([going])


async def test_a_stream_ends_with_its_token_or_its_users_suspension(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "WELCOME_SECONDS", -1.0)
    user_id = await id_of(alice)
    doors = api.application.state.resources.callers

    async def frames() -> AsyncGenerator[str]:
        for number in range(3):
            yield str(number)

    async def shown(expires_at: float | None) -> list[str]:
        caller = Caller(user_id, "", "user", expires_at=expires_at)
        return [frame async for frame in doors.while_welcome(caller, frames())]

    assert len(await shown(time.time() + 3_600)) == 3
    assert await shown(time.time() - 1) == []
    await engine.pool.execute("UPDATE users SET suspended_at = now() WHERE id = $1", user_id)
    assert await shown(time.time() + 3_600) == []
