"""Every route of the API with ids of somebody else: answered like ids that nothing has, and nothing is changed.

The routes come from the OpenAPI document, so that a new one is tried from its first day.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from app.api import policies
from app.api.policies import Scope
from tests.api_keys import holding, make_key
from tests.credentials import keep
from tests.e2e.rest import save, start, sums, wait
from tests.engine import Engine
from tests.notifications import notify, tried
from tests.rest_api import RestApi, run_api
from tests.reviews import asked, asking
from tests.stripe_stub import StripeStub, selling
from tests.webhooks import make_webhook

OPEN = {"/health/live", "/health/ready"}
OF_NOBODY = {
    "/api/graphs/import",
    "/api/graphs/validate",
    "/api/events",
    "/api/events/tickets",
    "/api/blocks",
    "/api/blocks/{block_id}",
    "/api/blocks/{block_id}/execute",
    "/api/codec/decode",
    "/api/codec/encode",
    "/api/credentials/oauth/{provider}/login",
    "/api/credentials/oauth/{provider}/callback",
    "/api/admin/credentials/reencrypt",
    "/api/models",
    "/metrics",
    "/api/user",
    "/api/reviews/link/{token}",
    "/api/user/credits",
    "/api/user/credits/auto-top-up",
    "/api/user/credits/budgets",
    "/api/payments/stripe/webhook",
}
"""They name nothing that is somebody's; links are tried by themselves."""
LISTS = {
    "/api/credentials",
    "/api/graphs",
    "/api/presets",
    "/api/webhooks",
    "/api/publications",
    "/api/executions",
    "/api/reviews",
    "/api/schedules",
    "/api/files",
    "/api/memories",
    "/api/notifications",
    "/api/memories/value",
    "/api/user/api-keys",
    "/api/user/audit",
    "/api/user/credits/entries",
    "/api/user/credits/history",
    "/api/user/credits/top-ups",
}
BULK = {"/api/executions/stop", "/api/executions/rerun"}
BODIES: Mapping[str, Any] = {
    "PUT /api/graphs/{graph_id}": sums(2),
    "PUT /api/graphs/{graph_id}/publication": {"slug": "mine-now"},
    "PUT /api/graphs/{graph_id}/versions/active": {"active_graph_version": 1},
    "POST /api/executions/{execution_id}/reviews/{node_execution_id}": {"approved": True},
    "PATCH /api/presets/{preset_id}": {"name": "mine now"},
    "PATCH /api/webhooks/{webhook_id}": {"name": "mine now"},
    "PATCH /api/notifications/{notification_id}": {"name": "mine now"},
    "PATCH /api/credentials/{credentials_id}": {"title": "mine now", "api_key": "another"},
    "PATCH /api/user/api-keys/{api_key_id}": {"name": "mine now"},
    "POST /api/graphs/{graph_id}/schedules": {"cron": "0 0 1 1 *"},
    "PATCH /api/schedules/{schedule_id}": {"name": "mine now", "paused": True},
    "POST /api/schedules/{schedule_id}/backfill": {
        "start_at": "2020-01-01T00:00:00Z",
        "end_at": "2021-01-01T00:00:00Z",
    },
}


MORE_HEADERS: Mapping[str, list[dict[str, str]]] = {
    "GET /api/executions/{execution_id}/events": [{}, {"Accept": "text/event-stream"}],
    "GET /api/graphs/{graph_id}/events": [{}, {"Accept": "text/event-stream"}],
}
NOTHING = {"version": "1", "sha256": "0" * 64, "slug": "nothing"}
"""What nothing is called, where that is no UUID."""
ADMIN = "/api/admin/"


@dataclass
class Belongings:
    """Ids of what a user has, by the names of path parameters."""

    ids: dict[str, str]
    ended: str
    """An execution that has ended; that of the ids waits for a review."""

    def fill(self, path: str, **others: str) -> str:
        return path.format(**{**self.ids, **others})


async def published(client: httpx.AsyncClient, graph_id: str) -> str:
    """Publish a graph under a name of its own."""
    slug = f"own-{uuid.uuid4()}"
    answer = await client.put(f"/api/graphs/{graph_id}/publication", json={"slug": slug, "is_tool": True})
    assert answer.status_code == 200, answer.text
    return slug


