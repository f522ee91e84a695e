"""API keys: made, used, bounded, changed, taken back; each change holds for the very next call."""

from __future__ import annotations

import asyncio
import hmac
import re
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from app.api.api_keys import is_within
from app.api.auth import issue_token
from tests.api_keys import KEYS, holding, make_key
from tests.engine import Engine
from tests.rest_api import SECRET, RestApi

FORM = re.compile(r"prd_([A-Za-z0-9]{10})_[A-Za-z0-9]{43}")


async def test_a_key_speaks_for_its_user_in_both_headers(api: RestApi, alice: httpx.AsyncClient) -> None:
    made = await make_key(alice, "user:read")

    found = FORM.fullmatch(made["key"])
    assert found is not None
    assert found[1] == made["prefix"]
    me = (await alice.get("/api/user")).json()
    async with api.caller(token="") as nobody:
        for headers in ({"Authorization": f"Bearer {made['key']}"}, {"X-API-Key": made["key"]}):
            assert (await nobody.get("/api/user", headers=headers)).json()["id"] == me["id"]
        both = {"Authorization": f"Bearer {made['key']}", "X-API-Key": made["key"]}
        assert (await nobody.get("/api/user", headers=both)).status_code == 401
        token = alice.headers["Authorization"].removeprefix("Bearer ")
        assert (await nobody.get("/api/user", headers={"X-API-Key": token})).json()["id"] == me["id"]


