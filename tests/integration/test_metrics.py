"""Metrics: they tell what has happened, with few labels, and not to everybody."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from temporalio.client import Client

from app.api.metrics import MetricsAccess
from app.blocks.context import BlockContext
from app.database import plain_url
from app.telemetry.series import BLOCK_CALLS, COUNTED, EXECUTION_SECONDS
from app.telemetry.showing import show
from app.telemetry.tallies import Tallies
from tests.admin import an_admin
from tests.e2e.rest import save
from tests.engine import CREDITS, Engine, make_engine, make_graph, refuses, unavailable_until
from tests.ledger import add_execution
from tests.metrics import Page
from tests.notification_rows import add_delivery, add_notification
from tests.rest_api import RestApi, run_api
from tests.stack import eventually
from tests.webhooks import ECHO, Sender, deliver, make_webhook

TOKEN = "a-token-of-the-metrics-alone"
OPEN = MetricsAccess(is_open=True)


async def page_of(client: httpx.AsyncClient) -> Page:
    response = await client.get("/metrics")
    assert response.status_code == 200, response.text
    return Page(response.text)


@asynccontextmanager
async def an_api(client: Client, database_url: str, access: MetricsAccess = OPEN) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    async with run_api(database_url, connect, metrics_access=access) as running:
        yield running


async def test_what_executions_did_is_counted_once_and_shown_by_the_api(
    client: Client, own_database_url: str
) -> None:
    graph = make_graph(
        {"a": ("probe", {"name": "second", "value": 1}), "s": ("store_value_block", {})}, ["a.out -> s.input"]
    )
    async with make_engine(client, own_database_url) as engine:
        engine.probe.functions |= {"second": unavailable_until(2), "refused": refuses}
        engine.probe.charge(3)
        async with engine.worker():
            await engine.run(graph)
            await engine.run(make_graph({"a": ("probe", {"name": "refused"})}, []))
    async with an_api(client, own_database_url) as api, api.caller(token="") as nobody:
        page = await page_of(nobody)

    assert page.value("perdure_executions_total", trigger="api") == 2
    assert page.value("perdure_executions_total", status="COMPLETED") == 1
    assert page.value("perdure_execution_duration_seconds_count", status="FAILED") == 1
    statuses = ("COMPLETED", "FAILED", "RETRYING")
    calls = [page.value("perdure_block_calls_total", block="Probe", status=status) for status in statuses]
    assert calls == [1, 1, 1]
    assert page.value("perdure_block_retries_total", block="Probe") == 1
    assert page.value("perdure_block_calls_total", block="StoreValueBlock", status="COMPLETED") == 1
    assert page.value("perdure_block_duration_seconds_count", block="Probe") == 3
    assert page.value("perdure_credits_spent_total") == 3
    assert page.value("perdure_credits_reserved") == 0
    assert page.value("perdure_credits_granted_total") == CREDITS
    assert page.value("perdure_credits_balance") == CREDITS - 3
    assert page.value("perdure_up") == 2


async def test_what_waits_is_shown_by_what_it_waits_for(client: Client, own_database_url: str) -> None:
    graph = make_graph({"a": ("probe", {"name": "never"})}, [])
    async with make_engine(client, own_database_url) as engine, engine.worker(running_per_user=1):
        opened = asyncio.Event()

        async def wait(_: Any, __: BlockContext) -> None:
            await opened.wait()

        engine.probe.functions["never"] = wait
        first = await engine.start(graph)
        await eventually(lambda: engine.probe.calls)
        second = await engine.start(graph)
        await eventually(lambda: engine.find_status(second.id))
        await engine.pool.execute(
            "UPDATE executions SET created_at = created_at - interval '1 hour' WHERE id = $1", second.id
        )
        await eventually(
            lambda: engine.pool.fetchval("SELECT awaits_room FROM executions WHERE id = $1", second.id)
        )
        owner = await engine.pool.fetchval("SELECT user_id FROM executions WHERE id = $1", first.id)
        await engine.pool.execute("UPDATE users SET spent = 7, reserved = 5 WHERE id = $1", owner)
        nested = await add_execution(engine.pool, owner)
        await engine.pool.execute(
            "UPDATE executions SET status = 'QUEUED', parent_node = 0, created_at = now() - interval '1 day' "
            "WHERE id = $1",
            nested,
        )
        made = await add_notification(engine.pool, owner)
        for hours, status in ((1, "pending"), (2, "delivered")):
            key = await add_delivery(engine.pool, owner, made)
            await engine.pool.execute(
                "UPDATE deliveries SET next_at = now() - make_interval(hours => $2), status = $3 WHERE id = $1",
                key.id,
                hours,
                status,
            )
        async with an_api(client, own_database_url) as api, api.caller(token="") as nobody:
            page = await page_of(nobody)
        opened.set()
        await engine.end(first)
        await engine.end(second)

    assert page.value("perdure_executions_active", status="RUNNING") == 1
    assert page.value("perdure_queue_length", waits_for="room") == 1
    assert page.value("perdure_queue_length", waits_for="worker") == 1, "the nested one"
    assert 3_600 <= page.value("perdure_queue_oldest_seconds", waits_for="room") < 7_200
    assert page.value("perdure_queue_oldest_seconds", waits_for="worker") == 0, "which its parent looks after"
    assert page.value("perdure_notification_deliveries_pending") == 1
    assert 3_600 <= page.value("perdure_notification_overdue_seconds") < 7_200
    assert page.value("perdure_credits_spent_total") == 2, "what is reserved is not spent"


async def test_requests_are_counted_by_the_path_of_their_route(
    api: RestApi, alice: httpx.AsyncClient
) -> None:
    unknown = str(uuid.uuid4())
    for path in (f"/api/graphs/{unknown}", "/api/graphs", f"/nowhere/{unknown}", f"/{unknown}"):
        await alice.get(path)
    await alice.request(f"X{unknown}", "/api/graphs")
    async with an_admin(api) as admin:
        page = await page_of(admin)

    def count(route: str, status: int) -> float:
        return page.value("perdure_http_requests_total", method="GET", route=route, status=str(status))

    assert count("/api/graphs/{graph_id}", 404) == 1
    assert count("/api/graphs", 200) == 1
    assert count("unknown", 404) == 2
    assert page.value("perdure_http_requests_total", method="unknown") == 1
    assert page.value("perdure_http_request_duration_seconds_count", route="/api/graphs/{graph_id}") == 1
    assert unknown not in page.text


async def test_metrics_are_for_administrators_and_for_the_token(
    client: Client, own_database_url: str
) -> None:
    async with an_api(client, own_database_url, MetricsAccess(token=TOKEN)) as api:
        wrong = ("", "x", TOKEN[:-1], TOKEN + "x")
        for token in wrong:
            async with api.caller(token=token) as stranger:
                assert (await stranger.get("/metrics")).status_code == 401
        async with api.caller() as user, an_admin(api) as admin, api.caller(token=TOKEN) as prometheus:
            assert (await user.get("/metrics")).status_code == 403
            assert (await admin.get("/metrics")).status_code == 200
            assert (await prometheus.get("/metrics")).status_code == 200
            assert (await prometheus.get("/api/user")).status_code == 401


async def test_metrics_are_answered_while_the_database_is_away(client: Client) -> None:
    nowhere = "postgresql+asyncpg://nobody@127.0.0.1:9/none"
    async with an_api(client, nowhere) as api, api.caller(token="") as nobody:
        page = await page_of(nobody)
    assert page.value("perdure_up", service="postgres") == 0
    assert page.value("perdure_up", service="temporal") == 1
    assert "perdure_http_requests" in page.families
    assert "perdure_executions" not in page.families


async def test_counts_that_cannot_be_written_are_kept(engine: Engine) -> None:
    tallies = Tallies()
    away = await asyncpg.create_pool(plain_url(engine.database_url), min_size=1)
    await away.close()
    tallies.count(BLOCK_CALLS, f"kept-{uuid.uuid4()}", "COMPLETED")
    tallies.observe(EXECUTION_SECONDS, "COMPLETED", seconds=2.0)
    with pytest.raises(asyncpg.InterfaceError):
        await tallies.write(away)
    before = tallies.totals()

    await tallies.write(engine.pool)
    await tallies.write(engine.pool)

    assert tallies.totals() == before
    [(_, (block, _), _)] = [key for key in before if key[0] == BLOCK_CALLS.name]
    query = "SELECT value FROM tallies WHERE labels LIKE $1"
    assert await engine.pool.fetchval(query, f'["{block}"%') == 1


async def test_what_is_being_written_is_shown_all_the_while(engine: Engine) -> None:
    # A sum that shrinks is taken for a process that has begun anew: all of it would be counted twice.
    tallies = Tallies()
    tallies.count(BLOCK_CALLS, f"shown-{uuid.uuid4()}", "COMPLETED")
    async with engine.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE tallies")
        writing = asyncio.create_task(tallies.write(engine.pool))
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tallies'::regclass"
        await eventually(lambda: connection.fetchval(waits))
        assert list(tallies.totals().values()) == [1]
    await writing
    assert list(tallies.totals().values()) == [1]


async def test_what_comes_in_through_webhooks_is_counted_by_what_becomes_of_it(
    api: RestApi, alice: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, ECHO)
    made, other = [await make_webhook(alice, graph_id, input="x") for _ in range(2)]
    sender, stranger = [
        Sender(scheme="standard", secret=secret) for secret in (made["secret"], other["secret"])
    ]
    async with an_admin(api) as admin, api.caller(token="") as outside:
        before = await page_of(admin)
        for each in (sender, sender, stranger):
            await deliver(outside, made, {}, sender=each)
        await outside.post(f"/api/webhooks/{uuid.uuid4()}", json={})
        await alice.patch(f"/api/webhooks/{made['id']}", json={"is_active": False})
        await deliver(outside, made, {}, sender=Sender(scheme="standard", secret=made["secret"]))
        after = await page_of(admin)

    def grown(outcome: str) -> float:
        name = "perdure_webhook_deliveries_total"
        return after.value(name, outcome=outcome) - before.value(name, outcome=outcome)

    outcomes = ("started", "repeated", "UNAUTHENTICATED", "FORBIDDEN")
    assert [grown(outcome) for outcome in outcomes] == [1, 1, 2, 1]


def test_every_series_can_be_shown() -> None:
    tallies = Tallies()
    for series in COUNTED:
        labels = [f"{name} of it" for name in series.labels]
        if series.buckets:
            tallies.observe(series, *labels, seconds=series.buckets[0])
            tallies.observe(series, *labels, seconds=series.buckets[-1] + 1)
        else:
            tallies.count(series, *labels, by=2)
    families = {family.name: family for family in show(tallies.totals())}

    for series in COUNTED:
        samples: Counter[tuple[str, str | None]] = Counter()
        for sample in families[f"perdure_{series.name}"].samples:
            samples[sample.name, sample.labels.get("le")] += int(sample.value)
        if series.buckets:
            assert samples[f"perdure_{series.name}_bucket", str(series.buckets[0])] == 1
            assert samples[f"perdure_{series.name}_bucket", "+Inf"] == 2
            assert samples[f"perdure_{series.name}_count", None] == 2
        else:
            assert samples[f"perdure_{series.name}_total", None] == 2
