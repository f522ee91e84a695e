"""A user who has one of everything, and what every changing call is sent to succeed."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from app.api.route import PREFIX
from tests.admin import id_of
from tests.api_keys import make_key
from tests.credentials import body_of, keep
from tests.e2e.rest import save, start, sums, wait
from tests.engine import Engine
from tests.payments import paid
from tests.reviews import asked, asking
from tests.stripe_stub import StripeStub

ELSEWHERE = {
    (
        "POST",
        "/credentials/oauth/{provider}/callback",
    ): "needs a provider; it creates credentials like the route that does",
}
"""Calls that do not succeed here."""


def filled(path: str, ids: Mapping[str, str] | None = None) -> str:
    known = {"version": "1", "provider": "github", **(ids or {})}
    return PREFIX + re.sub(r"{(\w+)}", lambda name: known.get(name[1]) or str(uuid.uuid4()), path)


@dataclass
class World:
    """What calls are about, by the names of path parameters, and what they are sent."""

    ids: dict[str, str]
    sent: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    own_ids: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """Of calls about something else than the others."""


async def make_world(alice: httpx.AsyncClient, stripe: StripeStub) -> World:
    """Have a user own one of everything, and say what is done to it."""
    graph_id = await save(alice, sums(2))
    doomed_graph = await save(alice, sums(2))
    exported = (await alice.get(f"/api/graphs/{graph_id}/export")).json()
    ended = (await start(alice, graph_id))["id"]
    doomed_execution = (await start(alice, graph_id))["id"]
    waiting = (await start(alice, await save(alice, asking({"a": 1}))))["id"]
    review = await asked(alice, waiting)
    for execution_id in (ended, doomed_execution):
        assert (await wait(alice, execution_id))["status"] == "COMPLETED"
    keys = [(await make_key(alice, "graphs:read"))["id"] for _ in range(2)]
    preset = {"graph_id": graph_id, "name": "a preset"}
    webhook = {"graph_id": graph_id, "name": "a webhook", "scheme": "token"}
    notification = {
        "name": "x",
        "channel": "webhook",
        "url": "https://127.0.0.1:1",
        "events": ["credits.low"],
    }
    notified = (await alice.post("/api/notifications", json=notification)).json()["id"]
    top_up, _ = await paid(alice, stripe)
    ids = {
        "graph_id": graph_id,
        "execution_id": ended,
        "node_execution_id": review["node_execution_id"],
        "block_id": "calculator_block",
        "credentials_id": await keep(alice, "api_key", "a secret of somebody"),
        "file_id": (await alice.post("/api/files?name=own", content=b"own")).json()["id"],
        "api_key_id": keys[0],
        "preset_id": (await alice.post("/api/presets", json=preset)).json()["id"],
        "notification_id": notified,
        "delivery_id": (await alice.post(f"/api/notifications/{notified}/test")).json()["id"],
        "webhook_id": (await alice.post("/api/webhooks", json=webhook)).json()["id"],
        "top_up_id": top_up["id"],
        "slug": await _publish(alice, graph_id),
        "user_id": await id_of(alice),
    }
    made = [
        (await alice.post(f"/api/graphs/{graph_id}/schedules", json={"cron": "0 0 1 1 *"})).json()["id"]
        for _ in range(2)
    ]
    ids["schedule_id"] = made[0]
    nodes = (await alice.get(f"/api/executions/{ended}/nodes")).json()["items"]
    world = World(ids)
    world.sent = {
        ("POST", "/graphs"): {"json": sums(2)},
        ("POST", "/graphs/import"): {"json": exported},
        ("POST", "/graphs/validate"): {"json": sums(2)},
        ("POST", "/graphs/{graph_id}/estimate"): {"json": {"inputs": {}}},
        ("PUT", "/graphs/{graph_id}"): {"json": sums(3)},
        ("PUT", "/graphs/{graph_id}/versions/active"): {"json": {"active_graph_version": 1}},
        ("POST", "/graphs/{graph_id}/execute"): {"json": {}},
        ("POST", "/graphs/{graph_id}/execute/{version}"): {"json": {}},
        ("POST", "/executions/{execution_id}/rerun"): {"json": {"from_nodes": ["n0"]}},
        ("POST", "/executions/rerun"): {"json": {"ids": [ended]}},
        ("PUT", "/graphs/{graph_id}/publication"): {"json": {"slug": "a-graph"}},
        ("POST", "/run/{slug}"): {"json": {}},
        ("POST", "/executions/{execution_id}/pause"): {},
        ("POST", "/executions/{execution_id}/resume"): {},
        ("POST", "/executions/{execution_id}/reviews/{node_execution_id}"): {"json": {"approved": True}},
        ("POST", "/executions/stop"): {"json": {"ids": [ended]}},
        ("POST", "/blocks/{block_id}/execute"): {"json": {"inputs": {"operation": "Add", "a": 1, "b": 2}}},
        ("POST", "/credentials"): {"json": body_of("api_key", "another secret")},
        ("POST", "/presets"): {"json": preset},
        ("PATCH", "/presets/{preset_id}"): {"json": {"name": "new"}},
        ("POST", "/presets/{preset_id}/execute"): {"json": {}},
        ("POST", "/notifications"): {"json": notification},
        ("PATCH", "/notifications/{notification_id}"): {"json": {"name": "new"}},
        ("POST", "/webhooks"): {"json": webhook},
        ("PATCH", "/webhooks/{webhook_id}"): {"json": {"name": "new"}},
        ("POST", "/webhooks/{webhook_id}/rotate"): {"json": {}},
        ("PATCH", "/credentials/{credentials_id}"): {"json": {"title": "new"}},
        ("POST", "/files"): {"params": {"name": "x"}, "content": b"x"},
        ("PUT", "/user"): {"json": {"name": "Ann"}},
        ("PUT", "/user/credits/budgets"): {"json": {"daily": 1000, "total": None}},
        ("PUT", "/user/credits/auto-top-up"): {"json": {"credits": 0}},
        ("POST", "/user/credits/top-ups"): {"json": {"credits": 500}},
        ("POST", "/user/api-keys"): {"json": {"name": "x", "scopes": ["graphs:read"]}},
        ("PATCH", "/user/api-keys/{api_key_id}"): {"json": {"name": "y"}},
        ("PATCH", "/admin/users/{user_id}"): {"json": {"suspended": False}},
        ("POST", "/admin/users/{user_id}/credits"): {"json": {"credits": 5, "reason": "x"}},
        ("POST", "/admin/users/{user_id}/refunds"): {
            "json": {"node_execution_id": nodes[0]["id"], "reason": "x"}
        },
        ("POST", "/graphs/{graph_id}/schedules"): {"json": {"cron": "0 0 1 1 *"}},
        ("PATCH", "/schedules/{schedule_id}"): {"json": {"name": "new"}},
        ("POST", "/schedules/{schedule_id}/backfill"): {
            "json": {"start_at": "2019-12-31T12:00:00Z", "end_at": "2020-01-01T12:00:00Z"}
        },
        ("POST", "/codec/decode"): {"json": {"payloads": []}},
    }
    world.own_ids = {
        ("DELETE", "/graphs/{graph_id}"): {"graph_id": doomed_graph},
        ("DELETE", "/schedules/{schedule_id}"): {"schedule_id": made[1]},
        ("DELETE", "/executions/{execution_id}"): {"execution_id": doomed_execution},
        ("DELETE", "/user/api-keys/{api_key_id}"): {"api_key_id": keys[1]},
        **{
            ("POST", f"/executions/{{execution_id}}/{call}"): {"execution_id": waiting}
            for call in ("pause", "resume", "reviews/{node_execution_id}")
        },
    }
    return world


async def _publish(alice: httpx.AsyncClient, graph_id: str) -> str:
    response = await alice.put(f"/api/graphs/{graph_id}/publication", json={"slug": "a-graph"})
    assert response.status_code == 200, response.text
    return "a-graph"


async def end_delivery(engine: Engine, delivery_id: str) -> None:
    """Have something that can be delivered once more."""
    await engine.pool.execute(
        "UPDATE deliveries SET status = 'delivered', ended_at = now() WHERE id = $1", delivery_id
    )


async def charge(engine: Engine, node_execution_id: str, user_id: str) -> None:
    """Have something that can be refunded."""
    await engine.pool.execute(
        "INSERT INTO credit_entries (user_id, key, kind, amount, balance, execution_id, node_execution_id, details) "
        "SELECT $2, 'close:' || n.id, 'SETTLE', 0, 0, n.execution_id, n.id, '{\"charged\": 1}' "
        "FROM node_executions n WHERE n.id = $1",
        uuid.UUID(node_execution_id),
        user_id,
    )
