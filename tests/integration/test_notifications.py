"""Notifications, delivered to a real receiver that checks their signatures, and to a real mail server."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import WebhookVerificationError
from temporalio.client import Client

from app.starting.deliveries import start_delivery
from tests.deployment import Deployment
from tests.e2e.rest import graph, node, save, start, sums, wait
from tests.engine import Engine
from tests.notifications import (
    HERE,
    Receiver,
    deliveries_of,
    delivering,
    ended,
    notify,
    notifying,
    receiving,
    run,
    try_out,
)
from tests.rest_api import RestApi, run_api
from tests.reviews import ask
from tests.schedules import echo, schedule
from tests.stack import eventually
from tests.stubs import Served

PAGE = Path(__file__).parents[2] / "docs/howto/notifications.md"


@pytest.fixture
async def api(engine: Engine) -> AsyncIterator[RestApi]:
    async with notifying(engine) as running:
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


class TestWhatIsTold:
    async def test_the_end_of_an_execution_is_told_with_a_signature(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        made = await notify(alice, f"{receiver.url}/hooks", includes_outputs=True)
        async with delivering(engine, api_url="https://agents.test"):
            execution = await run(alice, sums(3))
            [message] = await receiver.has(1)
            [delivery] = await ended(alice, made, "delivered")

        content = message.verify(made["secret"])
        assert content["type"] == "execution.completed"
        data = content["data"]
        assert data["execution_id"] == execution["id"]
        assert (data["status"], data["error"], data["cost"]) == ("COMPLETED", None, 0)
        assert data["outputs"] == {"sum": [3]}
        assert data["execution_url"] == f"https://agents.test/api/executions/{execution['id']}"
        assert data["graph_name"] == "test"
        assert data["seconds"] >= 0
        assert message.id == delivery["id"]
        assert (delivery["attempts"], delivery["event"]) == (1, "execution.completed")
        [attempt] = delivery["log"]
        assert (attempt["status_code"], attempt["error"]) == (204, None)
        with pytest.raises(WebhookVerificationError):
            message.verify((await notify(alice, receiver.url))["secret"])

    async def test_only_what_was_asked_for_is_told(
        self, engine: Engine, alice: httpx.AsyncClient, bob: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        wanted, other = await save(alice, sums(2)), await save(alice, sums(3))
        of_one = await notify(alice, f"{receiver.url}/one", graph_id=wanted)
        failures = await notify(alice, f"{receiver.url}/failed", events=["execution.failed"])
        off = await notify(alice, f"{receiver.url}/off", is_active=False)
        of_bob = await notify(bob, f"{receiver.url}/bob")
        nesting = graph([node("agent", "agent_executor_block", graph_id=other)], [])
        async with delivering(engine):
            for graph_id in (wanted, other, await save(alice, nesting)):
                await wait(alice, (await start(alice, graph_id))["id"])
            [message] = await receiver.has(1)
            [delivery] = await ended(alice, of_one, "delivered")

        assert message.path == "/one"
        assert "outputs" not in message.content["data"]
        assert message.content["data"]["graph_id"] == wanted == of_one["graph_id"]
        assert delivery["execution_id"] == message.content["data"]["execution_id"]
        for client, none in ((alice, failures), (alice, off), (bob, of_bob)):
            assert await deliveries_of(client, none) == []

    async def test_a_nested_execution_is_told_of_by_the_end_of_the_outermost_alone(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        made = await notify(alice, receiver.url)
        inner = await save(alice, sums(2))
        nesting = graph([node("agent", "agent_executor_block", graph_id=inner)], [])
        async with delivering(engine):
            execution = await run(alice, nesting)
            [delivery] = await ended(alice, made, "delivered")

        assert delivery["execution_id"] == execution["id"]

    async def test_a_review_is_told_of_while_it_waits(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        made = await notify(alice, receiver.url)
        async with delivering(engine):
            review = await ask(alice, {"secret": "what is shown"})
            [message] = await receiver.has(1)
        content = message.verify(made["secret"])
        assert content["type"] == "review.requested"
        assert content["data"]["node_execution_id"] == review["node_execution_id"]
        assert content["data"]["reviews_url"].endswith(f"{review['execution_id']}/reviews")
        assert "what is shown" not in message.body

    async def test_credits_that_run_low_and_out_are_told(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        engine.probe.charge(400)
        await alice.put("/api/user", json={"preferences": {"low_balance": 700}})
        made = await notify(alice, receiver.url, events=["credits.low", "credits.exhausted"])
        probe, is_told = engine.probe.id, asyncio.Event()
        engine.probe.functions["held"] = lambda *_: is_told.wait()
        nodes = [node("a", probe, value=1), node("b", probe, name="held"), node("c", probe)]
        body = graph(nodes, ["a.out -> b.value", "b.out -> c.value"])
        async with delivering(engine):
            execution = await start(alice, await save(alice, body))
            [message] = await receiver.has(1)
            assert message.content["type"] == "credits.low", "while the execution goes on"
            is_told.set()
            messages = await receiver.has(2)

        told = {message.verify(made["secret"])["type"]: message.content["data"] for message in messages}
        assert (told["credits.low"]["balance"], told["credits.low"]["threshold"]) == (600, 700)
        assert told["credits.exhausted"]["reason"] == "INSUFFICIENT_CREDITS"
        assert told["credits.exhausted"]["required"] == 400
        assert told["credits.exhausted"]["execution_id"] == execution["id"]

    async def test_a_fire_that_cannot_start_is_told_at_once(
        self, engine: Engine, client: Client, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        await notify(alice, receiver.url)
        made = await schedule(alice, await save(alice, echo()), inputs={"x": 1})
        await engine.pool.execute("UPDATE users SET credits = 0 WHERE id = $1", made["user_id"])
        async with delivering(engine):
            await client.get_schedule_handle(made["id"]).trigger()
            [message] = await receiver.has(1)
        data = message.content["data"]
        assert message.content["type"] == "execution.failed"
        assert (data["trigger"], data["error"]["code"]) == ("schedule", "INSUFFICIENT_CREDITS")

    async def test_large_outputs_are_linked_to(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        await notify(alice, receiver.url, includes_outputs=True)
        nodes = [node("in", "agent_input_block", name="x"), node("out", "agent_output_block", name="y")]
        async with delivering(engine):
            execution = await run(alice, graph(nodes, ["in.result -> out.value"]), x="x" * 10_000)
            [message] = await receiver.has(1)
        assert "outputs" not in message.content["data"]
        assert message.content["data"]["outputs_url"] == f"/api/executions/{execution['id']}"


class TestKeeping:
    @pytest.mark.parametrize(
        "url",
        [
            "http://example.org/x",
            "ftp://example.org",
            "https://user:word@example.org/",
            "https://",
            "example.org",
            "https://[::1",
            "https://example.org:99999/",
        ],
    )
    async def test_a_url_that_may_not_be_called_is_refused(self, alice: httpx.AsyncClient, url: str) -> None:
        body = {"name": "x", "channel": "webhook", "url": url, "events": ["execution.failed"]}
        response = await alice.post("/api/notifications", json=body)
        assert response.status_code == 422, response.text

    async def test_it_is_changed_listed_and_deleted_with_its_deliveries(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        graph_id = await save(alice, sums(2))
        made = await notify(alice, f"{receiver.url}/old", graph_id=graph_id)
        path = f"/api/notifications/{made['id']}"
        changes = {
            "url": f"{receiver.url}/new",
            "name": "other",
            "events": ["execution.failed"],
            "graph_id": None,
        }
        changed = (await alice.patch(path, json=changes)).json()
        assert (changed["name"], changed["events"], changed["graph_id"]) == (
            "other",
            ["execution.failed"],
            None,
        )
        assert changed["target"] == f"{receiver.url}/…"
        async with delivering(engine):
            await try_out(alice, made)
            [message] = await receiver.has(1)
            await ended(alice, made, "delivered")
        assert message.path == "/new"
        message.verify(made["secret"])
        assert [row["id"] for row in (await alice.get("/api/notifications")).json()["items"]] == [made["id"]]
        assert (await alice.delete(path)).status_code == 204
        assert (await alice.get(path)).status_code == 404
        assert await _count(engine, made) == 0

    async def test_with_its_graph_it_is_deleted(self, alice: httpx.AsyncClient, receiver: Receiver) -> None:
        graph_id = await save(alice, sums(2))
        made = await notify(alice, receiver.url, graph_id=graph_id)
        assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 204
        assert (await alice.get(f"/api/notifications/{made['id']}")).status_code == 404

    async def test_somebody_who_is_suspended_is_told_nothing(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        made = await notify(alice, receiver.url)
        owner = (await alice.get("/api/user")).json()["id"]
        await engine.pool.execute("UPDATE users SET suspended_at = now() WHERE id = $1", owner)
        delivery = await _insert_delivery(engine, made)
        async with delivering(engine):
            await start_delivery(engine.client, delivery, owner=owner, task_queue=engine.task_queue)
            await eventually(lambda: _has_status(engine, delivery, "failed"))
        assert receiver.messages == []


class TestNothingIsLost:
    async def test_the_receiver_of_the_manual_takes_each_once(
        self, engine: Engine, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        shown: dict[str, Any] = {}
        made = await notify(alice, "http://127.0.0.1:1/perdure")
        monkeypatch.setenv("SIGNING_SECRET", made["secret"])
        exec(code, shown)
        async with Served(shown["app"]) as served, delivering(engine):
            url = {"url": f"{served.url}/perdure"}
            assert (await alice.patch(f"/api/notifications/{made['id']}", json=url)).status_code == 200
            delivery = await try_out(alice, made)
            await ended(alice, made, "delivered")
            await alice.post(f"/api/notifications/deliveries/{delivery['id']}/redeliver")
            await eventually(lambda: _has_attempts(alice, made, 2))
            await ended(alice, made, "delivered")
            async with httpx.AsyncClient() as stranger:
                assert (await stranger.post(url["url"], json={})).status_code == 401
        assert [told["type"] for told in shown["todo"]] == ["notification.test"]
        assert shown["seen"] == {delivery["id"]}

    async def test_what_nobody_could_have_begun_the_reconciler_has_delivered_and_what_is_old_it_forgets(
        self, deployment: Deployment, receiver: Receiver, client: Client
    ) -> None:
        """The API writes a delivery down while Temporal is away for it, and a worker does and dies."""
        engine = deployment.engine

        async def away() -> Client:
            raise RuntimeError("away")

        async with (
            run_api(
                engine.database_url, away, task_queue=engine.task_queue, allowed_private_hosts=HERE
            ) as api,
            api.caller() as caller,
        ):
            made = await notify(caller, receiver.url)
            delivery = await try_out(caller, made)
            left = await _insert_delivery(engine, made)
            ages = [timedelta(days=31), timedelta(days=29)]
            old, kept = [await _insert_delivery(engine, made, ended_ago=age) for age in ages]
            assert receiver.messages == []
            async with delivering(engine):
                await eventually(lambda: _is_gone(engine, old))
                rows = await ended(caller, made, "delivered", count=3)
            assert kept in {row["id"] for row in rows}
        assert {message.id for message in receiver.messages} == {delivery["id"], left}


async def _is_gone(engine: Engine, delivery_id: str) -> bool:
    return not await engine.pool.fetchval("SELECT count(*) FROM deliveries WHERE id = $1", delivery_id)


async def _has_status(engine: Engine, delivery_id: str, status: str) -> bool:
    found = await engine.pool.fetchval("SELECT status FROM deliveries WHERE id = $1", delivery_id)
    return bool(found == status)


async def _insert_delivery(
    engine: Engine, notification: dict[str, Any], *, ended_ago: timedelta | None = None
) -> str:
    """Write a delivery down as somebody who dies right afterwards."""
    delivery_id = str(uuid.uuid4())
    await engine.pool.execute(
        """
        INSERT INTO deliveries (id, user_id, notification_id, channel, event, status, ended_at)
        SELECT $1, user_id, id, channel, 'notification.test',
            CASE WHEN $3::interval IS NULL THEN 'pending' ELSE 'delivered' END, now() - $3::interval
        FROM notifications WHERE id = $2
        """,
        delivery_id,
        notification["id"],
        ended_ago,
    )
    return delivery_id


async def _count(engine: Engine, notification: dict[str, Any]) -> int:
    count = await engine.pool.fetchval(
        "SELECT count(*) FROM deliveries WHERE notification_id = $1", notification["id"]
    )
    return int(count)


async def _has_attempts(client: httpx.AsyncClient, notification: dict[str, Any], count: int) -> bool:
    rows = await deliveries_of(client, notification)
    return bool(rows) and rows[0]["attempts"] >= count