async def settle_in(client: httpx.AsyncClient) -> Belongings:
    """Have a user own one of everything."""
    graph_id = await save(client, asking({"text": f"{uuid.uuid4()}" * 200}))
    assert (await client.put(f"/api/graphs/{graph_id}", json=asking({"a": 1}))).status_code == 200
    waiting = await start(client, graph_id)
    review = await asked(client, waiting["id"])
    parts = {
        "in": ("agent_input_block", {"name": "x"}),
        "out": ("agent_output_block", {"name": "y"}),
    }
    echo = {
        "name": "echo",
        "nodes": [
            {"id": name, "block_id": block, "input_default": given} for name, (block, given) in parts.items()
        ],
        "links": [{"source_id": "in", "sink_id": "out", "source_name": "result", "sink_name": "value"}],
    }
    ended = await start(client, await save(client, echo), inputs={"x": f"{uuid.uuid4()}" * 200})
    await wait(client, ended["id"])
    shown = (await client.get(f"/api/executions/{ended['id']}?refs=true")).json()
    notification = await notify(client, "https://127.0.0.1:1/")
    ids = {
        "user_id": (await client.get("/api/user")).json()["id"],
        "graph_id": graph_id,
        "version": "1",
        "execution_id": waiting["id"],
        "node_execution_id": review["node_execution_id"],
        "sha256": shown["inputs"]["$ref"],
        "credentials_id": await keep(client, "api_key", "a secret of somebody"),
        "api_key_id": (await make_key(client, "graphs:read"))["id"],
        "preset_id": (
            await client.post("/api/presets", json={"graph_id": graph_id, "name": "a preset"})
        ).json()["id"],
        "notification_id": notification["id"],
        "delivery_id": (await tried(client, notification))["id"],
        "webhook_id": (await make_webhook(client, graph_id))["id"],
        "schedule_id": (
            await client.post(f"/api/graphs/{graph_id}/schedules", json={"cron": "0 0 1 1 *"})
        ).json()["id"],
        "slug": await published(client, graph_id),
        "file_id": (await client.post("/api/files?name=own", content=b"own")).json()["id"],
        "top_up_id": (await client.post("/api/user/credits/top-ups", json={"credits": 500})).json()["id"],
    }
    return Belongings(ids, ended["id"])


@pytest.fixture
async def api(engine: Engine, client: Client) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    async with (
        StripeStub() as stripe,
        run_api(
            engine.database_url,
            connect,
            task_queue=engine.task_queue,
            temporal_ui_url="http://ui.test",
            **selling(stripe),
        ) as running,
    ):
        yield running


def routes_of(api: RestApi) -> list[tuple[str, str]]:
    paths = api.document["paths"]
    return [
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if path not in OPEN | OF_NOBODY and (method.upper(), path) not in policies.OPEN
    ]


def told(response: httpx.Response) -> tuple[int, str]:
    """Return all that an answer says, but for what is of this request alone."""
    text = re.sub(r'"(timestamp|request_id)": ?"[^"]*"', "", response.text)
    return response.status_code, text


async def snapshot(client: httpx.AsyncClient, owned: Belongings) -> Any:
    """Return what a user sees of what is theirs. A link without a time-out is another one each second."""
    execution_id = owned.ids["execution_id"]
    return [
        re.sub(r'"link": ?"[^"]*"', "", (await client.get(path)).text)
        for path in (
            f"/api/graphs/{owned.ids['graph_id']}",
            "/api/executions?parent_id=" + execution_id,
            f"/api/executions/{owned.ended}",
            f"/api/executions/{execution_id}/reviews",
            f"/api/executions/{execution_id}/events",
            f"/api/files/{owned.ids['file_id']}",
            f"/api/graphs/{owned.ids['graph_id']}/publication",
            f"/api/credentials/{owned.ids['credentials_id']}",
            f"/api/user/api-keys/{owned.ids['api_key_id']}",
            f"/api/presets/{owned.ids['preset_id']}",
            f"/api/notifications/{owned.ids['notification_id']}",
            f"/api/webhooks/{owned.ids['webhook_id']}",
            f"/api/schedules/{owned.ids['schedule_id']}",
            f"/api/user/credits/top-ups/{owned.ids['top_up_id']}",
        )
    ] + [len((await client.get("/api/executions")).json()["items"])]


@dataclass
class Stranger:
    """Somebody who tries ids that are not theirs."""

    name: str
    client: httpx.AsyncClient
    own: Belongings
    """What they may see is mixed with what they may not."""
    refused: int = 404
    headers: Mapping[str, str] = field(default_factory=dict)
    requests: int = 0

    async def try_out(self, method: str, path: str, victim: Belongings) -> None:
        """Call a route with each id of somebody else among own ones, and with all together."""
        names = re.findall(r"{(\w+)}", path)
        call = f"{method} {path}"
        expected = 403 if path.startswith(ADMIN) and self.refused == 404 else self.refused
        for foreign in [names, *([name] for name in names if len(names) > 1 and name != "version")]:
            random = {name: NOTHING.get(name) or str(uuid.uuid4()) for name in foreign}
            for variant in ({}, {"execution_id": victim.ended}) if "execution_id" in foreign else ({},):
                stolen = {name: {**victim.ids, **variant}[name] for name in foreign}
                for more in MORE_HEADERS.get(call, [{}]):
                    theirs, nobodys = [
                        await self.client.request(
                            method,
                            self.own.fill(path, **ids),
                            json=BODIES.get(call, {} if method == "POST" else None),
                            headers={**self.headers, **more},
                        )
                        for ids in (stolen, random)
                    ]
                    self.requests += 2
                    assert told(theirs) == told(nobodys), (self.name, call, foreign)
                    assert theirs.status_code == expected, (self.name, call, foreign, theirs.text)
                    assert dict(theirs.headers).keys() == dict(nobodys.headers).keys()


