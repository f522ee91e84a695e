"""The edge towards the internet: how much a caller may ask for, whom the API believes, what browsers are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.client import Client

from app.api.edge.rate_limits import RateRules
from app.proxies import TrustedProxies
from tests.e2e.rest import save, start, sums
from tests.engine import Engine
from tests.rest_api import RestApi, run_api

PAGE = "https://app.example.org"


@asynccontextmanager
async def running(engine: Engine, client: Client, **changes: Any) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    async with run_api(engine.database_url, connect, task_queue=engine.task_queue, **changes) as api:
        yield api


async def test_a_user_is_counted_with_every_answer_and_refused_beyond_the_limit(
    engine: Engine, client: Client
) -> None:
    async with (
        running(engine, client, rates=RateRules(per_user="3/minute")) as api,
        api.caller() as alice,
        api.caller() as bob,
    ):
        answers = [await alice.get("/api/graphs") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
        assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}
        refused = answers[-1]
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert refused.json()["error"]["error_code"] == "RATE_LIMITED"
        # Nobody else is, and what is open to all is not counted.
        assert (await bob.get("/api/graphs")).status_code == 200
        for path in ("/health/live", "/openapi.json", "/docs"):
            answer = await alice.get(path)
            assert answer.status_code == 200
            assert "X-RateLimit-Limit" not in answer.headers


async def test_an_api_key_is_counted_with_its_user(engine: Engine, client: Client) -> None:
    async with running(engine, client, rates=RateRules(per_user="3/minute")) as api, api.caller() as alice:
        made = await alice.post("/api/user/api-keys", json={"name": "k", "scopes": ["graphs:read"]})
        assert made.status_code == 201, made.text
        async with api.caller(token=made.json()["key"]) as key:
            assert [(await key.get("/api/graphs")).status_code for _ in range(3)] == [200, 200, 429]
        assert (await alice.get("/api/graphs")).status_code == 429


async def test_who_is_nobody_is_counted_by_address(engine: Engine, client: Client) -> None:
    rules = RateRules(per_user="2/minute")
    async with (
        running(engine, client, rates=rules) as api,
        api.caller(token="wrong") as stranger,
        api.caller() as alice,
    ):
        assert [(await stranger.get("/api/graphs")).status_code for _ in range(4)] == [401, 401, 429, 429]
        # Whoever speaks for a user from the same address is not held up by that.
        assert (await alice.get("/api/graphs")).status_code == 200


async def test_all_of_an_address_together_have_a_bound(engine: Engine, client: Client) -> None:
    rules = RateRules(per_address="3/minute")
    async with running(engine, client, rates=rules) as api, api.caller() as alice, api.caller() as bob:
        assert [(await caller.get("/api/graphs")).status_code for caller in (alice, bob, alice, bob)] == [
            200,
            200,
            200,
            429,
        ]


async def test_starts_have_a_limit_of_their_own(engine: Engine, client: Client) -> None:
    rules = RateRules(per_user="100/minute", starts_per_user="2/minute")
    async with running(engine, client, rates=rules) as api, api.caller() as alice:
        graph = await save(alice, sums())
        for _ in range(2):
            await start(alice, graph)
        refused = await alice.post(f"/api/graphs/{graph}/execute", json={})
        assert refused.status_code == 429
        assert refused.headers["X-RateLimit-Limit"] == "2"
        assert (await alice.get("/api/executions")).status_code == 200


async def test_a_forwarded_address_counts_only_from_a_trusted_proxy(engine: Engine, client: Client) -> None:
    rules = RateRules(per_user="1/minute")
    for proxies, expected in ((TrustedProxies(), [401, 429]), (TrustedProxies(count=1), [401, 401])):
        async with (
            running(engine, client, rates=rules, trusted_proxies=proxies) as api,
            api.caller(token="wrong") as stranger,
        ):
            statuses = [
                (
                    await stranger.get(
                        "/api/graphs", headers={"X-Forwarded-For": f"203.0.113.9, 192.0.2.{k}"}
                    )
                ).status_code
                for k in range(2)
            ]
            assert statuses == expected


@pytest.mark.parametrize("path", ["/api/graphs", "/health/live", "/nowhere", "/docs", "/openapi.json"])
async def test_every_answer_tells_browsers_what_they_may_do(api: RestApi, path: str) -> None:
    async with api.caller() as alice:
        headers = (await alice.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Strict-Transport-Security" not in headers
    assert "Set-Cookie" not in headers


async def test_pages_on_the_list_may_call_and_others_may_not(engine: Engine, client: Client) -> None:
    async with running(engine, client, cors_origins=(PAGE,), is_https=True) as api, api.caller() as alice:
        for origin, is_allowed in (
            (PAGE, True),
            ("null", False),
            (f"{PAGE}.evil.org", False),
            ("http://app.example.org", False),
            (f"{PAGE}:8443", False),
        ):
            asked = await alice.options(
                "/api/graphs",
                headers={
                    "Origin": origin,
                    "Access-Control-Request-Method": "POST",
                    "Access-Control-Request-Headers": "authorization,idempotency-key",
                    "Authorization": "",
                },
            )
            answer = await alice.get("/api/graphs", headers={"Origin": origin})
            for response in (asked, answer):
                allowed = response.headers.get("Access-Control-Allow-Origin")
                assert allowed == (origin if is_allowed else None)
                assert "Access-Control-Allow-Credentials" not in response.headers
                assert "Origin" in response.headers["Vary"]
                assert response.headers["Strict-Transport-Security"].startswith("max-age=")
            assert asked.is_success is is_allowed


async def test_without_a_list_no_page_may_call(api: RestApi) -> None:
    async with api.caller() as alice:
        answer = await alice.get("/api/graphs", headers={"Origin": PAGE})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_a_user_has_so_many_event_streams_open(engine: Engine, client: Client) -> None:
    async with running(engine, client, streams_per_user=2) as api, api.caller() as alice, api.caller() as bob:
        streams = api.application.state.resources.streams
        graph = await save(alice, sums())
        execution = await start(alice, graph)
        user = (await alice.get("/api/user")).json()["id"]
        path = f"/api/executions/{execution['id']}/events"
        with streams.held(user), streams.held(user):
            refused = await alice.get(path, headers={"Accept": "text/event-stream"})
            assert refused.status_code == 429
            assert refused.headers["Retry-After"]
            assert (await alice.get(path)).status_code == 200
        assert (await bob.get("/api/graphs")).status_code == 200


async def test_a_body_that_does_not_come_is_given_up(api: RestApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.edge.slow_bodies.GRACE_SECONDS", 0.05)

    async def trickle() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with api.caller() as alice:
        answer = await alice.post("/api/graphs", content=trickle())
    assert answer.status_code == 408
    assert answer.json()["error"]["error_code"] == "REQUEST_TIMEOUT"
    assert answer.headers["Connection"] == "close"