async def test_a_key_is_shown_once_and_kept_nowhere(alice: httpx.AsyncClient, engine: Engine) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"name": "once <b>bold</b>", "scopes": ["user:read", "graphs:read", "user:read"]}
    first = await alice.post(KEYS, json=body, headers=headers)
    again = await alice.post(KEYS, json=body, headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotent-Replayed"] == "true"
    made = first.json()
    assert again.json() == {**made, "key": None}
    assert (made["name"], made["scopes"]) == ("once bold", ["graphs:read", "user:read"])
    secret = made["key"].rpartition("_")[2]
    for path in (KEYS, f"{KEYS}/{made['id']}"):
        assert secret not in (await alice.get(path)).text
    for table in ("api_keys", "idempotency_keys", "audit_entries"):
        rows = await engine.pool.fetch(f"SELECT * FROM {table}")
        assert secret not in repr(rows)
        assert secret.encode().hex() not in repr(
            [bytes(v).hex() for row in rows for v in row if isinstance(v, bytes)]
        )


async def test_a_key_is_for_its_scopes_alone(api: RestApi, alice: httpx.AsyncClient) -> None:
    async with holding(api, await make_key(alice, "graphs:read")) as key:
        assert (await key.get("/api/graphs")).status_code == 200
        refused = await key.get("/api/executions")
        assert refused.status_code == 403
        assert refused.json()["error"]["details"] == {"scope": "executions:read"}
        assert (await key.post(KEYS, json={"name": "more", "scopes": ["graphs:read"]})).status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": ["graphs:destroy"]},
        {"scopes": ["*"]},
        {"scopes": ["graphs:*"]},
        {"scopes": []},
        {"scopes": "graphs:read"},
        {"name": ""},
        {"name": "x" * 101},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "2101-01-01T00:00:00"},
        {"addresses": ["home"]},
        {"addresses": ["10.0.0.0/33"]},
        {"addresses": ["10.0.0.1"] * 51},
        {"user_id": "somebody"},
    ],
)
async def test_a_key_of_a_wrong_form_is_not_made(alice: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    response = await alice.post(KEYS, json={"name": "a key", "scopes": ["graphs:read"], **wrong})
    assert response.status_code == 422, response.text
    assert (await alice.get(KEYS)).json()["items"] == []


async def test_what_is_no_valid_key_is_refused_alike(api: RestApi, alice: httpx.AsyncClient) -> None:
    good = await make_key(alice, "user:read")
    mark, prefix, secret = good["key"].split("_")
    wrong = {
        "wrong secret": f"{mark}_{prefix}_{'x' * len(secret)}",
        "wrong prefix": f"{mark}_{'x' * len(prefix)}_{secret}",
        "other case": f"{mark}_{prefix}_{secret.swapcase()}",
        "no secret": f"{mark}_{prefix}_",
        "no prefix": f"{mark}__{secret}",
        "too long": f"{good['key']}x",
        "SQL": f"{mark}_' OR 1=1 --_{secret}",
        "wildcards": f"{mark}_{'%' * len(prefix)}_{secret}",
        "other mark": f"PRD_{prefix}_{secret}",
        "nothing": "prd_",
    }
    answers = set()
    for name, text in wrong.items():
        async with api.caller(token=text) as client:
            response = await client.get("/api/user")
        assert response.status_code == 401, name
        error = response.json()["error"]
        answers.add((error["error_code"], error["message"]))
    assert answers == {("UNAUTHENTICATED", "A valid token is needed.")}


async def test_a_wrong_key_costs_the_same_work_wherever_it_is_wrong(
    api: RestApi, alice: httpx.AsyncClient
) -> None:
    """Statements are counted, not time, which on a busy machine tells nothing."""
    made = await make_key(alice, "user:read")
    mark, prefix, secret = made["key"].split("_")
    resources = api.application.state.resources
    executed: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    def compare(*texts: bytes) -> bool:
        executed.append("compare")
        return hmac.compare_digest(*texts)

    engines = [resources.system.sync_engine, resources.tenants.sync_engine]
    for each in engines:
        event.listen(each, "before_cursor_execute", note)
    work = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.api.callers.hmac", SimpleNamespace(compare_digest=compare))
        for name, text in (
            ("nobody's prefix", f"{mark}_{'x' * len(prefix)}_{secret}"),
            ("wrong secret", f"{mark}_{prefix}_{'x' * len(secret)}"),
        ):
            executed.clear()
            async with api.caller(token=text) as client:
                assert (await client.get("/api/user")).status_code == 401
            work[name] = list(executed)
    for each in engines:
        event.remove(each, "before_cursor_execute", note)
    assert work["nobody's prefix"] == work["wrong secret"]
    assert len(work["wrong secret"]) == 2, "one statement and one comparison"


async def test_a_change_holds_for_the_very_next_call(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine
) -> None:
    made = await make_key(alice, "graphs:read")
    one = f"{KEYS}/{made['id']}"
    async with holding(api, made) as key:

        async def status(path: str = "/api/graphs") -> int:
            return (await key.get(path)).status_code

        async def change(**changes: Any) -> dict[str, Any]:
            response = await alice.patch(one, json=changes)
            assert response.status_code == 200, response.text
            return dict(response.json())

        assert await status() == 200
        assert (await change(suspended=True))["suspended"] is True
        assert await status() == 401
        assert (await change(suspended=False))["suspended"] is False
        assert await status() == 200
        assert (await change(scopes=["files:read"], name="renamed"))["name"] == "renamed"
        assert (await status(), await status("/api/files")) == (403, 200)
        soon = datetime.now(UTC) + timedelta(hours=1)
        assert (await change(expires_at=soon.isoformat()))["expires_at"] is not None
        await engine.pool.execute(
            "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = $1", made["id"]
        )
        assert await status("/api/files") == 401
        assert (await change(expires_at=None))["expires_at"] is None
        assert await status("/api/files") == 200
        assert (await alice.delete(one)).status_code == 204
        assert await status("/api/files") == 401
    for method in ("GET", "PATCH", "DELETE"):
        assert (await alice.request(method, one, json={})).status_code == 404
    assert (await alice.get(KEYS)).json()["items"] == []


async def test_a_rotated_key_has_another_secret(api: RestApi, alice: httpx.AsyncClient) -> None:
    made = await make_key(alice, "user:read")
    rotated = (await alice.post(f"{KEYS}/{made['id']}/rotate")).json()

    assert rotated["prefix"] == made["prefix"]
    for key, status in ((made, 401), (rotated, 200)):
        async with holding(api, key) as client:
            assert (await client.get("/api/user")).status_code == status


async def test_a_key_gives_no_other_key_what_it_has_not(api: RestApi, alice: httpx.AsyncClient) -> None:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    wide = await make_key(alice, "graphs:read", "graphs:write", "keys:write")
    bound = {"expires_at": in_an_hour.isoformat(), "addresses": ["127.0.0.0/8", "192.168.0.0/24"]}
    maker = await make_key(alice, "graphs:read", "keys:write", **bound)
    async with holding(api, maker) as key:
        own = await make_key(key, "graphs:read", **bound)
        assert own["scopes"] == ["graphs:read"]
        body = {"name": "more", "scopes": ["graphs:read"], **bound}
        later = (in_an_hour + timedelta(seconds=1)).isoformat()
        others: list[dict[str, Any]] = [
            {"scopes": ["graphs:read", "graphs:write"]},
            {"scopes": ["admin"]},
            {"expires_at": None},
            {"expires_at": later},
            {"addresses": []},
            {"addresses": ["127.0.0.1", "10.0.0.0/8"]},
            {"addresses": ["0.0.0.0/0"]},
            {"addresses": ["192.168.0.0/23"]},
        ]
        for more in others:
            refused = await key.post(KEYS, json={**body, **more})
            assert (refused.status_code, refused.json()["error"]["error_code"]) == (403, "FORBIDDEN"), more
        for target, change in (
            (maker, {"expires_at": None}),
            (maker, {"addresses": []}),
            (maker, {"scopes": ["graphs:read", "graphs:write", "keys:write"]}),
            (own, {"scopes": ["graphs:write"]}),
            (wide, {"suspended": False}),
        ):
            assert (await key.patch(f"{KEYS}/{target['id']}", json=change)).status_code == 403, change
        # Its secret would be that of more scopes.
        assert (await key.post(f"{KEYS}/{wide['id']}/rotate")).status_code == 403
        # Taking away is allowed.
        assert (await key.patch(f"{KEYS}/{wide['id']}", json={"suspended": True})).status_code == 200
        assert (await key.delete(f"{KEYS}/{wide['id']}")).status_code == 204
    assert len((await alice.get(KEYS)).json()["items"]) == 2


async def test_only_an_administrators_key_may_be_for_admin(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine
) -> None:
    refused = await alice.post(KEYS, json={"name": "root", "scopes": ["admin"]})
    assert refused.status_code == 403
    email = f"{uuid.uuid4()}@example.org"
    async with api.caller(token=issue_token(SECRET, email=email, role="admin")) as admin:
        made = await make_key(admin, "admin")
        plain = await make_key(admin, "user:read")
        me = (await admin.get("/api/user")).json()["id"]
    async with holding(api, made) as key, holding(api, plain) as other:
        assert (await key.post("/api/codec/decode", json={"payloads": []})).status_code == 200
        assert (await other.post("/api/codec/decode", json={"payloads": []})).status_code == 403
        # Who is no administrator any more has no administrator's key.
        await engine.pool.execute("UPDATE users SET role = 'user' WHERE id = $1", me)
        assert (await key.post("/api/codec/decode", json={"payloads": []})).status_code == 403


async def test_a_key_is_used_from_its_addresses_alone(api: RestApi, alice: httpx.AsyncClient) -> None:
    here = await make_key(alice, "user:read", addresses=["127.0.0.1/8", "::1"])
    elsewhere = await make_key(alice, "user:read", addresses=["203.0.113.0/24"])
    assert here["addresses"] == ["127.0.0.0/8", "::1/128"]
    for made, status in ((here, 200), (elsewhere, 403)):
        async with holding(api, made) as client:
            assert (await client.get("/api/user")).status_code == status


@pytest.mark.parametrize(
    ("address", "is_in"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("::a01:203", False), ("11.0.0.1", False), (None, False)],
)
def test_an_address_is_the_same_in_the_dress_of_the_other_version(address: str | None, is_in: bool) -> None:
    assert is_within(address, ["10.0.0.0/8"]) is is_in
    assert is_within(address, [])


async def test_the_use_of_a_key_is_written_down_once_a_minute(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine
) -> None:
    made, other = [await make_key(alice, "user:read") for _ in range(2)]
    assert made["last_used_at"] is None

    async def used_at() -> Any:
        return await engine.pool.fetchval("SELECT last_used_at FROM api_keys WHERE id = $1", made["id"])

    async with holding(api, made) as key:
        assert (await key.get("/api/user")).status_code == 200
        first = await used_at()
        assert first is not None
        await asyncio.gather(*(key.get("/api/user") for _ in range(5)))
        assert await used_at() == first
        await engine.pool.execute(
            "UPDATE api_keys SET last_used_at = now() - interval '2 minutes' WHERE id = $1", made["id"]
        )
        await key.get("/api/user")
        assert await used_at() > first
    assert (await alice.get(f"{KEYS}/{other['id']}")).json()["last_used_at"] is None


async def test_keys_of_others_look_like_no_keys(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    made = await make_key(alice, "user:read")
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")):
        for key_id in (made["id"], uuid.uuid4()):
            response = await bob.request(method, f"{KEYS}/{key_id}{path}", json={})
            assert response.status_code == 404
    assert (await bob.get(KEYS)).json()["items"] == []
    assert (await alice.get(f"{KEYS}/{made['id']}")).json()["suspended"] is False


async def test_a_user_has_a_bounded_number_of_keys(
    alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.models.api_keys.MOST_KEYS", 3)
    body = {"name": "one of many", "scopes": ["user:read"]}
    answers = await asyncio.gather(*(alice.post(KEYS, json=body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5
    first = (await alice.get(f"{KEYS}?limit=2")).json()
    rest = (await alice.get(f"{KEYS}?limit=2&cursor={first['next_cursor']}")).json()
    assert len({key["id"] for key in first["items"] + rest["items"]}) == 3
    assert rest["next_cursor"] is None
