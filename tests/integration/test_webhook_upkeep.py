"""Webhooks as their owners keep them: listed, changed, deleted, with their graphs, under other keys, in the log."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
from structlog.testing import capture_logs
from temporalio.client import Client

from app.encryption.keys import EncryptionKey
from tests.admin import an_admin, entries_of, short
from tests.e2e.rest import graph, node, save
from tests.engine import KEYS, Engine
from tests.rest_api import RestApi, run_api
from tests.webhooks import ECHO, Sender, deliver, make_webhook


async def test_webhooks_are_listed_changed_and_deleted(alice: httpx.AsyncClient, api: RestApi) -> None:
    graph_id, other = await save(alice, ECHO), await save(alice, ECHO)
    first = await make_webhook(alice, graph_id, name="<i>first</i>", events=["a.*"], budget=3)
    second = await make_webhook(alice, other)
    assert (first["name"], first["events"], first["budget"]) == ("first", ["a.*"], 3)
    assert first["url"] == f"http://api.test/api/webhooks/{first['id']}"
    page = (await alice.get("/api/webhooks?limit=1")).json()
    rest = (await alice.get(f"/api/webhooks?cursor={page['next_cursor']}")).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == [second["id"], first["id"]]
    of_graph = (await alice.get(f"/api/webhooks?graph_id={graph_id}")).json()["items"]
    assert [item["id"] for item in of_graph] == [first["id"]]
    path = f"/api/webhooks/{first['id']}"
    changed = (await alice.patch(path, json={"name": "new", "budget": None, "events": []})).json()
    assert (changed["name"], changed["budget"], changed["events"]) == ("new", None, [])
    assert (await alice.get(path)).json() == changed
    async with api.caller(token="") as outside:
        assert (await deliver(outside, first, {"x": 1})).status_code == 200
        assert (await alice.delete(path)).status_code == 204
        assert (await deliver(outside, first, {"x": 1})).status_code == 401
    for gone in (path, f"{path}/deliveries"):
        assert (await alice.get(gone)).status_code == 404
    assert len((await alice.get("/api/executions")).json()["items"]) == 1


async def test_a_webhook_that_does_not_hang_together_is_refused(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, ECHO)
    made = await make_webhook(alice, graph_id)
    refused: list[tuple[dict[str, Any], int]] = [
        ({"input": "nothing"}, 400),
        ({"graph_version": 9}, 404),
        ({"preset_id": str(uuid.uuid4())}, 404),
        ({"body_type": "text"}, 422),
        ({"events": ["no blanks"]}, 422),
        ({"events": ["x"] * 51}, 422),
        ({"scheme": "none"}, 422),
        ({"graph_id": None}, 422),
        ({"unknown": 1}, 422),
    ]
    for given, status in refused:
        body = {"graph_id": graph_id, "name": "mine", "scheme": "standard", **given}
        assert (await alice.post("/api/webhooks", json=body)).status_code == status, given
        changed = await alice.patch(f"/api/webhooks/{made['id']}", json=given)
        assert changed.status_code == status, (given, changed.text)


async def test_a_graph_that_needs_credentials_needs_a_preset_that_chooses_them(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    asking = graph([node("ask", "firecrawl_scrape_block", url="https://example.org")], [])
    body = {"graph_id": await save(alice, asking), "name": "mine", "scheme": "standard"}
    refused = await alice.post("/api/webhooks", json=body)
    assert (refused.status_code, refused.json()["error"]["error_code"]) == (400, "GRAPH_VALIDATION_ERROR")
    assert (await bob.post("/api/webhooks", json=body)).status_code == 404


async def test_the_webhooks_of_a_graph_go_with_it_and_with_their_presets(
    alice: httpx.AsyncClient, api: RestApi
) -> None:
    graph_id = await save(alice, ECHO)
    body = {"graph_id": graph_id, "name": "p", "inputs": {"x": 1}}
    preset_id = (await alice.post("/api/presets", json=body)).json()["id"]
    made = await make_webhook(alice, graph_id, preset_id=preset_id)
    assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 204
    for path in (f"/api/webhooks/{made['id']}", f"/api/presets/{preset_id}"):
        assert (await alice.get(path)).status_code == 404
    async with api.caller(token="") as outside:
        assert (await deliver(outside, made)).status_code == 401


async def test_a_secret_opens_under_the_new_key_when_it_was_sealed_anew(
    client: Client, own_database_url: str
) -> None:
    async def connect() -> Client:
        return client

    old, new = KEYS[0], EncryptionKey(b"n" * 32)
    async with run_api(own_database_url, connect, encryption_keys=(old,)) as api, api.caller() as owner:
        made = await make_webhook(owner, await save(owner, ECHO))
        assert (await owner.post(f"/api/webhooks/{made['id']}/rotate", json={})).status_code == 200
    async with (
        run_api(own_database_url, connect, encryption_keys=(new,)) as api,
        api.caller(token="") as outside,
    ):
        with capture_logs() as lines:
            assert (await deliver(outside, made)).status_code == 401
        assert "webhook_secret_unreadable" in {line["event"] for line in lines}
    async with run_api(own_database_url, connect, encryption_keys=(new, old)) as api, an_admin(api) as admin:
        sealed = await admin.post("/api/admin/credentials/reencrypt")
        assert sealed.json() == {"reencrypted": 1, "unreadable": 0}
    async with (
        run_api(own_database_url, connect, encryption_keys=(new,)) as api,
        api.caller(token="") as outside,
    ):
        assert (await deliver(outside, made)).status_code == 200


async def test_a_row_that_was_moved_proves_nothing(
    alice: httpx.AsyncClient, api: RestApi, engine: Engine
) -> None:
    graph_id = await save(alice, ECHO)
    one, two = [await make_webhook(alice, graph_id) for _ in range(2)]
    await engine.pool.execute(
        "UPDATE webhooks SET secret = (SELECT secret FROM webhooks WHERE id = $1) WHERE id = $2",
        uuid.UUID(one["id"]),
        uuid.UUID(two["id"]),
    )
    async with api.caller(token="") as outside:
        for secret in (one["secret"], two["secret"]):
            assert (await deliver(outside, {**two, "secret": secret})).status_code == 401


async def test_what_a_sender_starts_stands_in_the_owners_log_and_no_secret_anywhere(
    alice: httpx.AsyncClient, api: RestApi
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), scheme="token", input="x", events=["wanted"])
    path = f"/api/webhooks/{made['id']}"
    sender = Sender(scheme="token", secret=made["secret"])
    with capture_logs() as lines:
        async with api.caller(token="") as outside:
            started = await deliver(outside, made, {"type": "wanted"}, sender=sender)
            for content, by in (({"type": "wanted"}, sender), ({"type": "other"}, None)):
                assert (await deliver(outside, made, content, sender=by)).status_code == 200
            stranger = Sender(scheme="token", secret="a canary of a token")
            assert (await deliver(outside, made, sender=stranger)).status_code == 401
            assert (await alice.patch(path, json={"input": None})).status_code == 200
            assert (await deliver(outside, made, {"type": "wanted"})).status_code == 400
    said = short(await entries_of(alice))
    assert [each for each in said if each[0] == "webhook.receive"] == [
        ("webhook.receive", started.json()["execution_id"], ""),
        ("webhook.receive", made["id"], "GRAPH_VALIDATION_ERROR"),
    ]
    written = repr(lines) + (await alice.get("/api/user/audit")).text
    assert made["secret"] not in written
    assert "canary" not in written
