"""Notifications, delivered to a real receiver that checks their signatures, and to a real mail server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks import WebhookVerificationError
from starlette.responses import RedirectResponse, Response
from structlog.testing import capture_logs
from temporalio.client import Client

from app.activities.couriers import Couriers
from app.models.deliveries import take_left
from app.notifying.rules import DeliveryRules
from app.outbound.mail import MailServer, MailTls
from app.starting.deliveries import delivery_workflow_id
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
    receiving,
    shown,
    try_out,
)
from tests.rest_api import RestApi, run_api
from tests.reviews import ask
from tests.stack import eventually
from tests.stubs import MailStub

SENDER = "perdure@example.org"


@pytest.fixture
async def api(engine: Engine, client: Client) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url,
        connect,
        registry=engine.registry,
        task_queue=engine.task_queue,
        allowed_private_hosts=HERE,
        sends_mail=True,
    ) as running:
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def mail() -> AsyncIterator[MailStub]:
    async with MailStub("perdure", "a password") as stub:
        yield stub


def server_of(mail: MailStub) -> MailServer:
    return MailServer("127.0.0.1", mail.port, SENDER, MailTls.NONE, "perdure", "a password")


async def run(client: httpx.AsyncClient, body: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    started = await start(client, await save(client, body), inputs)
    return await wait(client, started["id"])


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
        engine.probe.charge(600)
        await alice.put("/api/user", json={"preferences": {"low_balance": 500}})
        made = await notify(alice, receiver.url, events=["credits.low", "credits.exhausted"])
        probe = engine.probe.id
        body = graph([node("a", probe, value=1), node("b", probe)], ["a.out -> b.value"])
        async with delivering(engine):
            execution = await start(alice, await save(alice, body))
            messages = await receiver.has(2)

        told = {message.verify(made["secret"])["type"]: message.content["data"] for message in messages}
        assert (told["credits.low"]["balance"], told["credits.low"]["threshold"]) == (400, 500)
        assert told["credits.exhausted"]["reason"] == "INSUFFICIENT_CREDITS"
        assert told["credits.exhausted"]["required"] == 600
        assert told["credits.exhausted"]["execution_id"] == execution["id"]

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


class TestReceivers:
    async def test_one_that_fails_is_tried_again_under_the_same_id(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        answers = iter(
            [Response("\x1b[1mdown " + "x" * 900, 500), RedirectResponse("/elsewhere"), Response("ok")]
        )
        receiver.answer = lambda _: next(answers)
        made = await notify(alice, receiver.url)
        async with delivering(engine):
            await try_out(alice, made)
            [delivery] = await ended(alice, made, "delivered")

        assert {message.id for message in receiver.messages} == {delivery["id"]}
        assert [message.path for message in receiver.messages] == ["/", "/", "/"], "no redirect is followed"
        assert len({message.body for message in receiver.messages}) == 1
        assert [each["status_code"] for each in delivery["log"]] == [500, 307, 200]
        assert delivery["log"][0]["error"] == "The receiver answered 500"
        assert delivery["log"][0]["answer"].startswith("[1mdown x")
        assert len(delivery["log"][0]["answer"]) == 500
        assert (await shown(alice, made))["failing_since"] is None

    async def test_one_that_asks_for_time_is_given_it(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        receiver.answer = lambda _: Response(status_code=429, headers={"retry-after": "1800"})
        made = await notify(alice, receiver.url)
        async with delivering(engine):
            delivery = await try_out(alice, made)
            await eventually(lambda: _has_attempts(alice, made, 1))
        [row] = await deliveries_of(alice, made)
        assert row["status"] == "pending"
        assert _seconds_between(row["log"][0]["at"], row["next_at"]) > 1_700
        assert (await shown(alice, made))["failing_since"]
        assert (
            await alice.post(f"/api/notifications/deliveries/{delivery['id']}/redeliver")
        ).status_code == 409

    async def test_one_that_is_gone_is_switched_off_and_its_owner_told(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver, mail: MailStub
    ) -> None:
        receiver.answer = lambda message: Response(status_code=410 if message.path == "/gone" else 204)
        gone = await notify(alice, f"{receiver.url}/gone?key=hidden-in-the-url")
        watching = await notify(alice, f"{receiver.url}/other", events=["notification.disabled"])
        async with delivering(engine, mail=server_of(mail)):
            await try_out(alice, gone)
            await ended(alice, gone, "failed")
            await ended(alice, watching, "delivered")
            await eventually(lambda: mail.messages)

        seen = await shown(alice, gone)
        assert (seen["is_active"], seen["disabled_for"]) == (False, "GONE")
        told = next(message for message in receiver.messages if message.path == "/other")
        assert told.verify(watching["secret"])["data"]["disabled"]["notification_id"] == gone["id"]
        [letter] = mail.messages
        assert letter["Subject"] == "A notification was switched off"
        assert "hidden-in-the-url" not in str(letter)
        assert (
            await alice.patch(f"/api/notifications/{gone['id']}", json={"is_active": True})
        ).status_code == 200
        assert (await shown(alice, gone))["disabled_for"] is None

    async def test_one_that_fails_for_too_long_is_switched_off(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        receiver.answer = lambda _: Response(status_code=500)
        made = await notify(alice, receiver.url)
        rules = DeliveryRules(first_wait=timedelta(seconds=0.05), bears=timedelta(seconds=0.1))
        async with delivering(engine, delivery_rules=rules):
            await try_out(alice, made)
            execution = await run(alice, sums(2))
            await eventually(lambda: _is_off(alice, made))
            await ended(alice, made, "failed")
            later = await run(alice, sums(2))
        told = {row["execution_id"] for row in await deliveries_of(alice, made)}
        assert execution["id"] in told
        assert later["id"] not in told

    @pytest.mark.parametrize(
        "url", ["https://localhost:1/x", "https://[::1]:1/x", "https://169.254.169.254/x"]
    )
    async def test_one_at_a_private_address_is_not_reached(
        self, engine: Engine, alice: httpx.AsyncClient, url: str
    ) -> None:
        made = await notify(alice, url)
        async with delivering(engine, allowed_private_hosts=frozenset()):
            await try_out(alice, made)
            await eventually(lambda: _has_attempts(alice, made, 1))
        [row] = await deliveries_of(alice, made)
        assert "not public" in row["log"][0]["error"]
        assert row["log"][0]["status_code"] is None

    async def test_one_that_is_slow_holds_up_no_other(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        slow = await notify(alice, f"{receiver.url}/held")
        quick = await notify(alice, f"{receiver.url}/quick")
        rules = DeliveryRules(attempt_seconds=60, at_once=5, at_once_each=4, busy_seconds=0.2)
        async with delivering(engine, delivery_rules=rules):
            for _ in range(6):
                await try_out(alice, slow)
            await receiver.has(4)
            await try_out(alice, quick)
            await ended(alice, quick, "delivered")
            assert sum(message.path == "/held" for message in receiver.messages) == 4
            receiver.let_go.set()
            rows = await ended(alice, slow, "delivered", count=6)
        assert [row["attempts"] for row in rows] == [1] * 6, "to wait for room is no attempt"


class TestSecrets:
    async def test_for_a_day_two_secrets_sign(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        made = await notify(alice, receiver.url)
        path = f"/api/notifications/{made['id']}"
        rotated = (await alice.post(f"{path}/rotate")).json()
        async with delivering(engine):
            await try_out(alice, made)
            [message] = await receiver.has(1)
            for secret in (made["secret"], rotated["secret"]):
                message.verify(secret)
            assert len(message.headers["webhook-signature"].split()) == 2
            newest = (await alice.post(f"{path}/rotate")).json()
            await try_out(alice, made)
            message = (await receiver.has(2))[1]
        for secret in (rotated["secret"], newest["secret"]):
            message.verify(secret)
        with pytest.raises(WebhookVerificationError):
            message.verify(made["secret"])
        assert rotated["former_secret_until"]

    async def test_nothing_secret_is_in_rows_logs_or_history(
        self, engine: Engine, client: Client, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        canary = f"canary-{uuid.uuid4()}"
        receiver.answer = lambda message: Response(f"no {message.path} {canary}", 500)
        key = {"Idempotency-Key": str(uuid.uuid4())}
        body = {
            "name": "x",
            "channel": "webhook",
            "url": f"{receiver.url}/{canary}?token={canary}",
            "events": ["execution.completed"],
        }
        with capture_logs() as logs:
            made = (await alice.post("/api/notifications", json=body, headers=key)).json()
            again = (await alice.post("/api/notifications", json=body, headers=key)).json()
            async with delivering(engine):
                delivery = await try_out(alice, made)
                await eventually(lambda: _has_attempts(alice, made, 2))
                history = await client.get_workflow_handle(
                    delivery_workflow_id(delivery["id"])
                ).fetch_history()
        texts = [str(logs), str(await deliveries_of(alice, made)), str(await shown(alice, made)), str(again)]
        for table in ("notifications", "deliveries", "idempotency_keys"):
            rows = await engine.pool.fetch(f"SELECT * FROM {table}")
            texts.append(str([dict(row) for row in rows]))
        decoded = [
            await client.data_converter.decode(
                event.workflow_execution_started_event_attributes.input.payloads
            )
            for event in history.events[:1]
        ]
        texts += [str(decoded), history.to_json()]
        for text in texts:
            assert canary not in text
            assert made["secret"] not in text
        assert again["secret"] is None
        assert "[hidden]" in (await deliveries_of(alice, made))[0]["log"][0]["answer"]


class TestEmail:
    async def test_it_goes_to_the_own_address_and_holds_what_it_is_told_on_one_line(
        self, engine: Engine, api: RestApi, mail: MailStub
    ) -> None:
        address = f"{uuid.uuid4()}@example.org"
        async with api.caller(address) as caller:
            made = await notify(caller, email=address.upper())
            body = sums(2) | {"name": "Sums \u2028Bcc: victim@example.org"}
            async with delivering(engine, mail=server_of(mail)):
                execution = await run(caller, body)
                await ended(caller, made, "delivered")
        [letter] = mail.messages
        assert (letter["To"], letter["From"]) == (address, SENDER)
        assert letter["Bcc"] is None
        assert letter["Subject"] == "Execution completed: Sums Bcc: victim@example.org"
        payload = letter.get_payload(decode=True)
        assert isinstance(payload, bytes)
        text = payload.decode()
        assert execution["id"] in text
        assert f"PATCH or DELETE /api/notifications/{made['id']}" in text
        assert made["target"] == address

    async def test_no_other_address_is_written_to(self, alice: httpx.AsyncClient) -> None:
        body = {
            "name": "x",
            "channel": "email",
            "email": "victim@example.org",
            "events": ["execution.failed"],
        }
        response = await alice.post("/api/notifications", json=body)
        assert response.status_code == 422
        assert "own address" in response.text

    async def test_without_a_mail_server_it_is_refused(self, engine: Engine, client: Client) -> None:
        async def connect() -> Client:
            return client

        body = {"name": "x", "channel": "email", "events": ["execution.failed"]}
        async with (
            run_api(engine.database_url, connect, task_queue=engine.task_queue) as api,
            api.caller() as caller,
        ):
            response = await caller.post("/api/notifications", json=body)
        assert response.status_code == 409
        assert response.json()["error"]["error_code"] == "EMAIL_DISABLED"


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
        await engine.pool.execute(
            "UPDATE users SET suspended_at = now() FROM notifications n WHERE n.user_id = users.id AND n.id = $1",
            made["id"],
        )
        delivery = await _insert_delivery(engine, made)
        async with delivering(engine):
            await _begin_left(engine)
            await eventually(lambda: _has_status(engine, delivery, "failed"))
        assert receiver.messages == []


class TestNothingIsLost:
    async def test_what_nobody_could_have_begun_the_reconciler_has_delivered(
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
            assert receiver.messages == []
            async with delivering(engine):
                await ended(caller, made, "delivered", count=2)
        assert {message.id for message in receiver.messages} == {delivery["id"], left}

    async def test_old_deliveries_are_forgotten(self, deployment: Deployment, receiver: Receiver) -> None:
        engine = deployment.engine
        async with run_api(
            engine.database_url, lambda: _connected(engine), allowed_private_hosts=HERE
        ) as api, api.caller() as caller:
            made = await notify(caller, receiver.url)
        ages = [timedelta(days=31), timedelta(days=29)]
        old, kept = [await _insert_delivery(engine, made, ended_ago=age) for age in ages]
        async with delivering(engine):
            await eventually(lambda: _is_gone(engine, old))
        assert not await _is_gone(engine, kept)


async def _connected(engine: Engine) -> Client:
    return engine.client


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


async def _begin_left(engine: Engine) -> None:
    """Have deliveries begin that are written down, as the reconciler does."""
    couriers = Couriers(engine.client, engine.pool, task_queue=engine.task_queue)
    for key in await take_left(engine.pool, quiet_seconds=0, limit=100):
        await couriers.start(key)


async def _count(engine: Engine, notification: dict[str, Any]) -> int:
    count = await engine.pool.fetchval(
        "SELECT count(*) FROM deliveries WHERE notification_id = $1", notification["id"]
    )
    return int(count)


async def _has_attempts(client: httpx.AsyncClient, notification: dict[str, Any], count: int) -> bool:
    rows = await deliveries_of(client, notification)
    return bool(rows) and rows[0]["attempts"] >= count


async def _is_off(client: httpx.AsyncClient, notification: dict[str, Any]) -> bool:
    return (await shown(client, notification))["disabled_for"] == "FAILING"


def _seconds_between(one: str, other: str) -> float:
    return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()
