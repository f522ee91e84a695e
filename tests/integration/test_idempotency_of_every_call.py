"""Every call of the OpenAPI document that changes something, made twice under one key: it is carried out once.

A new route is tried from its first day: either the world says what it is sent, or this test fails.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from app.api.policies import POLICIES
from app.api.route import CHANGING, PREFIX
from tests.admin import an_admin
from tests.engine import Engine
from tests.rest_api import RestApi, run_api
from tests.stripe_stub import StripeStub, selling
from tests.world import ELSEWHERE, World, charge, end_delivery, filled, make_world

KEY = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
CHANGE_NOTHING = {
    ("POST", "/codec/decode"),
    ("POST", "/codec/encode"),
    ("POST", "/executions/{execution_id}/tickets"),
    ("POST", "/graphs/{graph_id}/tickets"),
    ("POST", "/events/tickets"),
    ("POST", "/payments/stripe/webhook"),
    ("POST", "/reviews/link/{token}"),
    ("POST", "/webhooks/{webhook_id}"),
}
"""The first five change nothing. A notice and a delivery are known by their own ids; an answer by link is taken once
without a key."""
STARTS = {
    ("POST", "/graphs/{graph_id}/execute"),
    ("POST", "/graphs/{graph_id}/execute/{version}"),
    ("POST", "/presets/{preset_id}/execute"),
    ("POST", "/run/{slug}"),
}
GOES_ON = {("POST", "/executions/rerun")}
"""A repeat goes on with what the first call had not come to, so it has an answer of its own."""
SHOWN_ONCE = {
    ("POST", "/user/api-keys"): "key",
    ("POST", "/user/api-keys/{api_key_id}/rotate"): "key",
    ("POST", "/notifications"): "secret",
    ("POST", "/notifications/{notification_id}/rotate"): "secret",
    ("POST", "/webhooks"): "secret",
    ("POST", "/webhooks/{webhook_id}/rotate"): "secret",
}
"""What is shown."""
REPEATABLE = STARTS | {
    ("POST", "/graphs/validate"),
    ("POST", "/graphs/{graph_id}/estimate"),
    ("POST", "/graphs/{graph_id}/executions/{execution_id}/stop"),
    ("POST", "/executions/stop"),
    ("POST", "/executions/{execution_id}/stop"),
    ("POST", "/executions/{execution_id}/pause"),
    ("POST", "/executions/{execution_id}/resume"),
    ("POST", "/executions/{execution_id}/rerun"),
    ("POST", "/admin/executions/{execution_id}/stop"),
    ("POST", "/admin/executions/{execution_id}/settle"),
    ("POST", "/admin/credentials/reencrypt"),
}
"""What does nothing more when it is done again: it changes nothing, asks for what is so already, or starts what has an
id that follows from the key."""
IS_DONE = "SELECT bool_and(is_done) FROM idempotency_keys WHERE key = $1"
"""Whether a call was noted in the transaction of what it changes, so that no repeat does it again after a death."""


@pytest.fixture
async def stripe() -> AsyncIterator[StripeStub]:
    async with StripeStub() as stub:
        yield stub


@pytest.fixture
async def api(engine: Engine, client: Client, stripe: StripeStub) -> AsyncIterator[RestApi]:
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


def changing_calls(api: RestApi) -> list[tuple[str, str]]:
    """Return the changing calls of the document; what takes something away comes last."""
    calls = [
        (method.upper(), path.removeprefix(PREFIX), operation)
        for path, methods in api.document["paths"].items()
        for method, operation in methods.items()
        if method.upper() in CHANGING
    ]
    for method, path, operation in calls:
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert (KEY in names) is ((method, path) not in CHANGE_NOTHING), (method, path)
    found = [(method, path) for method, path, _ in calls if (method, path) not in CHANGE_NOTHING]
    return sorted(found, key=lambda call: (call[0] == "DELETE", call[1].endswith("/refund")))


def other(sent: Mapping[str, Any], call: tuple[str, str]) -> dict[str, Any]:
    """Return what makes another request of it."""
    if call in STARTS:
        return {"json": {"inputs": {"another": 1}}}
    if sent.get("json"):
        return {"json": {**sent["json"], "another": 1}}
    return {**sent, "params": {**sent.get("params", {}), "another": "1"}}


async def make_ready(api: RestApi, alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub) -> World:
    world = await make_world(alice, stripe)
    refund = world.sent["POST", "/admin/users/{user_id}/refunds"]["json"]["node_execution_id"]
    await charge(engine, refund, world.ids["user_id"])
    await end_delivery(engine, world.ids["delivery_id"])
    return world


@pytest.mark.usefixtures("worker")
async def test_every_call_is_carried_out_once_under_its_key(
    api: RestApi, alice: httpx.AsyncClient, bob: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    world = await make_ready(api, alice, engine, stripe)
    async with an_admin(api) as admin:
        for call in changing_calls(api):
            if call in ELSEWHERE:
                continue
            method, path = call
            client = admin if POLICIES[call].is_for_admins else alice
            target = filled(path, {**world.ids, **world.own_ids.get(call, {})})
            sent, headers = world.sent.get(call, {}), {KEY: f"the key of {uuid.uuid4()}"}

            first = await client.request(method, target, headers=headers, **sent)
            assert first.is_success, (call, first.text)
            assert REPLAYED not in first.headers, call
            is_noted = await engine.pool.fetchval(IS_DONE, headers[KEY])
            assert bool(is_noted) is (call not in REPEATABLE), call
            clash = await client.request(method, target, headers=headers, **other(sent, call))
            assert clash.status_code == 422, (call, clash.status_code, clash.text)
            again = await client.request(method, target, headers=headers, **sent)
            assert again.status_code == first.status_code, call
            assert (again.headers.get(REPLAYED) == "true") is (call not in GOES_ON), (call, again.text)
            if call in SHOWN_ONCE:
                assert again.json() == {**first.json(), SHOWN_ONCE[call]: None}
            elif POLICIES[call].is_start and first.headers["content-type"] == "application/json":
                assert again.json().get("id") == first.json().get("id"), call
            else:
                assert again.content == first.content, call
            # Somebody else's key is another one, whatever becomes of their call.
            theirs = await bob.request(method, target, headers=headers, **sent)
            assert REPLAYED not in theirs.headers, call
            assert theirs.status_code != 422 or "Idempotency-Key" not in theirs.text, (call, theirs.text)


async def test_no_call_takes_a_key_of_any_length(api: RestApi, alice: httpx.AsyncClient) -> None:
    async with an_admin(api) as admin:
        for call in changing_calls(api):
            client = admin if POLICIES[call].is_for_admins else alice
            for key in ("", "x" * 10_000):
                refused = await client.request(call[0], filled(call[1]), headers={KEY: key}, json={})
                assert refused.status_code == 422, (call, len(key), refused.text)
