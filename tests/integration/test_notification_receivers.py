"""What receivers of notifications may do, and what they are protected by."""

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

from app.notifying.rules import DeliveryRules
from app.starting.deliveries import delivery_workflow_id
from tests.e2e.rest import sums
from tests.engine import Engine
from tests.notifications import (
    Receiver,
    deliveries_of,
    delivering,
    ended,
    notify,
    notifying,
    receiving,
    run,
    server_of,
    shown,
    try_out,
)
from tests.rest_api import RestApi
from tests.stack import eventually
from tests.stubs import MailStub


@pytest.fixture
async def api(engine: Engine) -> AsyncIterator[RestApi]:
    async with notifying(engine) as running:
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def mail() -> AsyncIterator[MailStub]:
    async with MailStub("perdure", "a password") as stub:
        yield stub


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

    async def test_one_that_is_gone_is_switched_off_and_its_owner_told_and_told_all_when_it_is_back(
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
            back = await alice.patch(f"/api/notifications/{gone['id']}", json={"is_active": True})
            assert (back.status_code, back.json()["disabled_for"]) == (200, None)
            receiver.answer = lambda _: Response(status_code=204)
            again = await alice.post(f"/api/notifications/{gone['id']}/redeliver")
            assert (again.status_code, again.json()) == (202, {"deliveries": 1})
            _, delivery = await ended(alice, gone, "delivered", count=2)
        ids = [message.id for message in receiver.messages if message.path == "/gone"]
        assert ids == [delivery["id"]] * 2, "the other one is the e-mail"

        told = next(message for message in receiver.messages if message.path == "/other")
        assert told.verify(watching["secret"])["data"]["disabled"]["notification_id"] == gone["id"]
        [letter] = mail.messages
        assert letter["Subject"] == "A notification was switched off"
        assert "hidden-in-the-url" not in str(letter)

    async def test_one_that_fails_for_too_long_is_switched_off(
        self, engine: Engine, alice: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        receiver.answer = lambda _: Response(status_code=500)
        made = await notify(alice, receiver.url)
        rules = DeliveryRules(first_wait=timedelta(seconds=0.05), bears=timedelta(seconds=0.1))
        async with delivering(engine, delivery_rules=rules):
            execution = await run(alice, sums(2))
            await eventually(lambda: _is_off(alice, made))
            await ended(alice, made, "failed")
            later = await run(alice, sums(2))
        told = {row["execution_id"] for row in await deliveries_of(alice, made)}
        assert execution["id"] in told
        assert later["id"] not in told

    async def test_one_that_is_slow_holds_up_no_other(
        self, engine: Engine, alice: httpx.AsyncClient, bob: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        slow, slower = [await notify(alice, f"{receiver.url}/held") for _ in range(2)]
        quick = await notify(bob, f"{receiver.url}/quick")
        rules = DeliveryRules(
            attempt_seconds=60, at_once=5, at_once_each=3, at_once_of_user=4, busy_seconds=0.05
        )
        async with delivering(engine, delivery_rules=rules):
            for _ in range(4):
                await try_out(alice, slow)
            await receiver.has(3)
            for _ in range(2):
                await try_out(alice, slower)
            await receiver.has(4)
            await try_out(bob, quick)
            await ended(bob, quick, "delivered")
            assert sum(message.path == "/held" for message in receiver.messages) == 4
            receiver.let_go.set()
            rows = await ended(alice, slow, "delivered", count=4)
            rows += await ended(alice, slower, "delivered", count=2)
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


async def _has_attempts(client: httpx.AsyncClient, notification: dict[str, Any], count: int) -> bool:
    rows = await deliveries_of(client, notification)
    return bool(rows) and rows[0]["attempts"] >= count


async def _is_off(client: httpx.AsyncClient, notification: dict[str, Any]) -> bool:
    return bool((await shown(client, notification))["disabled_for"] == "FAILING")


def _seconds_between(one: str, other: str) -> float:
    return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()
