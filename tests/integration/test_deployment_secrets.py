"""The secrets that a deployment itself holds, and the keys of its users, are found nowhere that anybody reads."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.client import Client

from app.llm.models import Provider
from tests import stripe_stub
from tests.admin import an_admin
from tests.api_keys import KEYS, holding, make_key
from tests.credentials import keep
from tests.e2e.rest import graph, node, save, start, wait
from tests.engine import Engine, make_engine
from tests.integration.test_secrets import Log, assert_silent, everything_in, history_of, log
from tests.rest_api import SECRET, RestApi, run_api
from tests.stack import ENCRYPTION_KEY
from tests.stripe_stub import StripeStub, selling
from tests.stubs import Served

PROVIDER_KEY = f"sk-canary-{uuid.uuid4().hex}"


__all__ = ["log"]
"""The fixture, which is found by its name."""


class Telltale(Served):
    """A provider of language models that says in its errors what key it was shown."""

    def __init__(self) -> None:
        super().__init__(Starlette(routes=[Route("/v1/chat/completions", self._refuse, methods=["POST"])]))
        self.shown: list[str] = []

    async def _refuse(self, request: Request) -> Response:
        shown = request.headers["authorization"]
        self.shown.append(shown)
        message = f"Incorrect API key provided: {shown.removeprefix('Bearer ')} ({shown})"
        return JSONResponse({"error": {"message": message, "type": "auth", "code": message}}, 400)


@pytest.fixture
async def stripe() -> AsyncIterator[StripeStub]:
    async with StripeStub() as stub:
        yield stub


@pytest.fixture
async def engine(client: Client, own_database_url: str, log: Log) -> AsyncIterator[Engine]:
    async with make_engine(client, own_database_url) as running:
        yield running


@pytest.fixture
async def api(engine: Engine, client: Client, stripe: StripeStub) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url, connect, task_queue=engine.task_queue, **selling(stripe)
    ) as running:
        yield running


async def misuse(api: RestApi, alice: httpx.AsyncClient, key: str) -> list[httpx.Response]:
    """Put a key and a token everywhere where they do not belong."""
    token = alice.headers["Authorization"].removeprefix("Bearer ")
    answers = []
    for secret in (key, token):
        answers += [
            await alice.delete(f"{KEYS}/{secret}"),
            await alice.delete(f"/api/graphs/{secret}"),
            await alice.post(f"/api/executions/{secret}/stop"),
            await alice.get("/api/executions", params={"cursor": secret}),
            await alice.get("/api/graphs", params={"limit": secret}),
            await alice.post("/api/graphs", json={"name": "x", "nodes": [], secret: secret}),
            await alice.post("/api/graphs/validate", content=f'{{"name": "{secret}'.encode()),
            await alice.put("/api/user", json={"timezone": secret}),
            await alice.post("/api/user/credits/top-ups", json={"credits": secret}),
            await alice.post(stripe_stub.WEBHOOK, content=secret, headers={"Stripe-Signature": secret}),
        ]
        for changed in (f"{secret}x", secret[:-1]):
            async with api.caller(token=changed) as nobody:
                answers.append(await nobody.get("/api/user"))
    assert all(400 <= answer.status_code < 500 for answer in answers), [a.status_code for a in answers]
    return answers


async def test_no_secret_of_the_deployment_or_of_its_users_is_written_down(
    api: RestApi,
    alice: httpx.AsyncClient,
    engine: Engine,
    client: Client,
    stripe: StripeStub,
    log: Log,
) -> None:
    made = await make_key(alice, "user:read", "audit:read")
    bought = await alice.post("/api/user/credits/top-ups", json={"credits": 500})
    assert bought.status_code == 201
    asks = graph([node("ask", "ai_text_generator_block", prompt="p")], [])
    async with Telltale() as telltale, holding(api, made) as key, an_admin(api) as admin:
        async with engine.worker(
            llm_base_url=f"{telltale.url}/v1", llm_api_keys={Provider.OPENAI: PROVIDER_KEY}
        ):
            graph_id = await save(alice, asks)
            execution = await wait(alice, (await start(alice, graph_id))["id"])
            assert (execution["status"], telltale.shown) == ("FAILED", [f"Bearer {PROVIDER_KEY}"])
            trial = await alice.post(
                "/api/blocks/ai_text_generator_block/execute", json={"inputs": {"prompt": "p"}}
            )
            assert trial.status_code == 400
            await keep(alice, "api_key", "another secret")
        told = [bought, trial, *await misuse(api, alice, made["key"])]
        path = f"/api/executions/{execution['id']}"
        readings = (path, f"{path}/nodes", f"{path}/events", f"/api/graphs/{graph_id}/export", KEYS)
        told += [await alice.get(reading) for reading in readings]
        told += [await key.get("/api/user/audit?limit=200"), await admin.get("/api/admin/audit?limit=200")]
        tokens = {f"token {n}": c.headers["Authorization"].split()[1] for n, c in enumerate((alice, admin))}
    planted = {
        "JWT secret": SECRET,
        "encryption key": ENCRYPTION_KEY,
        "API key": made["key"],
        "secret of the API key": made["key"].rpartition("_")[2],
        "Stripe key": stripe_stub.API_KEY,
        "Stripe webhook secret": stripe_stub.SECRET,
        "provider key": PROVIDER_KEY,
        **tokens,
    }
    assert_silent("answers", "\n".join(json.dumps(dict(a.headers)) + a.text for a in told), planted)
    assert_silent("the history", await history_of(client, execution["id"]), planted)
    assert_silent("the tables", await everything_in(engine), planted)
    assert_silent("the log", log.getvalue(), planted)