@pytest.fixture
async def nobody(api: RestApi) -> AsyncIterator[httpx.AsyncClient]:
    async with api.caller(token="") as client:
        yield client


@pytest.mark.usefixtures("worker")
async def test_no_route_tells_of_what_is_somebody_elses(
    api: RestApi, alice: httpx.AsyncClient, bob: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    owned, own = await settle_in(alice), await settle_in(bob)
    used = {"Idempotency-Key": "used by alice"}
    assert (await alice.post("/api/graphs", json=sums(2), headers=used)).status_code == 201
    before = await snapshot(alice, owned)
    scopes = [scope for scope in Scope if scope is not Scope.ADMIN]
    async with holding(api, await make_key(bob, *scopes)) as program:
        strangers = [
            Stranger("a user", bob, own),
            Stranger("an API key", program, own, headers=used),
            Stranger("nobody", nobody, own, refused=401),
        ]
        routes = [(method, path) for method, path in routes_of(api) if path not in LISTS | BULK]
        for method, path in routes:
            unknown = set(re.findall(r"{(\w+)}", path)) - set(owned.ids)
            assert not unknown, f"say what a stranger is to try at {method} {path}"
            for stranger in strangers:
                await stranger.try_out(method, path, owned)
    requests = sum(stranger.requests for stranger in strangers)
    print(f"{len(strangers)} strangers x {len(routes)} routes: {requests} requests")  # noqa: T201 - read with -s
    assert len(routes) >= 26
    assert await snapshot(alice, owned) == before


async def test_what_names_nothing_is_closed_to_nobody(api: RestApi, nobody: httpx.AsyncClient) -> None:
    for path, methods in api.document["paths"].items():
        for method in map(str.upper, methods):
            if (method, path) not in policies.OPEN:
                filled = re.sub(r"{\w+}", str(uuid.uuid4()), path)
                response = await nobody.request(method, filled)
                assert response.status_code == 401, (method, path)
                assert response.json()["error"]["error_code"] == "UNAUTHENTICATED"


@pytest.mark.usefixtures("worker")
async def test_lists_and_bulk_calls_pass_over_what_is_somebody_elses(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    owned = await settle_in(alice)
    before = await snapshot(alice, owned)
    graph_id, execution_id = owned.ids["graph_id"], owned.ids["execution_id"]
    nobody = str(uuid.uuid4())
    cursor = (await alice.get("/api/executions?limit=1")).json()["next_cursor"]
    for query in (f"graph_id={graph_id}", f"parent_id={execution_id}", f"cursor={cursor}", "limit=200"):
        assert (await bob.get(f"/api/executions?{query}")).json()["items"] == []
    for path in (
        "graphs",
        "presets",
        "webhooks",
        "schedules",
        "reviews",
        "files",
        "memories",
        "notifications",
        "credentials",
        "user/credits/top-ups",
    ):
        assert (await bob.get(f"/api/{path}")).json()["items"] == []
    assert (await alice.get("/api/user/audit")).json()["items"], "there is something to be seen"
    own_events = (await bob.get("/api/user/audit")).text
    assert not any(theirs in own_events for theirs in owned.ids.values() if theirs != "1")
    for path in ("/api/executions/stop", "/api/executions/rerun"):
        for name, theirs, nobodys in (
            ("ids", [execution_id, owned.ended], [nobody, str(uuid.uuid4())]),
            ("graph_id", graph_id, nobody),
        ):
            answers = [
                re.sub(r"[0-9a-f-]{36}", "", (await bob.post(path, json={name: given})).text)
                for given in (theirs, nobodys)
            ]
            assert answers[0] == answers[1], (path, name)
    saved = await bob.post("/api/graphs", json=_nesting(graph_id))
    unknown = await bob.post("/api/graphs", json=_nesting(nobody))
    assert saved.status_code == unknown.status_code == 400
    assert told(saved)[1].replace(graph_id, "") == told(unknown)[1].replace(nobody, "")
    assert await snapshot(alice, owned) == before


async def test_keys_of_two_users_do_not_meet(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "the same"}
    started = []
    for client in (alice, bob):
        graph_id = await save(client, sums(2))
        response = await client.post(f"/api/graphs/{graph_id}/execute", json={}, headers=headers)
        assert "Idempotent-Replayed" not in response.headers
        started.append(response.json()["id"])
    assert len(set(started)) == 2


def _nesting(graph_id: str) -> dict[str, Any]:
    node = {"id": "agent", "block_id": "agent_executor_block", "input_default": {"graph_id": graph_id}}
    return {"name": "nests", "nodes": [node], "links": []}
