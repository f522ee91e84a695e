"""What a delivery to a webhook says: how its body is read, where it goes, what is passed over, what is refused."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from tests.e2e.rest import get, graph, node, save
from tests.engine import Engine
from tests.rest_api import RestApi, run_api
from tests.webhooks import ECHO, Sender, deliver, make_webhook

TRIGGERED = graph(
    [node("hook", "generic_webhook_trigger_block"), node("out", "agent_output_block", name="y")],
    ["hook.payload -> out.value"],
)


@pytest.fixture
async def outside(api: RestApi) -> AsyncIterator[httpx.AsyncClient]:
    """Whoever sends: they have neither token nor key."""
    async with api.caller(token="") as client:
        yield client


async def inputs_of(client: httpx.AsyncClient, response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return (await get(client, response.json()["execution_id"]))["inputs"]


async def listed(client: httpx.AsyncClient, made: dict[str, Any]) -> list[tuple[str, str]]:
    items = (await client.get(f"/api/webhooks/{made['id']}/deliveries")).json()["items"]
    return [(item["event"], item["outcome"]) for item in items]


async def count_deliveries(engine: Engine, made: dict[str, Any]) -> int:
    query = "SELECT count(*) FROM webhook_deliveries WHERE webhook_id = $1"
    return int(await engine.pool.fetchval(query, made["id"]))


async def said_of(client: httpx.AsyncClient, made: dict[str, Any]) -> list[str]:
    items = (await client.get(f"/api/webhooks/{made['id']}/deliveries")).json()["items"]
    return [item["message"] for item in items]


@pytest.mark.usefixtures("worker")
async def test_a_graph_that_begins_with_a_webhook_is_given_the_whole_body(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    made = await make_webhook(alice, await save(alice, TRIGGERED), allows_wait=True)
    answer = await deliver(outside, made, {"order": 7}, params={"wait": 30})
    assert answer.json()["outputs"] == {"y": [{"order": 7}]}
    assert (await deliver(outside, made, body=b"[1, 2]")).status_code == 400


async def test_a_body_is_the_inputs_of_a_graph_without_one(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO))
    assert await inputs_of(alice, await deliver(outside, made, {"x": "hello"})) == {"x": "hello"}
    unknown = await deliver(outside, made, {"z": 1})
    assert (unknown.status_code, unknown.json()["error"]["error_code"]) == (400, "GRAPH_VALIDATION_ERROR")
    assert unknown.json()["error"]["details"] == {}
    assert "no input 'z'" in (await said_of(alice, made))[0]
    assert (await deliver(outside, made, body=b'["x"]')).status_code == 422
    assert [outcome for _, outcome in await listed(alice, made)] == [
        "INVALID_REQUEST",
        "GRAPH_VALIDATION_ERROR",
        "started",
    ]


async def test_a_preset_gives_what_no_delivery_brings(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, ECHO)
    body = {"graph_id": graph_id, "name": "p", "inputs": {"x": "kept"}}
    preset_id = (await alice.post("/api/presets", json=body)).json()["id"]
    made = (
        await alice.post("/api/webhooks", json={"preset_id": preset_id, "name": "w", "scheme": "standard"})
    ).json()
    assert made["graph_id"] == graph_id
    started = await deliver(outside, made, {})
    execution = await get(alice, started.json()["execution_id"])
    assert (execution["inputs"], execution["preset_id"]) == ({"x": "kept"}, preset_id)
    in_use = await alice.delete(f"/api/presets/{preset_id}")
    assert (in_use.status_code, in_use.json()["error"]["error_code"]) == (409, "CONFLICT")
    path = f"/api/webhooks/{made['id']}"
    assert (await alice.patch(path, json={"preset_id": None})).json()["preset_id"] is None
    assert (await alice.delete(f"/api/presets/{preset_id}")).status_code == 204


async def test_a_webhook_starts_the_version_it_names_within_its_budget(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, TRIGGERED)
    named = {"on_insufficient_credits": "fail", "budget": 0}
    pinned = await make_webhook(alice, graph_id, graph_version=1, **named)
    body = {"graph_id": graph_id, "graph_version": 1, "name": "p"}
    preset_id = (await alice.post("/api/presets", json=body)).json()["id"]
    by_preset = await make_webhook(alice, graph_id, preset_id=preset_id, **named)
    assert (await alice.put(f"/api/graphs/{graph_id}", json=ECHO)).status_code == 200
    for made in (pinned, by_preset):
        started = await deliver(outside, made, {"order": 7})
        assert started.status_code == 200, (await said_of(alice, made), started.text)
        execution = await get(alice, started.json()["execution_id"])
        assert (execution["graph_version"], execution["inputs"]) == (1, {"payload": {"order": 7}})
        assert {name: execution[name] for name in named} == named


async def test_what_a_delivery_has_started_is_not_taken_back_by_a_repeat(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient, engine: Engine
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), input="x")
    sender = Sender(scheme="standard", secret=made["secret"])
    started = (await deliver(outside, made, sender=sender)).json()["execution_id"]
    await engine.pool.execute("UPDATE executions SET deleted_at = now() WHERE id = $1", started)
    assert (await deliver(outside, made, sender=sender)).status_code == 404
    (row,) = (await alice.get(f"/api/webhooks/{made['id']}/deliveries")).json()["items"]
    assert (row["outcome"], row["execution_id"], row["times"]) == ("started", started, 2)
    assert row["last_at"] > row["received_at"]


READ: Sequence[tuple[str, bytes, Any]] = [
    ("json", b'"just a text"', "just a text"),
    ("form", b"a=1&b=two+words&c=", {"a": "1", "b": "two words", "c": ""}),
    ("form", b"", {}),
    ("text", "gr\u00fc\u00df dich".encode(), "gr\u00fc\u00df dich"),
    ("text", b"", ""),
]
REFUSED: Mapping[str, Sequence[bytes]] = {
    "json": [
        b"",
        b"{",
        b"a=1",
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'"\\u0000"',
        b"[" * 60 + b"]" * 60,
        b"[" * 200_000,
        b"{" + b",".join(b'"%d":1' % n for n in range(100_001)) + b"}",
    ],
    "form": [b"a=1&a=2", b"a=%00", b"no form", b"&".join(b"k%d=1" % n for n in range(1_001))],
    "text": [b"NUL \x00"],
}


async def test_a_body_is_read_as_the_webhook_says(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), input="x")
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for kind, body, content in READ:
        changed = await alice.patch(f"/api/webhooks/{made['id']}", json={"body_type": kind})
        assert changed.status_code == 200, changed.text
        answer = await deliver(outside, made, body=body, headers=headers)
        assert await inputs_of(alice, answer) == {"x": content}


async def test_a_body_that_is_not_what_it_has_to_be_starts_nothing(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, ECHO)
    for kind, bodies in REFUSED.items():
        made = await make_webhook(alice, graph_id, input="x", body_type=kind)
        for body in bodies:
            answer = await deliver(outside, made, body=body)
            assert answer.status_code == 422, (kind, body[:50], answer.text)
            assert answer.json()["error"]["error_code"] == "INVALID_REQUEST"
    assert (await alice.get("/api/executions")).json()["items"] == []


async def test_a_body_that_is_too_large_is_refused(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), input="x", body_type="text")
    assert (await deliver(outside, made, body=b"x" * (10 * 2**20))).status_code == 200
    assert (await deliver(outside, made, body=b"x" * (10 * 2**20 + 1))).status_code == 413


EVENTS: Sequence[tuple[str, Any, dict[str, str], str]] = [
    ("standard", {"type": "order.paid"}, {}, "order.paid"),
    ("stripe", {"type": "invoice.paid"}, {}, "invoice.paid"),
    ("slack", {"type": "event_callback", "event": {"type": "app_mention"}}, {}, "app_mention"),
    ("token", {"type": "begun"}, {}, "begun"),
    ("github", {"action": "opened"}, {"X-GitHub-Event": "issues"}, "issues.opened"),
]


async def test_events_that_were_not_asked_for_are_passed_over(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, ECHO)
    for scheme, content, headers, name in EVENTS:
        made = await make_webhook(alice, graph_id, scheme=scheme, input="x")
        path = f"/api/webhooks/{made['id']}"
        for events, is_wanted in ((["other", name[:3] + "*"], True), (["other", name + "s"], False)):
            assert (await alice.patch(path, json={"events": events})).status_code == 200
            answer = await deliver(outside, made, content, headers=headers)
            assert answer.status_code == 200, answer.text
            assert (answer.json()["execution_id"] is not None) is is_wanted, (name, events)
            assert (await listed(alice, made))[0] == (name, "started" if is_wanted else "ignored")


async def test_what_only_asks_whether_somebody_is_there_starts_nothing(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, ECHO)
    slack = await make_webhook(alice, graph_id, scheme="slack", input="x")
    challenge = {"type": "url_verification", "challenge": "3eZbrw1a"}
    answer = await deliver(outside, slack, challenge)
    assert (answer.status_code, answer.json()) == (200, {"challenge": "3eZbrw1a"})
    unsigned = await outside.post(slack["url"], json=challenge)
    assert unsigned.status_code == 401
    github = await make_webhook(alice, graph_id, scheme="github", input="x")
    for events in ([], ["*"]):
        assert (await alice.patch(f"/api/webhooks/{github['id']}", json={"events": events})).is_success
        answer = await deliver(outside, github, {"zen": "x"}, headers={"X-GitHub-Event": "ping"})
        assert answer.json()["execution_id"] is None
    assert (await alice.get("/api/executions")).json()["items"] == []


async def test_a_webhook_that_is_turned_off_and_a_suspended_owner_start_nothing(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient, engine: Engine
) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), input="x")
    path = f"/api/webhooks/{made['id']}"
    assert (await alice.patch(path, json={"is_active": False})).json()["is_active"] is False
    assert (await deliver(outside, made)).status_code == 403
    assert (await alice.patch(path, json={"is_active": True})).json()["is_active"] is True
    user_id = (await alice.get("/api/user")).json()["id"]
    await engine.pool.execute("UPDATE users SET suspended_at = now() WHERE id = $1", user_id)
    assert (await deliver(outside, made)).status_code == 403
    assert await count_deliveries(engine, made) == 0
    await engine.pool.execute("UPDATE users SET suspended_at = NULL WHERE id = $1", user_id)
    assert (await deliver(outside, made)).status_code == 200


async def test_what_has_no_name_is_known_by_what_was_signed_and_with_a_token_by_nothing(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, ECHO)
    for scheme, count in (("slack", 1), ("stripe", 1), ("token", 2)):
        made = await make_webhook(alice, graph_id, scheme=scheme, input="x")
        sender = Sender(scheme=scheme, secret=made["secret"])
        headers = {**sender.headers(b"{}")}
        headers.pop("Idempotency-Key", None)
        answers = [await outside.post(made["url"], content=b"{}", headers=headers) for _ in range(2)]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["execution_id"] for answer in answers}) == count, scheme
        later = Sender(scheme=scheme, secret=made["secret"], at=time.time() - 5).headers(b"{}")
        later.pop("Idempotency-Key", None)
        assert (await outside.post(made["url"], content=b"{}", headers=later)).status_code == 200
        assert len(await listed(alice, made)) == count + 1, "what was signed at another moment is another one"


async def test_a_sender_waits_only_where_it_may(alice: httpx.AsyncClient, outside: httpx.AsyncClient) -> None:
    graph_id = await save(alice, ECHO)
    silent = await make_webhook(alice, graph_id, input="x")
    assert (await deliver(outside, silent, params={"wait": 1})).status_code == 422
    assert (await alice.get("/api/executions")).json()["items"] == []
    telling = await make_webhook(alice, graph_id, input="x", allows_wait=True)
    answer = (await deliver(outside, telling, params={"wait": 0.1})).json()
    assert (answer["status"], answer["outputs"]) == ("QUEUED", None)


async def test_a_temporal_that_is_away_costs_no_delivery(
    alice: httpx.AsyncClient, outside: httpx.AsyncClient, engine: Engine
) -> None:
    async def away() -> Client:
        raise OSError

    made = await make_webhook(alice, await save(alice, ECHO), input="x")
    sender = Sender(scheme="standard", secret=made["secret"])
    async with run_api(engine.database_url, away) as cut_off, cut_off.caller(token="") as client:
        assert (await deliver(client, made, sender=sender)).status_code == 503
    assert await listed(alice, made) == [("", "ENGINE_UNAVAILABLE")]
    assert (await deliver(outside, made, sender=sender)).status_code == 200
    assert await listed(alice, made) == [("", "started")]
    assert len((await alice.get("/api/executions")).json()["items"]) == 1
