"""Inbound webhooks over REST: who is let in, what is started, and that a repeat starts nothing."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.e2e.rest import get, save
from tests.engine import Engine
from tests.rest_api import RestApi
from tests.webhooks import ECHO, Sender, deliver, make_webhook

SCHEMES = ("standard", "github", "stripe", "slack", "token")
SIGNED = ("standard", "github", "stripe", "slack")
TIMED = ("standard", "stripe", "slack")


@pytest.fixture
async def outside(api: RestApi) -> AsyncIterator[httpx.AsyncClient]:
    """Whoever sends: they have neither token nor key."""
    async with api.caller(token="") as client:
        yield client


async def executions_of(client: httpx.AsyncClient, made: dict[str, Any]) -> list[dict[str, Any]]:
    listed = await client.get("/api/executions", params={"trigger_id": made["id"]})
    items: list[dict[str, Any]] = listed.json()["items"]
    return items


async def deliveries_of(client: httpx.AsyncClient, made: dict[str, Any]) -> list[dict[str, Any]]:
    listed = await client.get(f"/api/webhooks/{made['id']}/deliveries")
    assert listed.status_code == 200, listed.text
    items: list[dict[str, Any]] = listed.json()["items"]
    return items


@pytest.mark.usefixtures("worker")
async def test_whoever_knows_the_secret_starts_an_execution(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, ECHO)
    for scheme in SCHEMES:
        await start_through(alice, outside, graph_id, scheme)


async def start_through(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient, graph_id: str, scheme: str
) -> None:
    made = await make_webhook(alice, graph_id, scheme=scheme, input="x", allows_wait=True)
    sender = Sender(scheme=scheme, secret=made["secret"])
    response = await deliver(outside, made, {"hello": "world"}, sender=sender, params={"wait": 30})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["status"] == "COMPLETED"
    assert answer["outputs"]["y"][0]["hello"] == "world"
    assert answer["delivery_id"] == sender.id
    execution = await get(alice, answer["execution_id"])
    assert (execution["trigger"], execution["trigger_id"]) == ("webhook", made["id"])
    again = await deliver(outside, made, {"hello": "world"}, sender=sender)
    assert again.json()["execution_id"] == answer["execution_id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    (listed,) = await deliveries_of(alice, made)
    assert (listed["times"], listed["outcome"], listed["execution_id"]) == (2, "started", execution["id"])
    assert len(await executions_of(alice, made)) == 1


async def refused(response: httpx.Response) -> bool:
    return (response.status_code, response.json()["error"]["error_code"]) == (401, "UNAUTHENTICATED")


async def test_what_is_not_proven_is_refused(alice: httpx.AsyncClient, outside: httpx.AsyncClient) -> None:
    graph_id = await save(alice, ECHO)
    for scheme in SCHEMES:
        await refuse_all(alice, outside, graph_id, scheme)


async def refuse_all(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient, graph_id: str, scheme: str
) -> None:
    made, other = [await make_webhook(alice, graph_id, scheme=scheme, input="x") for _ in range(2)]
    body = b'{"amount": 100}'
    proofs = {name: Sender(scheme=name, secret=other["secret"]).headers(body) for name in (scheme, "github")}
    right = Sender(scheme=scheme, secret=made["secret"]).headers(body)
    tries: list[tuple[dict[str, str] | list[tuple[str, str]], bytes]] = [
        (proofs[scheme], body),
        ({}, body),
        ({**right, **{name: "" for name in right if "Signature" in name or "signature" in name}}, body)
        if scheme in SIGNED
        else ({"Authorization": "Bearer"}, body),
        (
            Sender(scheme="github" if scheme != "github" else "slack", secret=made["secret"]).headers(body),
            body,
        ),
        *[([*right.items(), (name, value)], body) for name, value in right.items() if _is_proof(name)],
    ]
    if scheme in SIGNED:
        tries.append((right, b'{"amount": 900}'))
        tries.append((right, b""))
    for headers, sent in tries:
        response = await outside.post(made["url"], content=sent, headers=headers)
        assert await refused(response), (headers, response.text)
    assert (await outside.post(made["url"], content=body, headers=right)).status_code == 200
    (listed,) = await deliveries_of(alice, made)
    assert listed["times"] == 1
    assert await deliveries_of(alice, other) == []


def _is_proof(name: str) -> bool:
    return name not in {"Content-Type", "X-GitHub-Event"}


async def test_what_was_not_sent_just_now_is_refused(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, ECHO)
    for scheme in TIMED:
        made = await make_webhook(alice, graph_id, scheme=scheme, input="x")
        for late in (-900, 900):
            sender = Sender(scheme=scheme, secret=made["secret"], at=time.time() - late)
            assert await refused(await deliver(outside, made, sender=sender)), (scheme, late)
            in_time = Sender(scheme=scheme, secret=made["secret"], at=time.time() - late / 6)
            assert (await deliver(outside, made, sender=in_time)).status_code == 200, (scheme, late)


async def test_an_id_that_nothing_has_is_answered_like_a_wrong_signature(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), input="x")
    stranger = Sender(scheme="standard", secret="whsec_" + base64.b64encode(b"x" * 32).decode())
    known = await deliver(outside, made, sender=stranger)
    nowhere = {**made, "url": made["url"].replace(made["id"], str(uuid.uuid4()))}
    unknown = await deliver(outside, nowhere, sender=stranger)
    assert await refused(known)
    said = [{**r.json()["error"], "timestamp": "", "request_id": ""} for r in (known, unknown)]
    assert said[0] == said[1]
    assert known.headers.keys() == unknown.headers.keys()


async def test_two_equal_deliveries_at_once_start_one_execution(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), input="x")
    sender = Sender(scheme="standard", secret=made["secret"])
    answers = await asyncio.gather(*(deliver(outside, made, sender=sender) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["execution_id"] for answer in answers}) == 1
    assert len(await executions_of(alice, made)) == 1
    (listed,) = await deliveries_of(alice, made)
    assert listed["times"] == 8


async def test_a_repeat_finds_the_first_execution_whatever_the_webhook_is_by_then(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), input="x")
    sender = Sender(scheme="standard", secret=made["secret"])
    first = await deliver(outside, made, sender=sender)
    path = f"/api/webhooks/{made['id']}"
    for change in ({"input": None, "budget": 5}, {"events": ["none-of-these"]}):
        assert (await alice.patch(path, json=change)).status_code == 200
        again = await deliver(outside, made, sender=sender)
        assert again.json()["execution_id"] == first.json()["execution_id"]
        assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_refused_delivery_may_be_repeated_when_nothing_stands_against_it(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient, engine: Engine
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), input="x")
    sender = Sender(scheme="standard", secret=made["secret"])
    user_id = (await alice.get("/api/user")).json()["id"]
    await engine.pool.execute("UPDATE users SET credits = 0 WHERE id = $1", user_id)
    refusal = await deliver(outside, made, sender=sender)
    assert (refusal.status_code, refusal.json()["error"]["details"]) == (402, {})
    (listed,) = await deliveries_of(alice, made)
    assert (listed["outcome"], listed["execution_id"]) == ("INSUFFICIENT_CREDITS", None)
    assert '"available_credits": 0' in listed["message"]
    await engine.pool.execute("UPDATE users SET credits = 10 WHERE id = $1", user_id)
    started = await deliver(outside, made, sender=sender)
    assert started.status_code == 200
    (listed,) = await deliveries_of(alice, made)
    assert (listed["times"], listed["outcome"], listed["message"]) == (2, "started", "")


async def test_a_secret_is_changed_without_a_gap_or_at_once(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), input="x")
    path = f"/api/webhooks/{made['id']}/rotate"
    second = (await alice.post(path, json={})).json()
    assert second["former_secret_until"] is not None
    for each in (made, second):
        assert (await deliver(outside, each)).status_code == 200
    third = (await alice.post(path, json={})).json()
    assert [(await deliver(outside, each)).status_code for each in (made, second, third)] == [401, 200, 200]
    fourth = (await alice.post(path, json={"former_valid_seconds": 0})).json()
    assert fourth["former_secret_until"] is None
    assert [(await deliver(outside, each)).status_code for each in (third, fourth)] == [401, 200]


async def test_the_time_of_a_former_secret_ends(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient, engine: Engine
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), input="x")
    assert (await alice.post(f"/api/webhooks/{made['id']}/rotate", json={})).status_code == 200
    assert (await deliver(outside, made)).status_code == 200
    await engine.pool.execute(
        "UPDATE webhooks SET former_secret_until = now() - interval '1 second' WHERE id = $1",
        uuid.UUID(made["id"]),
    )
    assert await refused(await deliver(outside, made))


SECRETS = [
    ("stripe", "whsec_of_their_own_making", True),
    ("slack", "8f742231b10e8888abcd99yyyzzz85a5", True),
    ("standard", "whsec_" + base64.b64encode(b"k" * 32).decode(), True),
    ("standard", "whsec_" + base64.b64encode(b"k" * 12).decode(), False),
    ("standard", "not of their kind at all", False),
    ("github", "too short", False),
    ("github", "not printable: \x07 and so", False),
]


async def test_a_sender_may_bring_its_own_secret(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, ECHO)
    for scheme, secret, is_taken in SECRETS:
        body = {"graph_id": graph_id, "name": "theirs", "scheme": scheme, "secret": secret, "input": "x"}
        response = await alice.post("/api/webhooks", json=body)
        assert response.status_code == (201 if is_taken else 422), response.text
        assert secret not in response.text
        if is_taken:
            assert response.json()["secret"] is None
            assert (await deliver(outside, {**response.json(), "secret": secret})).status_code == 200
            path = f"/api/webhooks/{response.json()['id']}/rotate"
            rotated = await alice.post(path, json={"secret": secret})
            assert (rotated.status_code, rotated.json()["secret"]) == (200, None)
        else:
            made = await make_webhook(alice, graph_id, scheme=scheme, input="x")
            rotated = await alice.post(f"/api/webhooks/{made['id']}/rotate", json={"secret": secret})
            assert rotated.status_code == 422, secret
            assert (await deliver(outside, made)).status_code == 200


async def test_a_secret_is_shown_once_and_kept_sealed(alice: httpx.AsyncClient, engine: Engine) -> None:
    graph_id, headers = await save(alice, ECHO), {"Idempotency-Key": "k"}
    body = {"graph_id": graph_id, "name": "mine", "scheme": "token"}
    first, again = [await alice.post("/api/webhooks", json=body, headers=headers) for _ in range(2)]
    made = first.json()
    assert (again.json()["id"], again.json()["secret"]) == (made["id"], None)
    for path in ("/api/webhooks", f"/api/webhooks/{made['id']}", "/api/user/audit"):
        assert made["secret"] not in (await alice.get(path)).text
    row = await engine.pool.fetchrow(
        "SELECT w::text AS all FROM webhooks w WHERE id = $1", uuid.UUID(made["id"])
    )
    assert row is not None
    assert made["secret"] not in row["all"]
    assert made["secret"].encode().hex() not in row["all"]
